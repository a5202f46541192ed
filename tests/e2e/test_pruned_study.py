"""A whole study that prunes and looks for the highest mean average precision: killed, resumed, applied, enlarged."""

import json
import subprocess
import sys
from collections import Counter

import optuna
import pytest
from helpers.tracked import client_of
from helpers.whole_studies import catch_up, finish, mlflow_lacks, read_results, wait_for, write_noise
from place import ROOT, Place, kill
from soak import changed, saved_epochs

from study.ledger.ledger import Ledger
from study.ledger.pruning import read_passed, read_pruned
from study.ledger.results import merged_folds, running_means, study_results

STUDY = ("--space", "joint", "--trials", "8", "--epochs", "1", "--scheduler", "asha", "--sampler", "tpe")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The study `s`, killed and resumed; what it had kept by then was not trained again."""
    place = Place(tmp_path_factory.mktemp("place"))
    root, corpus = place.study("s"), write_noise(place.root / "corpus")
    process = place.start(*STUDY, "--metric", "ap", "--name", "s", "--corpus", str(corpus))
    wait_for(process, root, "trials/*/fold_1.json", count=2)
    kill(process.pid)
    process.wait()
    before, keys = saved_epochs(root), {path.name for path in root.glob("trials/*")}
    finish(place.start("--resume", "s", "--metric", "eer"), place, code=2)
    assert "--metric was ap, now it is eer" in place.output()
    finish(place.start("--resume", "s", "--metric", "ap"), place)
    catch_up(place, "s")
    assert changed(before, saved_epochs(root)) <= 4, "more was trained again than what was in progress"
    assert keys <= {path.name for path in root.glob("trials/*")}, "a configuration was lost"
    return place


def test_each_configuration_is_there_once_and_what_was_pruned_stays_so(place: Place) -> None:
    root = place.study("s")
    ledger = Ledger.open(root)
    results = study_results(ledger, "finished")
    statuses = Counter(trial.status for trial in results.trials)
    assert len({str(trial.params) for trial in results.trials}) == 8 == statuses.total()
    assert set(statuses) == {"finished", "pruned"}
    for trial in results.trials:
        assert len(trial.folds) == (1 if trial.status == "pruned" else 3)
        assert not (ledger.trial(trial.key).path / "running.pt").exists(), "an epoch of the next fold was trained"
    assert any(read_passed(folder) for folder in ledger.trials())
    for folder in ledger.trials():
        if (record := read_pruned(folder)) is not None:
            assert record.mean == pytest.approx(running_means(merged_folds(folder, ledger.study), ledger.study)[0])
            assert record.mean < record.bound
    assert "pruned after 1 fold" in place.output()
    assert "Traceback" not in place.output()


def test_the_best_is_the_one_with_the_highest_metric_everywhere(place: Place) -> None:
    root, content = place.study("s"), read_results(place, "s")
    results = study_results(Ledger.open(root), "finished")
    means = {trial.key: trial.figures["ap"].mean for trial in results.finished}
    best = max(means, key=lambda key: means[key])
    assert results.best.key == best
    assert content["metric"] == "ap"
    assert {trial["key"]: trial["ap_mean"] for trial in content["trials"] if trial["key"] in means} == means
    assert all(trial["eer_mean"] is not None for trial in content["trials"] if trial["key"] in means)

    study = optuna.load_study(study_name="s", storage=f"sqlite:///{root / 'optuna.db'}")
    assert (study.direction.name, study.metric_names) == ("MAXIMIZE", ["ap_mean"])
    assert study.best_trial.user_attrs["key"] == best
    states = Counter(trial.state.name for trial in study.trials)
    assert states == {"COMPLETE": len(means), "PRUNED": 8 - len(means)}

    command = [sys.executable, str(ROOT / "study" / "tag.py"), "s", str(place.root / "corpus" / "audio" / "0.wav")]
    done = subprocess.run([*command, "--json", "--studies", str(root.parent)], capture_output=True, check=True)
    tagged = json.loads(done.stdout)
    assert (tagged["trial"], tagged["ap_mean"]) == (best, means[best])
    assert tagged["eer_mean"] == results.best.figures["eer"].mean


def test_mlflow_has_the_best_and_what_was_pruned(place: Place) -> None:
    client, results = client_of(place.store), read_results(place, "s")
    means = {trial["key"]: trial["ap_mean"] for trial in results["trials"] if trial["status"] == "finished"}
    best = max(means, key=lambda key: means[key])
    (experiment,) = [found for found in client.search_experiments() if found.name == "joint"]
    (run,) = client.search_runs([experiment.experiment_id], "tags.`audiotag.level` = 'study'")
    assert run.data.metrics["best/ap_mean"] == means[best]
    assert run.data.params["metric"] == "ap"
    versions = client.search_model_versions("name = 's'")
    assert {version.tags["audiotag.trial"] for version in versions} == {best}
    runs = client.search_runs([experiment.experiment_id], "tags.`audiotag.level` = 'trial'")
    pruned = [run for run in runs if run.data.tags.get("audiotag.status") == "pruned"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert (len(runs), len(pruned)) == (8, 8 - len(means))
    assert not [run for run in pruned if {"ap/mean", "eer/mean"} & set(run.data.metrics)]
    assert all({"ap/mean", "eer/mean"} <= set(run.data.metrics) for run in runs if run not in pruned)


def test_a_larger_goal_keeps_all_figures_of_an_earlier_version_too(place: Place) -> None:
    root, before = place.study("s"), read_results(place, "s")["trials"]
    for path in root.glob("trials/*/fold_*.json"):  # as an earlier version would have left them
        record = json.loads(path.read_text())
        path.write_text(json.dumps({name: value for name, value in record.items() if not name.startswith("auroc")}))
    (root / "clips.npz").unlink()
    finish(place.start("--resume", "s", "--trials", "9"), place)
    *kept, added = read_results(place, "s")["trials"]
    assert kept == before
    assert added["params"] not in [trial["params"] for trial in kept]
    assert mlflow_lacks(place, "s") == []
    assert "Metric   Average precision: the trial with the highest mAP" in place.output()
    assert "Traceback" not in place.output()
