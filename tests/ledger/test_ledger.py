"""The ledger: whole files or none, damaged ones count as missing and are said."""

import builtins
import errno
import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.small_study import STUDY, fold_record

from study.ledger.files import LedgerError, LedgerWarning, WriteError, read_json, set_aside, write_file, write_json
from study.ledger.ledger import Ledger
from study.ledger.saved_state import pack_fold
from study.ledger.schema import TrialRecord, write_record
from study.ledger.trial_folder import TrialFolder, trial_key

SCORES = {"held_out": np.array([[0.25]], np.float32), "held_out_clips": np.array(["a"])}
WEIGHTS = {"layer": torch.arange(6.0)}


@pytest.fixture
def folder(tmp_path: Path) -> TrialFolder:
    made = Ledger.create(tmp_path / "s", STUDY).trial("k")
    made.write_trial(0, {"alpha": 1.5})
    return made


def finish(folder: TrialFolder) -> None:
    folder.write_fold(fold_record(folder, 0, 0.1, 0.2), pack_fold(SCORES, WEIGHTS))


# reference


def test_a_fold_comes_back_as_it_was_written(folder: TrialFolder) -> None:
    folder.write_running(b"a state")
    finish(folder)
    record = folder.read_fold(0)
    assert record is not None
    assert write_record(record) | {"files": {}} == write_record(fold_record(folder, 0, 0.1, 0.2))
    assert folder.read_scores(0)["held_out"].dtype == np.float32
    assert folder.read_scores(0)["held_out_clips"].tolist() == ["a"]
    loaded = torch.load(folder.path / "fold_0.pt", weights_only=True)
    assert torch.equal(loaded["layer"], WEIGHTS["layer"])
    assert not (folder.path / "running.pt").exists()


class OnCard(torch.Tensor):
    """Stands for a tensor on a GPU: only its copy on the CPU is one that is read anywhere."""

    def cpu(self) -> torch.Tensor:  # type: ignore[override]
        return self.as_subclass(torch.Tensor)


def test_weights_that_were_trained_on_a_gpu_are_read_without_one(folder: TrialFolder) -> None:
    weights = {name: value.as_subclass(OnCard) for name, value in WEIGHTS.items()}
    folder.write_fold(fold_record(folder, 0, 0.1, 0.2), pack_fold(SCORES, weights))
    loaded = torch.load(folder.weights_path(0), weights_only=True)
    assert torch.equal(loaded["layer"], WEIGHTS["layer"])


def test_trials_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "s", STUDY)
    for number, key in ((2, "a"), (0, "b"), (1, "c")):
        ledger.trial(key).write_trial(number, {})
    assert [folder.key for folder in ledger.trials()] == ["b", "c", "a"]


# property


def test_key_depends_on_each_part_and_not_on_order() -> None:
    parts: list[Any] = [{"a": 1, "b": 2.0}, "f", {"n_mels": 128}, 0, "paper"]
    key = trial_key(*parts)
    assert trial_key({"b": 2.0, "a": 1}, *parts[1:]) == key
    for place, other in enumerate([{"a": 1, "b": 2.5}, "g", {"n_mels": 64}, 1, "nested"]):
        assert trial_key(*[*parts[:place], other, *parts[place + 1 :]]) != key


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_content_and_no_litter(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})

    def fail(file: Any) -> None:
        file.write(b"half")
        raise error

    with pytest.raises(WriteError if isinstance(error, OSError) else KeyboardInterrupt):
        write_file(path, fail)
    assert read_json(path, dict) == {"a": 1}
    assert os.listdir(tmp_path) == ["x.json"]


def test_an_interrupted_rename_leaves_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no rename")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(WriteError, match=r"x.json cannot be written \(no rename\).*continue with --resume"):
        write_json(tmp_path / "x.json", {})
    assert os.listdir(tmp_path) == []


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(Path("never.json"), {"eer": float("nan")})


