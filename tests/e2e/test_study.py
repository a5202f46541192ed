"""Whole studies, as a user starts them: `python study/run.py` in a process of its own, on a few short recordings."""

import json
import os
import signal
import subprocess

import numpy as np
import pytest
from helpers.whole_studies import finish, mlflow_lacks, read_results, wait_for
from place import Place, kill
from soak import changed, differences, saved_epochs

from study.tuning.cluster import RETIRED

TAGS = ("hum", "hiss")
STUDY = ("--space", "augmentation", "--trials", "3", "--epochs", "3", "--cpus-per-trial", "0.5")
pytestmark = pytest.mark.slow


def run(place: Place, *words: str) -> subprocess.CompletedProcess[str]:
    retired = dict.fromkeys(RETIRED, str(place.root / "retired"))  # Ray refuses to train where they are set
    environment = {**os.environ, "XDG_CACHE_HOME": str(place.root / "cache"), **retired}
    return subprocess.run(place.command(*words), capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def finished(place: Place) -> subprocess.CompletedProcess[str]:
    return run(place, *STUDY, "--name", "whole", "--corpus", str(place.root / "corpus"))


def test_a_study_ends_with_its_table(place: Place, finished: subprocess.CompletedProcess[str]) -> None:
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stderr == ""
    first, *lines = finished.stdout.splitlines()
    assert first == "Corpus   corpus"
    assert any(line.split()[-7:] == ["hiss", "hum", "Avg", "Var", "Eval", "mAP", "Time"] for line in lines)
    assert sum("of 3 folds" in line for line in lines) == 9
    assert any(line.lstrip().startswith("compare the trials    mlflow ui --backend-store-uri") for line in lines)
    assert any(line.lstrip().startswith("then open http://127.0.0.1:5000/#/experiments/") for line in lines)
    answer = json.loads((place.study("whole") / "findings.json").read_text())["answer"]
    assert lines.index(answer) > max(at for at, line in enumerate(lines) if "Avg" in line)
    assert any(line.startswith("Sees     with 3 folds and 2 comparisons") for line in lines)


def test_results_keep_their_contract(place: Place, finished: subprocess.CompletedProcess[str]) -> None:
    content = read_results(place, "whole")
    assert content["status"] == "finished"
    assert content["tags"] == sorted(TAGS)
    assert [trial["params"]["augmentation"] for trial in content["trials"]] == ["none", "mixup", "sample_pairing"]
    for trial in content["trials"]:
        assert trial["status"] == "finished"
        assert [fold["fold"] for fold in trial["folds"]] == [0, 1, 2]
        by_tag = [np.mean([fold["eer"][tag] for fold in trial["folds"]]) for tag in content["tags"]]
        assert trial["eer_mean"] == pytest.approx(np.mean(by_tag))
        assert trial["eer_var_classes"] == pytest.approx(np.var(by_tag, ddof=1))
        assert trial["eer_var_folds"] == pytest.approx(np.var([fold["eer_mean"] for fold in trial["folds"]], ddof=1))
        assert set(trial["eval_eer"]) == set(TAGS)
        with np.load(place.study("whole") / "trials" / trial["key"] / "fold_1.npz") as arrays:
            assert arrays["held_out"].shape == (8, 2)
            assert arrays["evaluation_clips"].tolist() == ["20.wav", "21.wav", "22.wav", "23.wav"]


def test_mlflow_holds_the_study(place: Place, finished: subprocess.CompletedProcess[str]) -> None:
    import mlflow

    client = mlflow.MlflowClient(place.store)
    (experiment,) = [found for found in client.search_experiments() if found.name == "augmentation"]
    runs = client.search_runs([experiment.experiment_id], "tags.`audiotag.study` = 'whole'")
    levels = [found.data.tags["audiotag.level"] for found in runs]
    assert {level: levels.count(level) for level in levels} == {"study": 1, "trial": 3, "fold": 9}
    assert {found.info.status for found in runs} == {"FINISHED"}
    by_key = {trial["key"]: trial for trial in read_results(place, "whole")["trials"]}
    for found in runs:
        if found.data.tags["audiotag.level"] == "trial":
            trial = by_key[found.data.tags["audiotag.trial"]]
            metrics = found.data.metrics
            assert metrics["eer/mean"] == pytest.approx(trial["eer_mean"])
            assert metrics["eer/hum"] == pytest.approx(trial["eer"]["hum"])
            assert metrics["eer/var_classes"] == pytest.approx(trial["eer_var_classes"])
            assert found.data.params["augmentation"] == trial["params"]["augmentation"]
        if found.data.tags["audiotag.level"] == "fold":
            assert [point.step for point in client.get_metric_history(found.info.run_id, "val/loss")] == [0, 1, 2]


def test_resuming_a_finished_study_changes_nothing(place: Place, finished: subprocess.CompletedProcess[str]) -> None:
    folder = place.study("whole")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    again = run(place, "--resume", "whole")
    assert again.returncode == 0, again.stderr
    assert "nothing left to do" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_a_study_interrupted_by_each_signal_and_killed_ends_as_an_unbroken_one(
    place: Place, finished: subprocess.CompletedProcess[str]
) -> None:
    """The short form of benchmarks/soak.py, which also does it at random instants."""
    words = [*STUDY, "--name", "broken", "--corpus", str(place.root / "corpus")]
    study = place.study("broken")
    for sign, so_far in (
        (signal.SIGHUP, "trials/*/running.pt"),
        (signal.SIGKILL, "trials/*/fold_0.json"),
        (signal.SIGINT, "trials/*/fold_1.json"),
        (signal.SIGTERM, "trials/*/fold_2.json"),
    ):
        said, before = place.output(), saved_epochs(study)
        process = place.start(*words)
        wait_for(process, study, so_far)
        assert changed(before, saved_epochs(study)) == 0
        words = ["--resume", "broken", "--cpus-per-trial", "0.5"]
        if sign == signal.SIGKILL:
            kill(process.pid)  # Ray's processes, too
            process.wait()
            continue
        process.send_signal(sign)
        finish(process, place, code=130)
        output = place.output()[len(said) :].splitlines()
        assert output[-1].startswith("python study/run.py --resume broken"), output
        assert read_results(place, "broken")["status"] == "interrupted"
    before = saved_epochs(study)
    resumed = run(place, *words)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert changed(before, saved_epochs(study)) == 0
    assert differences(place.study("whole"), study) == []
    assert mlflow_lacks(place, "broken") == []


def test_a_second_driver_is_refused_while_the_first_lives(place: Place) -> None:
    process = place.start(*STUDY, "--name", "held", "--corpus", str(place.root / "corpus"))
    wait_for(process, place.study("held"), "trials/*/trial.json")
    second = run(place, "--resume", "held")
    process.send_signal(signal.SIGINT)
    finish(process, place, code=130)
    assert second.returncode == 2
    assert f"`held` is being run by process {process.pid} on " in second.stderr
