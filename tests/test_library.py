"""A study as tables: they hold what its files hold, and reading them changes no file."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.made_up import ALPHAS, SMALL, hide_labels, make_corpus, make_study

import study
from audiotag.config import TrialConfig
from audiotag.corpus.corpus import EVALUATION
from audiotag.metrics import METRICS
from study.ledger.files import LedgerError, LedgerWarning
from study.ledger.ledger import Ledger
from study.ledger.pruning import write_pruned
from study.ledger.results import score, study_results
from study.stats.analysis import histories

CORPUS = make_corpus(groups=20, clips=5, tags=2, folds=3, evaluation=8)
CORPUS["targets"][::3, 1] = 1  # both classes in each fold of each partition


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """Five trials of two seeds and two partitions: two have finished, one failed, one was pruned, one is not done."""
    folder = tmp_path_factory.mktemp("studies")
    configs = [*ALPHAS[:4], {"augmentation": "none"}]
    options: dict[str, Any] = {"corpus": CORPUS, "partitions": 2, "repeats": 2, "finished": 4, "epochs": 3}
    ledger = make_study(folder / "mixup-1", configs, gains=[0.1, 0.9, 0.2, 0.3], **options)
    ledger.trial("key0002").write_failure("the loss is not finite")
    write_pruned(ledger.trial("key0003"), 3, 0.4, 0.3)
    make_study(folder / "other", ALPHAS[:1], corpus=make_corpus(**SMALL))
    return ledger


@pytest.fixture(scope="module")
def loaded(ledger: Ledger) -> study.Study:
    return study.load(ledger.root)


# reference


def test_trials_have_the_figures_of_results_json(ledger: Ledger, loaded: study.Study) -> None:
    found = study_results(ledger, "interrupted").to_json()["trials"]
    assert loaded.trials.index.tolist() == [0, 1, 2, 3, 4]
    assert loaded.trials["status"].tolist() == ["finished", "finished", "failed", "pruned", "unfinished"]
    assert found[2]["reason"] == loaded.trials.loc[2, "reason"] == "the loss is not finite"
    for trial, (_, row) in zip(found[:2], loaded.trials.iterrows(), strict=False):
        assert (row["key"], row["alpha"]) == (trial["key"], trial["params"]["alpha"])
        assert row["seconds"] == pytest.approx(trial["seconds"])
        names = [f"eer_{part}" for part in ("mean", "var_classes", "var_folds", "sd_seeds")]
        for name in [*names, "eval_eer_mean", "eval_ap_var_classes", "ap_mean", "auroc_var_classes"]:
            assert row[name] == pytest.approx(trial[name]), name
        for tag in "cm":
            assert row[f"eer/{tag}"] == pytest.approx(trial["eer"][tag])
            assert row[f"eval_ap/{tag}"] == pytest.approx(trial["eval_ap"][tag])
        assert (row["partitions"], row["over_partitions_eer_mean"]) == (
            2,
            pytest.approx(trial["over_partitions"]["eer_mean"]),
        )
    assert loaded.trials.loc[[2, 3, 4], "eer_mean"].isna().all()


def test_folds_have_the_figures_of_their_files(ledger: Ledger, loaded: study.Study) -> None:
    rows = loaded.folds.set_index(["trial", "partition", "fold", "seed"])
    assert len(rows) == 4 * 2 * 3 * 2
    assert rows.index.is_unique
    for name, label in (
        ("fold_2.json", (1, 1, 2, 0)),
        ("fold_0_seed_1.json", (1, 1, 0, 1)),
        ("fold_1_partition_2_seed_1.json", (1, 2, 1, 1)),
    ):
        content = json.loads((ledger.trial("key0001").path / name).read_text())
        row = rows.loc[label]
        for column in ("best_epoch", "epochs", "seconds", "eer_mean", "lwlrap_mean"):
            assert row[column] == pytest.approx(content[column]), (name, column)
        assert row["eer/c"] == pytest.approx(content["eer"]["c"])


def test_curves_have_the_epochs_of_the_files(ledger: Ledger, loaded: study.Study) -> None:
    own = loaded.curves.query("trial == 1 and partition == 2 and fold == 1 and seed == 1")
    content = json.loads((ledger.trial("key0001").path / "fold_1_partition_2_seed_1.json").read_text())
    assert own["epoch"].tolist() == [0, 1, 2]
    for column in ("train_loss", "val_accuracy", "val_eer_mean", "val_ap_mean", "seconds"):
        assert own[column].tolist() == pytest.approx([row[column] for row in content["history"]])


def test_mean_curves_are_those_of_the_report(ledger: Ledger, loaded: study.Study) -> None:
    own = loaded.mean_curves.query("trial == 0")["train_loss"].tolist()
    expected = [[epoch.train_loss for epoch in history] for history in histories(ledger, "key0000")]
    assert len(expected) == 6  # folds times seeds
    assert own == pytest.approx(np.mean(expected, axis=0))


@pytest.mark.parametrize(("partition", "fold", "seed"), [(1, 0, 0), (1, 2, 1), (2, 1, 0)])
def test_scores_and_targets_give_the_figures_of_their_fold(
    loaded: study.Study, partition: int, fold: int, seed: int
) -> None:
    scores, targets = loaded.scores(1, fold, partition=partition, seed=seed, targets=True)
    assert scores.columns.tolist() == targets.columns.tolist() == ["c", "m"]
    assert scores.index.equals(targets.index)
    found = score(targets.to_numpy(), scores.to_numpy(), ["c", "m"])
    where = "trial == 1 and partition == @partition and fold == @fold and seed == @seed"
    (row,) = loaded.folds.query(where).to_dict("records")
    assert found["eer"].mean == pytest.approx(row["eer_mean"])
    assert found["ap"].by_tag == pytest.approx({"c": row["ap/c"], "m": row["ap/m"]})


def test_clips_stand_beside_their_own_targets(loaded: study.Study) -> None:
    known = pd.DataFrame(CORPUS["targets"], CORPUS["names"], ["c", "m"])
    for split, fold in (("held_out", 1), ("evaluation", 1), ("evaluation", None)):
        _, targets = loaded.scores(0, fold, split=split, targets=True)
        assert (targets == known.loc[targets.index]).all(axis=None)
        wanted = EVALUATION if split == "evaluation" else fold
        assert set(targets.index) == set(CORPUS["names"][CORPUS["folds"] == wanted])


def test_the_evaluation_split_is_scored_by_the_mean_of_all_networks(loaded: study.Study) -> None:
    scores, targets = loaded.scores(1, split="evaluation", targets=True)
    assert score(targets.to_numpy(), scores.to_numpy(), ["c", "m"])["eer"].mean == pytest.approx(
        loaded.trials.loc[1, "eval_eer_mean"]
    )
    single = [loaded.scores(1, fold, split="evaluation", seed=seed) for fold in (0, 1, 2) for seed in (0, 1)]
    assert np.allclose(scores, np.mean(single, axis=0))
    assert np.allclose(loaded.scores(1, split="evaluation", seed=1), np.mean(single[1::2], axis=0))


# property


def contents(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (status.st_mtime_ns, status.st_size) for path in root.rglob("*") for status in [path.stat()]}


def test_reading_changes_nothing_and_needs_no_lock(tmp_path: Path) -> None:
    """Not even a damaged file, which a session would set aside, nor the name of a study whose folder was renamed."""
    ledger = make_study(tmp_path / "s", ALPHAS[:3], corpus=make_corpus(**SMALL))
    root = tmp_path / "renamed"
    with ledger.locked():
        ledger.root.rename(root)
        (root / "trials" / "key0001" / "fold_1.json").write_text("{")
        (root / "trials" / "key0002" / "pruned.json").write_text("[]")
        before, loaded = contents(root), study.load(root)
        with pytest.warns(LedgerWarning, match=r"cannot be read .* and counts as missing"):
            trials = loaded.trials
        assert trials["status"].tolist() == ["finished", "unfinished", "finished"]
        assert len(loaded.folds) == 8
        assert repr(loaded).startswith("<Study renamed ")
        loaded.scores(0, 1)
        assert contents(root) == before


def test_a_running_study_shows_more_when_it_is_loaded_again(tmp_path: Path) -> None:
    make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL), finished=1)
    loaded = study.load("s", studies=tmp_path)
    assert loaded.results.status == "interrupted"
    assert loaded.trials["status"].tolist() == ["finished", "unfinished"]
    source, target = (tmp_path / "s" / "trials" / key for key in ("key0000", "key0001"))
    for path in source.glob("fold_*"):
        (target / path.name).write_bytes(path.read_bytes())
    assert loaded.trials["status"].tolist() == ["finished", "unfinished"]
    again = study.load("s", studies=tmp_path)
    assert again.trials["status"].tolist() == ["finished", "finished"]
    assert (len(loaded.folds), len(again.folds)) == (3, 6)


def test_studies_are_found_by_name_beginning_and_path(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ledger.root.parent
    monkeypatch.chdir(folder.parent)
    assert study.names(folder) == ["mixup-1", "other"]
    for name, options in (
        ("mixup-1", {"studies": folder}),
        ("mix", {"studies": str(folder)}),
        (ledger.root, {}),
        (str(ledger.root), {"studies": "nowhere"}),
        (f"{folder.name}/mixup-1", {}),
        (Path(folder.name) / "mix", {}),
    ):
        assert study.load(name, **options).folder == ledger.root
    monkeypatch.chdir(ledger.root)
    assert study.load(".").name == "mixup-1"


def test_a_repr_is_a_line(loaded: study.Study) -> None:
    assert repr(loaded) == (
        "<Study mixup-1 (mixup_alpha on made_up): 2 of 5 trials finished, 3 folds, 2 seeds, 2 partitions, 2 tags, "
        f"best trial 1 (mixup, alpha 0.1), mean EER {loaded.trials.loc[1, 'eer_mean']:.3f}>".replace("EER 0.", "EER .")
    )


def test_best_and_baseline_are_numbers(loaded: study.Study) -> None:
    assert (loaded.best, loaded.baseline) == (1, 0)
    assert loaded.scores("key0001", 0).equals(loaded.scores(np.int64(1), 0))


# degenerate


def test_a_study_without_a_finished_fold_has_empty_tables(tmp_path: Path) -> None:
    make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL), finished=0)
    loaded = study.load("s", studies=tmp_path)
    assert (loaded.best, loaded.baseline) == (None, None)
    assert loaded.trials["status"].tolist() == ["unfinished", "unfinished"]
    for table in (loaded.folds, loaded.curves, loaded.mean_curves):
        assert table.empty
    assert {"trial", "seed", "best_epoch", *(f"{name}_mean" for name in METRICS)} <= set(loaded.folds)
    assert "val_ap_mean" in loaded.curves
    assert "0 of 2 trials finished" in repr(loaded)


def test_a_figure_that_does_not_exist_is_nan_and_a_metric_without_any_has_no_column(tmp_path: Path) -> None:
    corpus = make_corpus(**SMALL)
    corpus["targets"][corpus["folds"] == 1, 0] = 0
    loaded = study.load(make_study(tmp_path / "s", ALPHAS[:1], corpus=corpus).root)
    assert loaded.folds["eer/c"].isna().tolist() == [False, True, False]
    assert not [name for table in (loaded.trials, loaded.folds) for name in table if name.startswith("accuracy")]
    assert {f"{name}_mean" for name in METRICS} - set(loaded.folds) == {"accuracy_mean"}


def test_targets_of_unknown_labels_are_nan(tmp_path: Path) -> None:
    corpus = hide_labels(make_corpus(**SMALL, evaluation=3))
    loaded = study.load(make_study(tmp_path / "s", ALPHAS[:1], corpus=corpus).root)
    for split, fold, members in (("held_out", 1, corpus["folds"] == 1), ("evaluation", None, corpus["folds"] == -1)):
        _, targets = loaded.scores(0, fold, split=split, targets=True)
        np.testing.assert_array_equal(targets, corpus["targets"][members])
        assert targets["c"].isna().any()


def test_metrics_that_are_newer_than_a_study_come_from_its_scores(tmp_path: Path) -> None:
    options: dict[str, Any] = {"corpus": make_corpus(**SMALL)}
    old = make_study(tmp_path / "old", ALPHAS[:1], written=["eer"], **options)
    new = make_study(tmp_path / "new", ALPHAS[:1], **options)
    assert study.load(old.root).folds.equals(study.load(new.root).folds)


def test_hyperparameters_stand_in_one_order_and_leave_other_columns_alone(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", [], corpus=make_corpus(**SMALL), varied=("seconds", "alpha"))
    ledger.trial("a").write_trial(0, {"augmentation": "hum", "seconds": 2.0})
    ledger.trial("b").write_trial(1, TrialConfig.from_dict(ALPHAS[2]).to_dict())
    trials = study.load(ledger.root).trials
    assert trials.columns.tolist()[:5] == ["key", "status", "param_seconds", "alpha", "augmentation"]
    assert trials["param_seconds"].tolist() == [2.0, pytest.approx(math.nan, nan_ok=True)]
    assert trials["augmentation"].tolist() == ["hum", "mixup"]


# malformed


@pytest.mark.parametrize(
    ("arguments", "options", "told"),
    [
        ((9, 0), {}, "has no trial 9: its trials are 0, 1, 2, 3, 4"),
        ((1.5, 0), {}, r"has no trial 1\.5"),
        (("zz", 0), {}, "no trial whose key begins with `zz`: its keys are key0000, key0001"),
        (("key", 0), {}, "5 trials whose keys begin with `key`"),
        ((1, 7), {}, "`fold` is 7, but must be one of 0, 1, 2"),
        ((1,), {}, "`fold` is None, but must be one of 0, 1, 2"),
        ((1, 0), {"split": "test"}, "`split` is 'test', but must be one of held_out, evaluation"),
        ((1, 0), {"partition": 3}, "`partition` is 3, but must be one of 1, 2"),
        ((1, 0), {"seed": 2}, "`seed` is 2, but must be one of 0, 1"),
        ((4, 0), {"partition": 2}, "Fold 0 of the trial key0004 .* is not finished in partition 2"),
    ],
)
def test_scores_that_are_not_there(
    loaded: study.Study, arguments: tuple[Any, ...], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(LedgerError, match=told) as error:
        loaded.scores(*arguments, **options)
    assert "\n" not in str(error.value)


def test_a_corpus_without_evaluation_clips_and_a_study_without_targets(tmp_path: Path) -> None:
    loaded = study.load(make_study(tmp_path / "s", ALPHAS[:1], corpus=make_corpus(**SMALL), with_clips=False).root)
    with pytest.raises(LedgerError, match="has no evaluation split"):
        loaded.scores(0, split="evaluation")
    with pytest.raises(LedgerError, match=r"no usable clips\.npz"):
        loaded.scores(0, 0, targets=True)
    assert len(loaded.scores(0, 0)) == 20


def test_scores_that_are_damaged(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:1], corpus=make_corpus(**SMALL))
    arrays, record = (ledger.trial("key0000").path / f"fold_1.{suffix}" for suffix in ("npz", "json"))
    np.savez(arrays, of_something_else=np.zeros(3))
    content = json.loads(record.read_text())
    content["files"][arrays.name] = arrays.stat().st_size
    record.write_text(json.dumps(content))
    with pytest.raises(LedgerError, match=r"Fold 1 of the trial key0000 .* has damaged scores \(KeyError\)"):
        study.load(ledger.root).scores(0, 1)


def test_a_study_that_does_not_exist(ledger: Ledger, tmp_path: Path) -> None:
    folder = ledger.root.parent
    for name, options in (("zzz", {"studies": folder}), (folder / "zzz", {})):
        with pytest.raises(LedgerError, match=r"no study `zzz` in .*: the studies there are mixup-1, other"):
            study.load(name, **options)
    with pytest.raises(LedgerError, match=f"no study `mixup-1` in {tmp_path}, nor any other"):
        study.load("mixup-1", studies=tmp_path)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        study.lode  # noqa: B018
