"""A trial with several seeds: what is trained, what it leaves in the ledger, and the figures made of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import small_trial as single
from helpers.small_study import STUDY
from study.ledger.seeds import seeds_in_words

from audiotag.metrics import equal_error_rate
from study.ledger.context import TrialSettings
from study.ledger.files import LedgerWarning
from study.ledger.ledger import Ledger, TrialFolder, trial_key
from study.ledger.results import is_complete, study_results
from study.tuning.trial import FAILED, METRIC, trial_reports

SEEDS = [5, 6]  # of test_trial's trials, which have seed 5
UNITS = [(fold, seed) for fold in single.FOLDS for seed in SEEDS]


def reports(
    folder: TrialFolder, values: np.ndarray | None = None, seed: int = 5, repeats: int = 2, protocol: str = "paper"
) -> Iterator[dict[str, Any]]:
    clips = single.make_corpus()
    settings = TrialSettings(str(folder.path.parents[1]), {}, "f", seed=seed, protocol=protocol, repeats=repeats)
    values = single.make_features() if values is None else values
    return trial_reports(single.CONFIG, folder, settings, clips, values, "cpu")


def contents(folder: TrialFolder) -> list[list[Any]]:
    """All that a finished trial holds of each seed, without the clock's figures."""
    return [content(part) for part in folder.repeats(SEEDS)]


def content(part: TrialFolder) -> list[Any]:
    held: list[Any] = []
    for fold in single.FOLDS:
        record = part.fold(fold)
        assert record is not None
        history = [{name: value for name, value in row.items() if name != "seconds"} for row in record["history"]]
        weights = torch.load(part.weights_path(fold), weights_only=True)
        scores = {name: values.tolist() for name, values in part.scores(fold).items()}
        held += [record["eer"], history, scores, {name: value.numpy().tobytes() for name, value in weights.items()}]
    return held


# training


@pytest.mark.parametrize("protocol", ["paper", "nested"])
def test_each_seed_gives_what_a_study_with_this_seed_gives(tmp_path: Path, protocol: str) -> None:
    both = single.make_folder(tmp_path, "both")
    list(reports(both, protocol=protocol))
    alone = []
    for seed in SEEDS:
        folder = single.make_folder(tmp_path, f"seed {seed}")
        list(reports(folder, seed=seed, repeats=1, protocol=protocol))
        alone.append(content(folder))
    assert contents(both) == alone  # bit for bit
    assert alone[0] != alone[1]


def test_a_fold_is_trained_with_each_seed_before_the_next_begins(tmp_path: Path) -> None:
    folder = single.make_folder(tmp_path)
    *epochs, last = reports(folder)
    epochs = [row for row in epochs if "fold" in row]  # without those at the end of a fold
    assert [(row["fold"], row["seed"], row["folds_done"]) for row in epochs] == [
        (fold, seed, fold) for fold, seed in UNITS for _ in range(3)
    ]
    eers = [part.fold(fold)["eer_mean"] for fold in single.FOLDS for part in folder.repeats(SEEDS)]
    first = np.mean(eers[:2])
    assert [row[METRIC] for row in epochs[6:]] == pytest.approx([first] * 6)  # of fold 0, the mean over its seeds
    assert last == {METRIC: pytest.approx(np.mean(eers)), "folds_done": 2}
    assert sorted(path.name for path in folder.path.glob("*.json")) == [
        *("fold_0.json", "fold_0_seed_6.json", "fold_1.json", "fold_1_seed_6.json", "trial.json")
    ]


@pytest.mark.parametrize("stop", [2, 3, 4, 6, 11, 12])
def test_a_trial_stopped_within_any_repeat_ends_as_an_unbroken_one(tmp_path: Path, stop: int) -> None:
    unbroken, stopped = single.make_folder(tmp_path, "unbroken"), single.make_folder(tmp_path, "stopped")
    list(reports(unbroken))
    seen = single.broken_off(reports, stopped, stop)
    assert contents(stopped) == contents(unbroken)
    epochs = [(row["fold"], row["seed"], row["epoch"]) for row in seen if "epoch" in row]
    assert epochs == [(*unit, epoch) for unit in UNITS for epoch in range(3)]  # none twice


