"""Whole studies of two partitions, as a user starts them: killed in the second, and one that gets it later."""

import json
from pathlib import Path

import pytest
from helpers.whole_studies import finish, mlflow_lacks, read_results, wait_for, write_noise
from place import Place, kill, write_sounds
from soak import differences

STUDY = ("--space", "augmentation", "--trials", "2", "--epochs", "2", "--cpus-per-trial", "0.5")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder with a corpus, and the study with which the others are compared."""
    place = Place(tmp_path_factory.mktemp("place"))
    write_sounds(place.root / "corpus")
    start = place.start(*STUDY, "--partitions", "2", "--corpus", str(place.root / "corpus"), "--name", "whole")
    finish(start, place)
    return place


def test_each_training_of_the_second_partition_is_kept_apart(whole: Place) -> None:
    assert "2 partitions: the corpus's own folds and 1 other, drawn from the seed" in whole.output()
    assert "6 of 6 folds" in whole.output()
    results = read_results(whole, "whole")
    assert results["partitions"] == 2
    for trial in results["trials"]:
        assert len(list((whole.study("whole") / "trials" / trial["key"]).glob("fold_*.pt"))) == 6
        assert [len(own["folds"]) for own in trial["partitions"]] == [3]
    assert mlflow_lacks(whole, "whole") == []


def test_a_study_that_is_not_clear_gets_its_second_partition_and_is_killed_in_it(whole: Place) -> None:
    """It then ends as one that had both from the start."""
    words = (*STUDY, "--until-clear", "--most", "2", "--corpus", str(whole.root / "corpus"), "--name", "clear")
    process = whole.start(*words)
    wait_for(process, whole.study("clear"), "trials/*/fold_0_partition_2.json")
    kill(process.pid)
    process.wait()
    assert "Look 1 of 2 at most" in whole.output()
    assert "Partition 2 follows for it and the baseline" in whole.output()
    finish(whole.start("--resume", "clear"), whole)
    assert "Look 2 of 2 at most" in whole.output()
    assert differences(whole.study("whole"), whole.study("clear")) == []
    assert mlflow_lacks(whole, "clear") == []
    study = json.loads((whole.study("clear") / "study.json").read_text())
    assert (study["most"], study["settled"]) == (2, True)
    assert study["drawn"][0]["trials"] == sorted(trial["key"] for trial in read_results(whole, "clear")["trials"])


def test_a_finished_study_gets_a_partition_and_keeps_its_figures(whole: Place) -> None:
    finish(whole.start(*STUDY, "--corpus", str(whole.root / "corpus"), "--name", "grown"), whole)
    before = read_results(whole, "grown")["trials"]
    finish(whole.start("--resume", "grown", "--partitions", "2"), whole)
    assert differences(whole.study("whole"), whole.study("grown")) == []
    for old, new in zip(before, read_results(whole, "grown")["trials"], strict=True):
        assert {name: new[name] for name in old} == old
    assert mlflow_lacks(whole, "grown") == []
    (drawn,) = json.loads((whole.study("grown") / "study.json").read_text())["drawn"]
    assert set(drawn["folds"].split()) == {"-1", "0", "1", "2"}


def test_pruned_trials_get_no_further_partition(tmp_path: Path) -> None:
    place, words = Place(tmp_path), ("--space", "joint", "--trials", "8", "--epochs", "1", "--sampler", "random")
    corpus = str(write_noise(tmp_path / "corpus"))
    words = (*words, "--scheduler", "asha", "--partitions", "2", "--cpus-per-trial", "0.5")
    finish(place.start(*words, "--corpus", corpus, "--name", "asha"), place)
    trials = read_results(place, "asha")["trials"]
    assert {trial["status"] for trial in trials} == {"finished", "pruned"}
    for trial in trials:
        drawn = list((place.study("asha") / "trials" / trial["key"]).glob("fold_*_partition_2.json"))
        assert len(drawn) == (3 if trial["status"] == "finished" else 0)
        assert ("partitions" in trial) == (trial["status"] == "finished")
    assert mlflow_lacks(place, "asha") == []
