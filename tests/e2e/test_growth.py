"""A whole study that gets a larger goal."""

import pytest
from helpers.whole_studies import finish, mlflow_lacks, read_results
from place import Place

pytestmark = pytest.mark.slow


def test_a_sampled_study_grows(place: Place) -> None:
    words = ["--space", "joint", "--epochs", "1", "--cpus-per-trial", "0.5", "--corpus", str(place.root / "corpus")]
    finish(place.start(*words, "--trials", "1", "--name", "grows"), place)
    (first,) = read_results(place, "grows")["trials"]
    finish(place.start("--resume", "grows", "--trials", "2"), place)
    kept, added = read_results(place, "grows")["trials"]
    assert kept == first
    assert added["params"] != first["params"]
    assert mlflow_lacks(place, "grows") == []