@pytest.mark.parametrize("name", ["fold_0_seed_6.json", "fold_1.npz", "fold_1_seed_6.pt"])
def test_a_damaged_file_costs_its_own_training(tmp_path: Path, name: str) -> None:
    folder = single.make_folder(tmp_path)
    list(reports(folder))
    before = contents(folder)
    (folder.path / name).write_bytes((folder.path / name).read_bytes()[:50])
    with pytest.warns(LedgerWarning, match=name):
        again = {(row["fold"], row["seed"]) for row in reports(folder) if "epoch" in row}
    assert again == {(int(name[5]), 6 if "seed_6" in name else 5)}
    assert contents(folder) == before


def test_a_state_of_another_seed_is_not_gone_on_with(tmp_path: Path) -> None:
    plain, other = single.make_folder(tmp_path).repeats(SEEDS)
    other.write_running(0, {"x": torch.ones(2)})
    assert plain.running(0) is None
    assert other.running(0) is not None
    plain.write_running(0, {"x": torch.ones(2)})
    assert other.running(0) is None


def test_a_diverged_repeat_names_its_seed(tmp_path: Path) -> None:
    folder, values = single.make_folder(tmp_path), single.make_features()
    steps = reports(folder, values)
    for _ in range(4):  # the first epoch of the second seed
        next(steps)
    values[:] = np.nan
    (last,) = steps
    assert last[FAILED].endswith("in epoch 1 of fold 0 with seed 6")
    assert folder.failure() == last[FAILED]


def test_the_key_tells_repeats_apart_and_stays_without_them() -> None:
    parts = ({"alpha": 1.5}, "f00d", {"n_mels": 128}, 3, "paper")
    assert trial_key(*parts) == trial_key(*parts, repeats=1) == "903833e5b01f"
    assert len({trial_key(*parts, repeats=repeats) for repeats in (1, 2, 3)}) == 3


# figures

EERS = {(1, 3): (0.1, 0.2), (2, 3): (0.3, 0.4), (1, 4): (0.2, 0.2), (2, 4): (0.3, 0.8)}  # (fold, seed): of a and b
SCORES = {unit: np.random.default_rng(unit).random((4, 2)).astype(np.float32) for unit in EERS}
TARGETS = {"w": [1, 0], "x": [0, 1], "y": [1, 1], "z": [0, 0]}


def write(ledger: Ledger, fold: int, seed: int, scale: float = 1.0) -> None:
    """A fold's record: epochs and seconds differ from seed to seed."""
    a, b = (eer * scale for eer in EERS[fold, seed])
    record = {"fold": fold, "eer": {"a": a, "b": b}, "eer_mean": (a + b) / 2, "history": []}
    record |= {"best_epoch": seed, "epochs": 2 * seed, "seconds": 10.0 * fold + seed}
    part = ledger.trial("k").repeats([3, 4])[seed - 3]
    part.write_fold(fold, record, {"evaluation": SCORES[fold, seed]}, {"w": torch.zeros(1)})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    corpus = STUDY["corpus"] | {"evaluation_targets": TARGETS}
    made = Ledger.create(tmp_path / "s", STUDY | {"corpus": corpus, "repeats": 2, "trials": 1})
    made.trial("k").write_trial(0, {"alpha": 0.0})
    return made


