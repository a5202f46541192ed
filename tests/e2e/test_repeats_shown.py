"""A study with several seeds as users see it: tables, report, live table, MLflow and its registry."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study, with_results
from helpers.tracked import FOLDS, client_of, epoch_result, finish, finish_fold, make_ledger, runs_of, snapshot
from reporting.test_html import page_of
from rich.console import Console
from tracking.test_model_registry import _small_model, registered

from audiotag.config import TrialConfig
from audiotag.features.log_mel import LogMel
from study.ledger.clips import read_clips
from study.ledger.ledger import Ledger
from study.ledger.results import CROSS_VALIDATION
from study.report import context, write_results
from study.reporting.figures import mean_curves
from study.reporting.live_table import LiveTable
from study.reporting.prose import answer, cost, facts, markdown_findings, trust
from study.reporting.seed_spread import lower_with, spread
from study.reporting.tables import header, rows
from study.stats.analysis import Findings, find, histories
from study.stats.selection_bias import early_stopping
from study.stats.significance import corrected_t
from study.tracking import model_registry as registry
from study.tracking.mlflow_sync import Projection

SEEDS = (7, 8, 9)  # of tracked studies, whose own seed is 7


# tables and report


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """Three trials with three seeds, the last one clearly the best."""
    root = tmp_path_factory.mktemp("studies") / "thrice"
    corpus = make_corpus(groups=30, clips=8, tags=2, folds=3, evaluation=6)
    ledger = make_study(root, ALPHAS[:3], corpus=corpus, gains=[0.0, 0.0, 1.5], repeats=3)
    write_results(ledger, "finished")
    return ledger


@pytest.fixture(scope="module")
def found(made: Ledger) -> Findings:
    return find(made, with_results(made))


def test_the_table_has_a_column_of_the_spread(found: Findings) -> None:
    varied = ["alpha"]
    assert header(found.results, varied)[3:] == ["Avg", "Var", "SD seeds", "Eval", "Time"]
    for row, cells in zip(found.rows, rows(found.results, varied, CROSS_VALIDATION), strict=True):
        means = [own["eer_mean"] for own in row.result["repeats"]]
        assert cells[5] == f"{np.std(means, ddof=1):.3f}".removeprefix("0")
        assert row.mean == pytest.approx(np.mean(means))
    said = context(found.results, found.study)
    assert "seeds 0 to 2" in said
    assert "SD seeds is the standard deviation of Avg from seed to seed" in said


def test_tests_count_folds_of_means_over_seeds(found: Findings) -> None:
    own = [[[r["eer_mean"] for r in fold["repeats"]] for fold in row.result["folds"]] for row in found.rows]
    by_fold = np.array(own).mean(axis=2)  # (rows, folds)
    wanted = corrected_t(by_fold[2] - by_fold[0], 1 / 2)
    test = found.rows[2].test
    assert (test.folds, test.t, test.p) == (3, pytest.approx(wanted.t), pytest.approx(wanted.p))


def test_intervals_lie_around_the_means_over_seeds(found: Findings) -> None:
    assert found.missing == []
    for row in found.rows:
        low, high = row.intervals["mean"]
        assert low < row.mean < high
    plain = found.rows[0]  # the best one makes no error on the evaluation split
    low, high = plain.eval_intervals["mean"]
    assert low <= plain.result["eval_eer_mean"] <= high


def test_the_spread_is_that_of_all_rows(found: Findings) -> None:
    own = [row.result["eer_sd_seeds"] for row in found.rows]
    assert spread(found) == pytest.approx(np.sqrt(np.mean(np.square(own))))
    assert min(own) < spread(found) < max(own)
    assert lower_with(found.rows[2], found.rows[0]) == 3


def test_curves_and_the_optimism_of_stopping_are_means_over_seeds(made: Ledger, found: Findings) -> None:
    key = found.best.key
    folds = histories(made, key)
    assert len(folds) == 9
    wanted = np.mean([fold[0]["val_loss"] for fold in folds])
    assert mean_curves(folds)["val_loss"][0] == pytest.approx(wanted)
    one_by_one = []
    for part in made.trial(key).repeats([0, 1, 2]):
        records = [part.fold(fold) for fold in made.study()["corpus"]["folds"]]
        one_by_one.append(early_stopping([r["history"] for r in records], [r["best_epoch"] for r in records]))
    assert found.stopping_optimism == pytest.approx(np.mean(one_by_one))


def test_what_is_said_of_seeds(found: Findings) -> None:
    said = " ".join(trust(found))
    assert "Each fold was trained with 3 seeds (0 to 2)" in said
    assert f"has a standard deviation of {spread(found):.3f}".replace("0.", ".") in said
    gaps = [abs(row.mean - found.baseline.mean) for row in found.others]
    moved = spread(found) * np.sqrt(2 / 3)
    assert f"would move by about {moved:.3f}. Smaller".replace("0.", ".") in said
    small = sum(gap < moved for gap in gaps)
    wanted = {0: "none is", 1: "1 is", 2: "2 are"}[small]
    assert f"whatever their p; of the 2 from the baseline {wanted} smaller." in said
    assert "with another --seed" not in said
    assert ("seeds", "0 to 2") in facts(found)
    assert f"{3 * 9 * 6} epochs in 27 fold trainings" in cost(found)[1]
    assert "| 3 of 3 seeds | better than the baseline |" in markdown_findings(found)


def test_a_single_difference_is_spoken_of_as_one(found: Findings) -> None:
    pair = replace(found, rows=[found.rows[0], found.rows[2]])  # the second is far better
    assert "whatever their p; the one from the baseline is not smaller." in " ".join(trust(pair))
    pair = replace(found, rows=[found.rows[0], replace(found.rows[0])])
    assert "whatever their p; the one from the baseline is smaller." in " ".join(trust(pair))


def test_a_lead_below_the_spread_is_no_evidence(found: Findings) -> None:
    assert answer(found).endswith("by more than chance.")
    before = [row.result["eer_sd_seeds"] for row in found.rows]
    for row in found.rows:
        row.result["eer_sd_seeds"] = 0.4
    try:
        assert answer(found).endswith("(standard deviation .327): that is no evidence yet.")
    finally:
        for row, own in zip(found.rows, before, strict=True):
            row.result["eer_sd_seeds"] = own


def test_the_page_shows_the_seeds(made: Ledger) -> None:
    page = page_of(made)
    assert page.open == []
    for part in ("Avg Var SD seeds best in", "lower with in words", "3 of 3 seeds", "Each fold was trained with 3"):
        assert part in page.text, part
    assert page.text.count("SD seeds best in") == 1  # not in the table of the evaluation split


def test_without_repeats_nothing_is_said_of_them(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "once", ALPHAS[:2], corpus=make_corpus(**SMALL))
    results = write_results(ledger, "finished")
    findings = find(ledger, results)
    assert spread(findings) is None
    assert "run the study again with --repeats 3" in trust(findings)[-1]
    text = (ledger.root / "table.md").read_text(encoding="utf-8") + page_of(ledger).text
    for words in ("SD seeds", "lower with", "seeds 0"):
        assert words not in text


def test_errors_by_tag_take_every_seed(made: Ledger, found: Findings) -> None:
    from study.reporting.figures import _held_out

    folds, scores = _held_out(made, read_clips(made.root), found.best)
    assert len(folds) == len(scores) == 9
    assert not np.array_equal(scores[0], scores[1])


# the live table


def report(fold: int, seed: int, epoch: int = 0, folds_done: int = 0) -> dict[str, Any]:
    result = {"epoch": epoch, "val_loss": 0.5, "val_eer_mean": 0.25, "seconds": 1.0}
    return {"eer_mean": 0.3, "fold": fold, "seed": seed, "folds_done": folds_done, **result}


def test_live_table_shows_the_seed_and_counts_every_training(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("study.reporting.live_table.time.monotonic", lambda: now)
    console = Console(width=160)
    table = LiveTable(console, ["alpha"], trials=1, done=0, folds=[0, 1], slots=1, max_epochs=9, seeds=[7, 8])
    table.started("key", TrialConfig(augmentation="mixup").to_dict())
    for place, (fold, seed) in enumerate([(0, 7), (0, 8), (1, 7), (1, 8)]):
        now = 60.0 * place + 1.0
        table.reported("key", report(fold, seed, folds_done=fold))
        cells = {str(column.header): next(iter(column.cells)) for column in table.render().columns}
        assert (cells["fold"], cells["seed"], cells["epoch"]) == (f"{fold + 1}/2", str(seed), "1")
        left = f"about {duration_of(4 - place)} left" if place else "at most 36 s left"
        assert table.time_left() == left
    assert len(table.fold_seconds) == 3
    table.reported("key", {"eer_mean": 0.3, "folds_done": 2})
    assert table.time_left() == "nearly done"


def duration_of(trainings: int) -> str:
    return {3: "3 min", 2: "2 min", 1: "61 s"}[trainings]


# MLflow


@pytest.fixture
def repeated(tmp_path: Path) -> Ledger:
    return make_ledger(tmp_path / "studies" / "first", "a" * 32, (1.5,), repeats=3)


def test_mlflow_has_a_run_for_each_fold_and_seed(repeated: Ledger, uri: str) -> None:
    finish(repeated, "key0")
    (trial,) = with_results(repeated)["trials"]
    for _ in range(2):  # the second adds nothing
        Projection(repeated, uri).update({}, "finished")
    store = snapshot(uri)
    assert set(store) == {("study",), ("trial", "key0")} | {
        ("fold", "key0", str(fold), str(seed)) for fold in FOLDS for seed in SEEDS
    }
    assert {run["status"] for run in store.values()} == {"FINISHED"}
    assert store["study",]["params"]["repeats"] == "3"
    points = store["trial", "key0"]["points"]
    assert points["eer/mean"] == [(0, trial["eer_mean"])]
    assert points["eer/sd_seeds"] == [(0, trial["eer_sd_seeds"])]
    assert points["train/loss"][0] == (0, pytest.approx(0.05))
    fold = store["fold", "key0", "1", "8"]
    assert fold["params"] == {"alpha": "1.5", "fold": "1", "seed": "8"}
    assert fold["tags"]["mlflow.runName"] == "fold 1 with seed 8"
    assert fold["points"]["train/loss"] == [(0, 0.1), (1, pytest.approx(0.11))]
    own = trial["folds"][1]["repeats"][1]
    assert fold["points"]["eer/mean"] == [(0, own["eer_mean"])]


def test_live_epochs_reach_the_run_of_their_seed_once(repeated: Ledger, uri: str) -> None:
    first, second, third = repeated.trial("key0").repeats(list(SEEDS))
    live = [epoch_result("key0", 0, epoch) | {"seed": 7} for epoch in range(3)]
    projection = Projection(repeated, uri)
    projection.update({("key0", 0): live[:2]}, "running")
    finish_fold(first, 0)
    projection.update({("key0", 0): [live[2], epoch_result("key0", 0, 0) | {"seed": 8}]}, "running")
    store = snapshot(uri)
    statuses = {place[3]: run["status"] for place, run in store.items() if place[0] == "fold"}
    assert statuses == {"7": "FINISHED", "8": "RUNNING"}
    for part in (second, third):
        finish_fold(part, 0)
    for part in (first, second, third):
        finish_fold(part, 1)
    Projection(repeated, uri).update({}, "finished")
    for place, run in snapshot(uri).items():
        if place[0] == "fold":
            assert [step for step, _ in run["points"]["val/loss"]] == list(range(3 if place[2] == "0" else 2))


def test_the_best_trials_models_of_every_seed_are_registered(
    repeated: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "save_model", _small_model)
    study = repeated.study()
    study.pop("format")
    features, corpus = [LogMel().to_dict()], study["corpus"] | {"clip_seconds": 4.0}
    repeated.write_study(study | {"features": features, "corpus": corpus})
    finish(repeated, "key0")
    for _ in range(2):
        Projection(repeated, uri).update({}, "finished")
    there = registered(uri)
    names = {f"fold_{fold}{tail}" for fold in FOLDS for tail in ("", "_seed_8", "_seed_9")}
    assert (set(there["aliases"]), there["versions"], there["logged"]) == (names, 6, 6)
    runs = {run.info.run_id: run.data.tags for run in runs_of(uri)}
    for alias, version in there["aliases"].items():
        tags = runs[version.run_id]
        assert alias == f"fold_{tags['audiotag.fold']}" + (
            f"_seed_{seed}" if (seed := tags["audiotag.seed"]) != "7" else ""
        )
    (model,) = client_of(uri).search_registered_models()
    assert "once with each of seeds 7 to 9" in model.description
