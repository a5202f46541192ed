"""A whole study that looks for the highest mean average precision: pruned, killed, resumed, reported and applied."""

import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from helpers.tracked import client_of
from helpers.whole_studies import catch_up, finish, read_results, wait_for, write_noise
from place import ROOT, Place, kill

from study.ledger.ledger import Ledger
from study.ledger.pruning import read_passed, read_pruned
from study.ledger.results import merged_folds, running_means, study_results

pytestmark = pytest.mark.slow
STUDY = ("--space", "joint", "--trials", "8", "--epochs", "1", "--scheduler", "asha", "--sampler", "tpe")


def test_a_study_that_maximises_its_metric(tmp_path: Path) -> None:
    place = Place(tmp_path)
    root, corpus = place.study("s"), write_noise(tmp_path / "corpus")
    process = place.start(*STUDY, "--metric", "ap", "--name", "s", "--corpus", str(corpus))
    wait_for(process, root, "trials/*/fold_1.json")
    kill(process.pid)
    process.wait()
    finish(place.start("--resume", "s", "--metric", "eer"), place, code=2)
    assert "--metric was ap, now it is eer" in place.output()
    finish(place.start("--resume", "s", "--metric", "ap"), place)
    catch_up(place, "s")

    ledger, content = Ledger.open(root), read_results(place, "s")
    results = study_results(ledger, "finished")
    means = {trial.key: trial.figures["ap"].mean for trial in results.finished}
    best = max(means, key=lambda key: means[key])
    assert results.best.key == best
    assert content["metric"] == "ap"
    assert {trial["key"]: trial["ap_mean"] for trial in content["trials"] if trial["key"] in means} == means
    assert all(trial["eer_mean"] is not None for trial in content["trials"] if trial["key"] in means)

    pruned = [folder for folder in ledger.trials() if read_pruned(folder) is not None]
    passed = [folder for folder in ledger.trials() if read_passed(folder)]
    assert pruned
    assert passed
    for folder in pruned:
        record = read_pruned(folder)
        assert record.mean == pytest.approx(running_means(merged_folds(folder, ledger.study), ledger.study)[0])
        assert record.mean < record.bound

    study = optuna.load_study(study_name="s", storage=f"sqlite:///{root / 'optuna.db'}")
    assert (study.direction.name, study.metric_names) == ("MAXIMIZE", ["ap_mean"])
    assert study.best_trial.user_attrs["key"] == best

    client = client_of(place.store)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (run,) = client.search_runs(experiments, "tags.`audiotag.level` = 'study'")
    assert run.data.metrics["best/ap_mean"] == means[best]
    assert run.data.params["metric"] == "ap"
    versions = client.search_model_versions("name = 's'")
    assert {version.tags["audiotag.trial"] for version in versions} == {best}

    command = [sys.executable, str(ROOT / "study" / "tag.py"), "s", str(corpus / "audio" / "0.wav"), "--json"]
    done = subprocess.run([*command, "--studies", str(root.parent)], capture_output=True, text=True, check=True)
    tagged = json.loads(done.stdout)
    assert (tagged["trial"], tagged["ap_mean"]) == (best, means[best])
    assert tagged["eer_mean"] == results.best.figures["eer"].mean

    for path in root.glob("trials/*/fold_*.json"):  # as an earlier version would have left them
        record = json.loads(path.read_text())
        path.write_text(json.dumps({name: value for name, value in record.items() if not name.startswith("auroc")}))
    (root / "clips.npz").unlink()
    finish(place.start("--resume", "s"), place)
    assert read_results(place, "s") == content
    assert "Metric   Average precision: the trial with the highest mAP" in place.output()
    assert "Traceback" not in place.output()
