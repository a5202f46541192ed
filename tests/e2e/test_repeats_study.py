"""A whole study with several seeds, as a user starts it, killed in a further seed and resumed."""

from pathlib import Path

import pytest
from helpers.whole_studies import finish, mlflow_lacks, read_results, wait_for
from place import Place, kill, write_sounds
from soak import differences

STUDY = ("--space", "augmentation", "--trials", "1", "--epochs", "2", "--repeats", "2", "--cpus-per-trial", "0.5")
pytestmark = pytest.mark.slow


def test_a_study_killed_within_its_second_seed_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    place, corpus = Place(tmp_path), str(write_sounds(tmp_path / "corpus"))
    finish(place.start(*STUDY, "--corpus", corpus, "--name", "whole"), place)
    process = place.start(*STUDY, "--corpus", corpus, "--name", "killed")
    wait_for(process, place.study("killed"), "trials/*/fold_0.json")
    kill(process.pid)
    process.wait()
    finish(place.start("--resume", "killed"), place)
    assert differences(place.study("whole"), place.study("killed")) == []
    for name in ("whole", "killed"):
        assert mlflow_lacks(place, name) == []
        results = read_results(place, name)
        (trial,) = results["trials"]
        assert (results["repeats"], [own["seed"] for own in trial["repeats"]]) == (2, [0, 1])
        assert len(list(place.study(name).glob("trials/*/fold_*.pt"))) == 6