def test_figures_worked_by_hand(ledger: Ledger) -> None:
    for fold, seed in EERS:
        write(ledger, fold, seed)
    results = study_results(ledger, "finished")
    (trial,) = results["trials"]
    assert results["repeats"] == 2
    first, second = trial["folds"]
    assert first["eer"] == pytest.approx({"a": 0.15, "b": 0.2})
    assert second["eer"] == pytest.approx({"a": 0.3, "b": 0.6})
    assert [fold["eer_mean"] for fold in trial["folds"]] == pytest.approx([0.175, 0.45])
    assert [(fold["best_epoch"], fold["epochs"], fold["seconds"]) for fold in trial["folds"]] == [
        *((3.5, 7.0, 27.0), (3.5, 7.0, 47.0))
    ]
    assert [(own["seed"], own["epochs"], own["seconds"]) for own in second["repeats"]] == [(3, 6, 23.0), (4, 8, 24.0)]
    assert second["repeats"][1]["eer"] == {"a": 0.3, "b": 0.8}
    assert trial["eer"] == pytest.approx({"a": 0.225, "b": 0.4})
    assert trial["eer_mean"] == pytest.approx(0.3125)
    assert trial["eer_var_classes"] == pytest.approx(np.var([0.225, 0.4], ddof=1))
    assert trial["eer_var_folds"] == pytest.approx(np.var([0.175, 0.45], ddof=1))
    assert trial["seconds"] == 74.0
    assert [own["seed"] for own in trial["repeats"]] == [3, 4]
    assert trial["repeats"][0]["eer"] == pytest.approx({"a": 0.2, "b": 0.3})
    assert [own["eer_mean"] for own in trial["repeats"]] == pytest.approx([0.25, 0.375])
    assert trial["eer_sd_seeds"] == pytest.approx(0.125 / np.sqrt(2))


def test_evaluation_is_scored_by_the_mean_of_all_models(ledger: Ledger) -> None:
    for fold, seed in EERS:
        write(ledger, fold, seed)
    (trial,) = study_results(ledger, "finished")["trials"]
    truth, mean = np.array(list(TARGETS.values())), np.mean(list(SCORES.values()), axis=0)
    assert trial["eval_eer"] == pytest.approx(
        {tag: equal_error_rate(truth[:, k], mean[:, k]) for k, tag in enumerate("ab")}
    )


def test_equal_seeds_have_no_spread(ledger: Ledger) -> None:
    for fold, seed in EERS:
        write(ledger, fold, seed, scale=0.0)
    (trial,) = study_results(ledger, "finished")["trials"]
    assert trial["eer_sd_seeds"] == 0


def test_a_trial_is_finished_when_all_seeds_are(ledger: Ledger) -> None:
    for fold, seed in list(EERS)[:3]:
        write(ledger, fold, seed)
    assert not is_complete(ledger)
    assert study_results(ledger, "interrupted")["trials"] == []
    ledger.trial("k").write_failure("the loss is not finite")
    (trial,) = study_results(ledger, "interrupted")["trials"]
    assert [fold["fold"] for fold in trial["folds"]] == [1]  # the other one lacks a seed
    assert trial["eer_sd_seeds"] is None
    assert trial["repeats"] == [{"seed": seed, "eer": {"a": None, "b": None}, "eer_mean": None} for seed in (3, 4)]


def test_without_repeats_nothing_is_added(ledger: Ledger) -> None:
    study = ledger.study()
    study.pop("format")
    ledger.write_study(study | {"repeats": 1})
    for fold in (1, 2):
        write(ledger, fold, 3)
    results = study_results(ledger, "finished")
    (trial,) = results["trials"]
    assert "repeats" not in results
    assert not {"repeats", "eer_sd_seeds"} & trial.keys()
    assert set(trial["folds"][0]) == {"fold", "eer", "eer_mean", "best_epoch", "epochs", "seconds"}
    study.pop("repeats")
    ledger.write_study(study)  # as an earlier version wrote it
    assert study_results(ledger, "finished") == results


def test_seeds_in_words() -> None:
    assert seeds_in_words({"seed": 3}) == "seed 3"
    assert seeds_in_words({"seed": 3, "repeats": 2}) == "seeds 3 and 4"
    assert seeds_in_words({"seed": 3, "repeats": 3}) == "seeds 3 to 5"