def test_only_one_process_holds_a_study(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "s", STUDY)
    script = (
        "import sys; from pathlib import Path\n"
        "from study.ledger.files import LedgerError; from study.ledger.ledger import Ledger\n"
        "try:\n"
        "    with Ledger.open(Path(sys.argv[1])).locked(): print('held')\n"
        "except LedgerError as error: print(error)"
    )

    def other() -> str:
        return subprocess.run(
            [sys.executable, "-c", script, str(ledger.root)], capture_output=True, text=True, check=True
        ).stdout.strip()

    with ledger.locked():
        assert f"is being run by process {os.getpid()} on {socket.gethostname()} since 2" in other()
    assert other() == "held"
    assert not (ledger.root / ".driver.json").exists()


def test_a_half_written_file_of_a_killed_writer_is_cleared_away(folder: TrialFolder) -> None:
    (folder.path / ".running.pt.123.tmp").write_bytes(b"half")
    folder.clear_leftovers()
    assert not list(folder.path.glob("*.tmp"))


# degenerate


@pytest.fixture
def _flaky_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk on which every second look at a file finds none, as while it is being replaced."""
    looks = count()

    def flaky(original: Callable[..., Any]) -> Callable[..., Any]:
        def look(path: Any, *arguments: Any, **named: Any) -> Any:
            mine = isinstance(path, str | Path) and Path(path).suffix in (".json", ".npz", ".pt")
            if mine and "w" not in str(arguments) and next(looks) % 2 == 0:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
            return original(path, *arguments, **named)

        return look

    for owner, name in ((os, "stat"), (io, "open"), (builtins, "open")):
        monkeypatch.setattr(owner, name, flaky(getattr(owner, name)))


def test_files_that_are_being_replaced_are_read(folder: TrialFolder, request: pytest.FixtureRequest) -> None:
    root = folder.path.parents[1]
    finish(folder)
    folder.write_running(b"a state")
    request.getfixturevalue("_flaky_disk")
    for _ in range(3):
        (same,) = Ledger.open(root).trials()
        record = same.read_fold(0)
        assert record is not None
        assert same.read_scores(0)["held_out_clips"].tolist() == ["a"]
        assert same.read_running() == b"a state"
        first, last = same.written()
        assert first <= last
        assert same.read_failure() is None
    folder.write_failure("it ended")
    assert folder.read_failure() == "it ended"


def test_a_record_that_goes_after_its_folder_was_listed_has_no_time(
    folder: TrialFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(folder)
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [self / "gone.json", self / "trial.json"])
    assert folder.written() == (os.stat(folder.path / "trial.json").st_mtime,) * 2
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [self / "gone.json"])
    assert len(set(folder.written())) >= 1
    set_aside(folder.path / "gone.json")


def test_what_is_not_there_is_none(folder: TrialFolder, tmp_path: Path) -> None:
    assert folder.read_fold(0) is None
    assert folder.read_running() is None
    assert folder.read_failure() is None
    ledger = Ledger.open(tmp_path / "s")
    assert ledger.read_results() is None
    assert ledger.trial("other").read_trial() is None


@pytest.mark.parametrize("name", ["fold_0.json", "fold_0.npz", "fold_0.pt"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "missing"])
def test_a_damaged_fold_counts_as_missing(folder: TrialFolder, name: str, damage: str) -> None:
    finish(folder)
    path = folder.path / name
    content = path.read_bytes()
    path.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "missing": b""}[damage])
    if damage == "missing":
        path.unlink()
    if name == "fold_0.json" and damage == "missing":
        assert folder.read_fold(0) is None
    else:
        with pytest.warns(LedgerWarning, match=rf"{name}.*(missing|damaged)"):
            assert folder.read_fold(0) is None


@pytest.mark.parametrize("content", ["[]", "{}", "3", '{"files": 1}'])
def test_a_foreign_record_counts_as_missing(folder: TrialFolder, content: str) -> None:
    finish(folder)
    (folder.path / "fold_0.json").write_text(content)
    with pytest.warns(LedgerWarning, match="counts as missing"):
        assert folder.read_fold(0) is None


def test_a_damaged_configuration_is_known_from_a_finished_fold(folder: TrialFolder) -> None:
    whole = folder.trial
    finish(folder)
    (folder.path / "trial.json").write_text('{"number": 0, "conf')
    with pytest.warns(LedgerWarning, match=r"trial.json cannot be read"):
        assert folder.read_trial() == whole
    assert (folder.path / "trial.json.damaged").is_file()
    assert folder.trial == whole == TrialRecord(0, {"alpha": 1.5})  # and nothing more is said
    assert [found.key for found in Ledger.open(folder.path.parents[1]).trials()] == ["k"]


def test_a_configuration_lost_without_a_fold_leaves_its_place_free(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "s", STUDY)
    for number, key in enumerate("abc"):
        ledger.trial(key).write_trial(number, {})
    (ledger.trial("b").path / "trial.json").write_bytes(b"")
    with pytest.warns(LedgerWarning, match="counts as missing"):
        assert [found.key for found in ledger.trials()] == ["a", "c"]
    assert [ledger.next_number() for _ in range(3)] == [1, 3, 4]
    assert Ledger.open(ledger.root).next_number() == 1  # what was given away and not written is free again


def test_trials_are_read_once_however_many_numbers_are_given_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, read = Ledger.create(tmp_path / "s", STUDY), []
    for number, key in enumerate("abc"):
        ledger.trial(key).write_trial(number, {})
    whole = TrialFolder.read_trial
    monkeypatch.setattr(TrialFolder, "read_trial", lambda folder: read.append(folder.key) or whole(folder))
    assert [ledger.next_number() for _ in range(4)] == [3, 4, 5, 6]
    assert sorted(read) == ["a", "b", "c"]


def test_a_damaged_reason_is_set_aside_and_the_trial_may_go_on(folder: TrialFolder) -> None:
    folder.write_failure("diverged")
    (folder.path / "failed.json").write_text("{}")
    with pytest.warns(LedgerWarning, match=r"failed.json cannot be read"):
        assert folder.read_failure() is None
    assert folder.read_failure() is None
    assert not (folder.path / "failed.json").exists()


def test_arrays_of_the_right_size_that_are_none_count_as_missing(folder: TrialFolder) -> None:
    finish(folder)
    path = folder.path / "fold_0.npz"
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.warns(LedgerWarning, match="damaged"):
        assert folder.read_fold(0) is None


# malformed


def test_a_study_is_not_made_twice(tmp_path: Path) -> None:
    Ledger.create(tmp_path / "s", STUDY)
    with pytest.raises(LedgerError, match=r"`s` exists .* --resume s"):
        Ledger.create(tmp_path / "s", replace(STUDY, seed=4))
    assert Ledger.open(tmp_path / "s").study.seed == STUDY.seed


def test_a_study_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no study `s`"):
        Ledger.open(tmp_path / "s")


def test_another_format_is_refused(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "s", replace(STUDY, format=99))
    with pytest.raises(LedgerError, match=r"format 99, but this version reads 4 and 5"):
        Ledger.open(ledger.root)


@pytest.mark.parametrize("name", ["study", "trials", "corpus", "varied"])
@pytest.mark.parametrize("value", [None, 1.5])
def test_a_study_file_with_an_unusable_field_is_refused(tmp_path: Path, name: str, value: object) -> None:
    path = Ledger.create(tmp_path / "s", STUDY).root / "study.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(LedgerError, match=f"has a study.json without a usable `{name}`: put back a copy"):
        Ledger.open(path.parent)
    content = json.loads(path.read_text())
    del content[name]
    path.write_text(json.dumps(content))
    with pytest.raises(LedgerError, match=f"without a usable `{name}`"):
        Ledger.open(path.parent)


def test_a_study_of_format_4_is_read(tmp_path: Path) -> None:
    """What an earlier version did not write has the value that it stood for."""
    path = Ledger.create(tmp_path / "s", replace(STUDY, format=4)).root / "study.json"
    content = json.loads(path.read_text())
    later = ("sampler", "scheduler", "ranges", "baseline", "repeats", "stereo", "continued_with", "git_dirty", "folder")
    for name in later:
        del content[name]
    path.write_text(json.dumps(content))
    assert Ledger.open(path.parent).study == replace(STUDY, format=4, folder=str(path.parent))


def test_a_study_is_there_with_its_settings_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LedgerError, match=r"cannot be written \(No space left on device\): choose --studies"):
        Ledger.create(tmp_path / "s", STUDY)
    assert os.listdir(tmp_path) == []
