"""study.tracking.mlflow_sync against real stores: what is in them of a study, in progress and finished."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from helpers.made_up import ALPHAS as MADE_UP
from helpers.made_up import SMALL, make_corpus, make_study
from helpers.tracked import (
    EPOCHS,
    NAMES,
    client_of,
    copy_to,
    finish,
    finish_fold,
    key_of,
    live,
    make_ledger,
    runs_of,
    snapshot,
    statuses,
    without_none,
)

from audiotag.metrics import METRICS
from study.ledger.findings import read_findings
from study.ledger.ledger import Ledger
from study.ledger.pruning import PRUNED_FILE, write_pruned
from study.ledger.results import study_results
from study.ledger.schema import Provenance
from study.reporting.results_files import write_results
from study.tracking.mlflow_sync import MlflowCopy
from study.tracking.run_labels import run_color
from study.tracking.tracker import Progress

FINISHED = Progress("finished")
TRIALS = "select run_uuid from tags where key = 'audiotag.level' and value = 'trial'"


# a finished study


def test_finished_study_holds_what_the_results_say(ledger: Ledger, uri: str) -> None:
    finish(ledger, "key0", "key1")
    store, results = copy_to(uri, ledger), study_results(ledger, "finished")
    assert len(store) == 1 + 2 + 4
    assert {run["status"] for run in store.values()} == {"FINISHED"}
    for trial in results.trials:
        run = store["trial", trial.key]
        assert run["params"] == {name: str(value) for name, value in trial.params.items()}
        wanted = {}
        for prefix, figures in (("eer", trial.figures["eer"]), ("eval", trial.evaluation["eer"])):
            wanted |= {f"{prefix}/{NAMES[tag]}": value for tag, value in figures.by_tag.items()}
            wanted |= {f"{prefix}/mean": figures.mean, f"{prefix}/var_classes": figures.var_classes}
        wanted |= {"eer/var_folds": trial.figures["eer"].var_folds}
        points = {name: points for name, points in run["points"].items() if name.startswith(("eer/", "eval/"))}
        assert points == {name: [(0, value)] for name, value in without_none(wanted).items()}
        assert "eer/mean_2" not in points  # this tag has no EER
        for fold in trial.folds:
            own = store["fold", trial.key, str(fold.fold)]["points"]
            wanted = {"eer/mean": fold.figures["eer"].mean, "eer/c": fold.figures["eer"].by_tag["c"]}
            wanted |= {"best_epoch": 1, "epochs": EPOCHS[fold.fold], "seconds": 3.5}
            assert {name: own[name] for name in wanted} == {name: [(0, value)] for name, value in wanted.items()}
    assert results.best is not None
    wanted = {"best/eer_mean": results.best.mean, "trials/finished": 2, "trials/failed": 0, "trials/pruned": 0}
    points = store["study",]["points"]
    assert {name: points[name] for name in wanted} == {name: [(0, value)] for name, value in wanted.items()}


def test_a_study_of_an_earlier_version_gets_the_metrics_that_are_newer(tmp_path: Path, uri: str) -> None:
    """Its runs are FINISHED: what they have stays as it is, and nothing is there twice."""
    options: dict[str, Any] = {"corpus": make_corpus(**SMALL, evaluation=2), "epochs": 2, "repeats": 2}
    with patch.dict(METRICS, {"eer": METRICS["eer"]}, clear=True):  # which puts all back in their order
        ledger = make_study(tmp_path / "s", MADE_UP[:2], **options)
        before = copy_to(uri, ledger)
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection, connection:
        assert connection.execute(f"delete from params where key = 'alpha' and run_uuid in ({TRIALS})").rowcount == 2
    after = copy_to(uri, Ledger.open(ledger.root))
    assert after.keys() == before.keys()
    results = study_results(Ledger.open(ledger.root), "finished")
    for key, run in after.items():
        old = before[key]["points"]
        assert {name: run["points"][name] for name in old} == old
        assert (run["status"], run["params"]) == ("FINISHED", before[key]["params"])
        assert any(name.startswith("auroc/") for name in run["points"]) == (key != ("study",))
    for trial in results.trials:
        points = after["trial", trial.key]["points"]
        assert points["ap/mean"] == [(0, trial.figures["ap"].mean)]
        assert points["eval_lwlrap/c"] == [(0, trial.evaluation["lwlrap"].by_tag["c"])]
        assert not [name for name in points if name.startswith("accuracy/")]  # clips have several tags
        first = trial.folds[0].repeats[1]
        assert after["fold", trial.key, "0", "1"]["points"]["dprime/c"] == [(0, first.figures["dprime"].by_tag["c"])]
    assert copy_to(uri, Ledger.open(ledger.root)) == after


def test_runs_are_named_tagged_nested_and_described(ledger: Ledger, uri: str) -> None:
    finish(ledger, "key0", "key1")
    store = copy_to(uri, ledger)
    shared = {"audiotag.study": "first", "audiotag.study_id": "a" * 32, "audiotag.corpus": "tiny"}
    trial = {"audiotag.level": "trial", "audiotag.trial": "key1", "mlflow.runName": "alpha 1.5", "parent": ("study",)}
    fold = {"audiotag.level": "fold", "audiotag.trial": "key1", "audiotag.fold": "0"}
    fold |= {"mlflow.runName": "alpha 1.5, fold 0", "mlflow.runColor": run_color(1)}
    trial |= {"mlflow.runColor": run_color(1)}
    assert store["trial", "key1"]["tags"].pop("mlflow.note.content").startswith("Trial 1 of first: alpha 1.5.")
    assert store["trial", "key1"]["tags"] == shared | trial
    assert store["fold", "key1", "0"]["tags"] == shared | fold | {"parent": ("trial", "key1")}
    assert store["fold", "key1", "1"]["params"] == {"alpha": "1.5", "fold": "1"}  # what the space varies
    assert {key[0]: run["data"] for key, run in store.items()} == {
        "study": [("tiny", "f00d")],
        "trial": [("tiny", "f00d")],
        "fold": [],
    }
    study = {"corpus": "tiny", "corpus_fingerprint": "f00d", "protocol": "paper", "seed": "7", "space": "mixup_alpha"}
    assert store["study",]["params"] == study | {"trials": "2", "folds": "2"}
    assert store["study",]["tags"]["mlflow.runName"] == "first"
    assert "Cross-validation chose alpha" in store["study",]["tags"]["mlflow.note.content"]
    experiment = client_of(uri).get_experiment_by_name("mixup_alpha")
    assert "columns `alpha` and" in experiment.tags["mlflow.note.content"]


def test_the_study_says_which_program_made_it(ledger: Ledger, uri: str) -> None:
    store = copy_to(uri, ledger)
    assert "audiotag.git_dirty" not in store["study",]["tags"]  # not known
    ledger.update_study(
        git_commit="a" * 40, git_dirty=False, continued_with=(Provenance({}, "b" * 40, True, "x.diff"),)
    )
    tags = copy_to(uri, ledger)["study",]["tags"]
    assert (tags["audiotag.git_commit"], tags["audiotag.git_dirty"]) == ("b" * 40, "true")


def test_curves_of_folds_and_their_mean(ledger: Ledger, uri: str) -> None:
    finish(ledger, "key0")
    store = copy_to(uri, ledger)
    fold, trial = (store[key]["points"] for key in (("fold", "key0", "0"), ("trial", "key0")))
    assert fold["train/loss"] == [(0, 0.0), (1, 0.01), (2, 0.02)]
    assert [step for step, _ in fold["val/eer_mean"]] == [1, 2]  # NaN is left out
    assert trial["train/loss"] == [(0, pytest.approx(0.05)), (1, pytest.approx(0.06))]  # as long as most folds train
    assert [step for step, _ in trial["val/eer_mean"]] == [1]


def test_with_several_seeds_each_training_has_a_run(tmp_path: Path, uri: str) -> None:
    ledger = make_ledger(tmp_path / "first", "a" * 32, (1.5,), repeats=3)
    first, *others = ledger.trial("key0").for_seeds([7, 8, 9])
    copy = MlflowCopy(ledger, uri)
    copy.update(live(("key0", 0, 0), ("key0", 0, 1)))
    finish_fold(first, 0)
    copy.update(live(("key0", 0, 0), seed=8))
    assert [statuses(uri)["fold", "key0", "0", seed] for seed in ("7", "8")] == ["FINISHED", "RUNNING"]
    for part, fold in [*((part, 0) for part in others), *((part, 1) for part in (first, *others))]:
        finish_fold(part, fold)
    store = copy_to(uri, ledger)
    assert {run["status"] for run in store.values()} == {"FINISHED"}
    fold = store["fold", "key0", "1", "8"]
    assert fold["params"] == {"alpha": "1.5", "fold": "1", "seed": "8"}
    assert fold["tags"]["mlflow.runName"] == "alpha 1.5, fold 1 with seed 8"
    assert store["study",]["params"]["repeats"] == "3"
    (result,) = study_results(ledger, "finished").trials
    assert store["trial", "key0"]["points"]["eer/sd_seeds"] == [(0, result.figures["eer"].sd_seeds)]
    for key, run in store.items():
        if key[0] == "fold":
            assert [step for step, _ in run["points"]["val/loss"]] == list(range(EPOCHS[int(key[2])]))


def test_artifacts_are_beside_the_database(ledger: Ledger, uri: str, tmp_path: Path) -> None:
    (ledger.root / "table.md").write_text("| a |")
    (ledger.root / "figures").mkdir()
    (ledger.root / "figures" / "importance.svg").write_text("<svg/>")
    copy_to(uri, ledger, Progress("interrupted"))
    run = next(run for run in runs_of(uri) if key_of(run) == ("study",))
    assert [file.path for file in client_of(uri).list_artifacts(run.info.run_id)] == ["figures", "table.md"]
    inside = client_of(uri).list_artifacts(run.info.run_id, "figures")
    assert [file.path for file in inside] == ["figures/importance.svg"]
    assert run.info.artifact_uri.startswith((tmp_path / "mlartifacts" / "mixup_alpha").as_uri())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlartifacts", "mlflow.db", "studies"]


# a study in progress


def test_each_epoch_is_there_once_live_then_recorded(ledger: Ledger, uri: str) -> None:
    copy = MlflowCopy(ledger, uri)
    copy.update(live(("key0", 0, 0)))
    running = [("study",), ("trial", "key0"), ("trial", "key1"), ("fold", "key0", "0")]
    assert statuses(uri) == dict.fromkeys(running, "RUNNING")
    copy.update(live(("key0", 0, 0), ("key0", 0, 1)))
    copy_to(uri, ledger, live(("key0", 0, 1)))  # of another process
    assert snapshot(uri)["fold", "key0", "0"]["points"]["val/loss"] == [(0, 2.0), (1, 2.01)]
    finish_fold(ledger.trial("key0"), 0)
    copy.update(live(("key0", 0, 1)))
    fold = snapshot(uri)["fold", "key0", "0"]
    assert fold["status"] == "FINISHED"
    assert fold["points"]["val/loss"] == [(0, 2.0), (1, 2.01), (2, 2.02)]


@pytest.mark.parametrize("same_process", [True, False])
def test_interrupted_then_resumed_then_finished(ledger: Ledger, uri: str, same_process: bool) -> None:
    copy = MlflowCopy(ledger, uri)
    finish_fold(ledger.trial("key0"), 0)
    copy.update(live(("key0", 1, 0)))
    copy.update(Progress("interrupted"))
    finished = {("fold", "key0", "0"): "FINISHED"}
    killed = [("study",), ("trial", "key0"), ("trial", "key1"), ("fold", "key0", "1")]
    assert statuses(uri) == finished | dict.fromkeys(killed, "KILLED")
    copy = copy if same_process else MlflowCopy(ledger, uri)
    copy.update(Progress())
    assert statuses(uri) == finished | dict.fromkeys(killed, "RUNNING")
    finish_fold(ledger.trial("key0"), 1)
    finish(ledger, "key1")
    copy.update(FINISHED)
    assert set(statuses(uri).values()) == {"FINISHED"}


def test_a_failed_trial_says_why_and_may_be_mended(ledger: Ledger, uri: str) -> None:
    finish(ledger, "key1")
    finish_fold(ledger.trial("key0"), 0)
    copy = MlflowCopy(ledger, uri)
    copy.update(live(("key0", 1, 0)))
    ledger.trial("key0").write_failure("the loss is not finite")
    copy.update(FINISHED)
    store = snapshot(uri)
    failed = {key for key, run in store.items() if run["status"] == "FAILED"}
    assert failed == {("trial", "key0"), ("fold", "key0", "1")}
    assert store["trial", "key0"]["tags"]["audiotag.failure"] == "the loss is not finite"
    assert "eer/mean" not in store["trial", "key0"]["points"]
    assert store["study",]["points"]["trials/failed"] == [(0, 1)]
    (ledger.trial("key0").path / "failed.json").unlink()
    finish_fold(ledger.trial("key0"), 1)
    mended = copy_to(uri, Ledger.open(ledger.root))
    assert {run["status"] for run in mended.values()} == {"FINISHED"}
    assert "audiotag.failure" not in mended["trial", "key0"]["tags"]


def test_a_pruned_trial_is_finished_with_a_tag_and_without_a_mean(ledger: Ledger, uri: str) -> None:
    copy, key = MlflowCopy(ledger, uri), ("trial", "key1")
    copy.update(live(("key1", 0, 0)))
    assert statuses(uri)[key] == "RUNNING"
    finish(ledger, "key0")
    finish_fold(ledger.trial("key1"), 0)
    write_pruned(ledger.trial("key1"), 1, 0.3, 0.2)
    copy.update(FINISHED)
    store = snapshot(uri)
    assert {run["status"] for run in store.values()} == {"FINISHED"}
    assert store[key]["tags"]["audiotag.status"] == "pruned"
    assert "mean .300" in store[key]["tags"]["mlflow.note.content"]
    assert not [name for name in store[key]["points"] if name.startswith(("eer/", "eval/"))]
    assert "audiotag.status" not in store["trial", "key0"]["tags"]
    assert store["study",]["points"]["trials/pruned"] == [(0, 1)]
    assert copy_to(uri, ledger) == store
    (ledger.trial("key1").path / PRUNED_FILE).unlink()  # it may go on: the study has grown, say
    finish(ledger, "key1")
    run = copy_to(uri, Ledger.open(ledger.root))[key]
    assert (run["status"], "audiotag.status" in run["tags"], "eer/mean" in run["points"]) == ("FINISHED", False, True)


def test_a_damaged_fold_of_a_trial_waits_for_the_ledger(ledger: Ledger, uri: str) -> None:
    finish(ledger, "key0")
    (ledger.trial("key0").path / "fold_0.npz").write_bytes(b"torn")
    copy = MlflowCopy(ledger, uri)
    with pytest.warns(match="is missing or damaged"):
        copy.update(Progress())
    assert statuses(uri)["trial", "key0"] == "RUNNING"
    finish_fold(ledger.trial("key0"), 0)
    copy.update(Progress())
    assert statuses(uri)["trial", "key0"] == "FINISHED"


# studies side by side


def test_two_studies_of_one_name_are_kept_apart(ledger: Ledger, uri: str, tmp_path: Path) -> None:
    twin = make_ledger(tmp_path / "elsewhere" / "first", "b" * 32)
    finish(twin, "key0")
    assert [len(copy_to(uri, study, Progress())) for study in (ledger, twin)] == [3, 5]


# what the report concludes


def test_what_the_report_says_of_trials_is_in_their_runs(tmp_path: Path, uri: str) -> None:
    ledger = make_study(tmp_path / "s", MADE_UP[:3], corpus=make_corpus(**SMALL), gains=[0.0, 0.3, 1.5])
    write_results(ledger, "finished")
    store, found = copy_to(uri, ledger), read_findings(ledger)
    for trial in found.trials:
        points = store["trial", trial.key]["points"]
        wanted = {"eer/mean_low": trial.low, "eer/mean_high": trial.high, "vs_baseline/p_better": trial.p_better}
        wanted |= {"vs_baseline/difference": trial.difference, "vs_baseline/p_holm": trial.p_holm}
        wanted |= {"vs_baseline/difference_low": trial.difference_low, "vs_baseline/p_same": trial.p_same}
        there = without_none(wanted)
        assert {name: points.get(name) for name in there} == {name: [(0, value)] for name, value in there.items()}
    baseline = store["trial", found.baseline]["points"]
    assert not [name for name in baseline if name.startswith("vs_baseline/")]
    first, _, rest = store["study",]["tags"]["mlflow.note.content"].partition("\n\n")
    assert first.startswith(f"{ledger.study.question.splitlines()[0]} [The trials, the best first](#/experiments/")
    assert rest.startswith(f"{found.markdown}\n\nFrom none to much, all else equal.\n\n")
    assert copy_to(uri, Ledger.open(ledger.root)) == store


def test_figures_that_change_with_the_margin_are_brought_up_to_date(tmp_path: Path, uri: str) -> None:
    ledger = make_study(tmp_path / "s", MADE_UP[:2], corpus=make_corpus(**SMALL), gains=[0.0, 0.3])
    write_results(ledger, "finished")
    before = copy_to(uri, ledger)
    write_results(ledger, "finished", redraw=True, margin=1.0)
    after, key = copy_to(uri, Ledger.open(ledger.root)), ("trial", ledger.trials()[1].key)
    assert before[key]["points"]["vs_baseline/p_same"][-1][1] < after[key]["points"]["vs_baseline/p_same"][-1][1]
    assert after[key]["points"]["vs_baseline/p_holm"] == before[key]["points"]["vs_baseline/p_holm"]
    assert after[key]["status"] == "FINISHED"


def test_the_experiment_lists_the_answer_of_each_study_once(tmp_path: Path, uri: str) -> None:
    ledgers = [
        make_study(tmp_path / name, MADE_UP[:2], corpus=make_corpus(**SMALL), gains=[0.0, gain])
        for name, gain in (("one", 0.1), ("two", 1.5))
    ]
    for ledger in (*ledgers, ledgers[0]):
        write_results(ledger, "finished")
        copy_to(uri, Ledger.open(ledger.root))
    text = client_of(uri).get_experiment_by_name("mixup_alpha").tags["mlflow.note.content"]
    answers = [read_findings(ledger).answer for ledger in ledgers]
    lines = [line.partition(" [Its trials](#/")[0] for line in text.splitlines() if line.startswith("- `")]
    assert lines[:2] == [f"- `two` on `made_up`: {answers[1]}", f"- `one` on `made_up`: {answers[0]}"]
    assert text.count("### What studies found") == 1
    assert text.startswith("How strong should mixup be?")
