"""Stopped trials in MLflow: ended, told apart, and without a figure to rank them by."""

from helpers.tracked import epoch_result, finish, finish_fold, snapshot, statuses

from study.ledger.ledger import Ledger
from study.ledger.pruning import PRUNED_FILE, write_pruned
from study.tracking.mlflow_sync import Projection

RUN = ("trial", "key1")


def stop(ledger: Ledger) -> None:
    finish(ledger, "key0")
    finish_fold(ledger.trial("key1"), 0)
    write_pruned(ledger.trial("key1"), 1, 0.3, 0.2)


def test_a_stopped_trial_is_finished_with_a_tag_and_has_no_mean(ledger: Ledger, uri: str) -> None:
    stop(ledger)
    Projection(ledger, uri).update({}, "finished")
    runs = snapshot(uri)
    assert {run["status"] for run in runs.values()} == {"FINISHED"}
    assert runs[RUN]["tags"]["audiotag.status"] == "pruned"
    assert "stopped after 1 fold: mean .300, the bound was .200" in runs[RUN]["tags"]["mlflow.note.content"]
    assert not [name for name in runs[RUN]["points"] if name.startswith(("eer/", "eval/"))]
    assert "audiotag.status" not in runs["trial", "key0"]["tags"]
    assert ("fold", "key1", "0") in runs
    assert ("fold", "key1", "1") not in runs
    study = runs["study",]["points"]
    assert {name: study[f"trials/{name}"] for name in ("finished", "pruned", "failed")} == {
        "finished": [(0, 1.0)],
        "pruned": [(0, 1.0)],
        "failed": [(0, 0.0)],
    }


def test_a_trial_that_is_stopped_while_it_is_watched_ends(ledger: Ledger, uri: str) -> None:
    projection = Projection(ledger, uri)
    projection.update({("key1", 0): [epoch_result("key1", 0, 0)]}, "running")
    assert statuses(uri)[RUN] == "RUNNING"
    stop(ledger)
    projection.update({}, "running")
    assert statuses(uri)[RUN] == "FINISHED"
    before = snapshot(uri)
    Projection(ledger, uri).update({}, "running")  # of the next session
    assert snapshot(uri) == before


def test_a_trial_that_may_go_on_again_is_not_told_as_stopped(ledger: Ledger, uri: str) -> None:
    stop(ledger)
    Projection(ledger, uri).update({}, "interrupted")
    (ledger.trial("key1").path / PRUNED_FILE).unlink()
    finish(ledger, "key1")
    Projection(ledger, uri).update({}, "finished")
    run = snapshot(uri)[RUN]
    assert "audiotag.status" not in run["tags"]
    assert "eer/mean" in run["points"]
