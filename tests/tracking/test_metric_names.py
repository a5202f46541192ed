"""study.tracking.metric_names: what tags are called, and that a second metric appears beside the first."""

import numpy as np
import pytest
from helpers.tracked import client_of, finish, live, make_ledger, snapshot

from audiotag.metrics import METRICS, Metric
from study.ledger.ledger import Ledger
from study.ledger.results import study_results
from study.tracking.metric_names import tag_names
from study.tracking.mlflow_sync import MlflowCopy
from study.tracking.tracker import Progress

ODD = ["a?", "a!", "a_", "a__2", "mean", "mean_2", "var_folds", ".", "..", "", "x/../y", "x" * 900, "x" * 901, "\n"]


def test_names_are_distinct_and_mlflow_takes_them(uri: str) -> None:
    plain = ["c", "Tür auf", "b-1.x:y"]
    assert tag_names(plain) == {tag: tag for tag in plain}
    names = tag_names(ODD)
    assert len(set(names.values())) == len(ODD)
    assert not set(names.values()) & {"mean", "var_folds", "var_classes"}
    client = client_of(uri)
    run = client.create_run("0")
    for name in names.values():
        client.log_metric(run.info.run_id, f"eer/{name}", 0.5)


def accuracy_at_half(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return ((scores > 0.5) == targets).mean(axis=0)


def test_a_second_metric_is_in_mlflow_without_another_edit(
    tmp_path: pytest.TempPathFactory, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METRICS, "map", Metric("map", "Mean average precision", accuracy_at_half, False))
    ledger: Ledger = make_ledger(tmp_path / "two", "a" * 32, repeats=2)
    finish(ledger, "key0", "key1")
    progress = live(("key0", 0, 0))
    (epoch,) = progress.epochs["key0", 1, 0, 7]
    epoch.val_means["map"] = 0.75
    copy = MlflowCopy(ledger, uri)
    (ledger.trial("key0").path / "fold_0.json").unlink()
    copy.update(progress)
    assert snapshot(uri)["fold", "key0", "0", "7"]["points"]["val/map_mean"] == [(0, 0.75)]
    copy.update(Progress("finished"))
    best, store = study_results(ledger, "finished").best, snapshot(uri)
    figures, points = best.figures["map"], store["trial", best.key]["points"]
    own = {"map/mean": figures.mean, "map/mean_2": figures.by_tag["mean"], "map/var_folds": figures.var_folds}
    own |= {"map/sd_seeds": figures.sd_seeds, "eval_map/mean": best.evaluation["map"].mean}
    assert {name: points[name] for name in own} == {name: [(0, value)] for name, value in own.items()}
    assert store["study",]["points"]["best/map_mean"] == [(0, figures.mean)]
    assert "Mean average precision" in store["trial", best.key]["tags"]["mlflow.note.content"]
