"""Results are worked out once, and again as soon as a file of the trial or the study has changed."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study

from study.ledger.files import LedgerWarning
from study.ledger.ledger import Ledger, TrialFolder
from study.ledger.results import study_results, trial_results


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return make_study(tmp_path / "study", ALPHAS[:2], corpus=make_corpus(**SMALL), epochs=2)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the trials whose folds are read."""
    keys: list[str] = []
    fold = TrialFolder.fold

    def reading(folder: TrialFolder, *arguments: Any) -> Any:
        keys.append(folder.key)
        return fold(folder, *arguments)

    monkeypatch.setattr(TrialFolder, "fold", reading)
    return keys


def test_a_second_look_reads_no_fold(ledger: Ledger, read: list[str]) -> None:
    first = study_results(ledger, "finished")
    assert set(read) == {"key0000", "key0001"}
    read.clear()
    assert study_results(Ledger(ledger.root), "finished") == first
    assert read == []


def test_a_changed_file_is_read(ledger: Ledger, read: list[str]) -> None:
    before = study_results(ledger, "finished")["trials"]
    path = ledger.trial("key0001").path / "fold_0.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"seconds": record["seconds"] + 1}))
    read.clear()
    after = study_results(ledger, "finished")["trials"]
    assert set(read) == {"key0001"}
    assert after[0] == before[0]
    assert after[1]["seconds"] == pytest.approx(before[1]["seconds"] + 1)


def test_a_trial_that_fails_later_is_read(ledger: Ledger) -> None:
    assert study_results(ledger, "finished")["trials"][0]["status"] == "finished"
    ledger.trial("key0000").write_failure("it did")
    assert study_results(ledger, "finished")["trials"][0]["status"] == "failed"


def test_another_study_file_is_another_result(ledger: Ledger) -> None:
    study = ledger.study()
    folder = ledger.trial("key0000")
    first = trial_results(folder, study)
    assert first is not None
    shorter = study | {"corpus": study["corpus"] | {"folds": study["corpus"]["folds"][:1]}}
    second = trial_results(folder, shorter)
    assert second is not None
    assert (len(first["folds"]), len(second["folds"])) == (3, 1)


def test_a_callers_changes_are_its_own(ledger: Ledger) -> None:
    folder, study = ledger.trial("key0000"), ledger.study()
    first = trial_results(folder, study)
    assert first is not None
    first["status"] = "spoilt"
    second = trial_results(folder, study)
    assert second is not None
    assert second["status"] == "finished"


def test_damage_is_told_each_time(ledger: Ledger) -> None:
    folder, study = ledger.trial("key0000"), ledger.study()
    (folder.path / "fold_0.npz").unlink()
    for _ in range(2):
        with pytest.warns(LedgerWarning, match="is missing or damaged"):
            assert trial_results(folder, study) is None
