"""Studies in an object store: the working copies of several machines, and what is true where they differ."""

from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from helpers.buckets import URL, Machines, make_machines
from helpers.small_study import STUDY, finish_trial, fold_record

from study.ledger.files import LedgerError, LedgerWarning, WriteError, read_json, set_aside
from study.ledger.ledger import Ledger
from study.ledger.mirror import fetch, mirror_of
from study.ledger.results import study_results
from study.ledger.saved_state import FoldFiles
from study.ledger.store import Store, StoreError, Version
from study.ledger.studies import find_study, open_study, study_names

EERS = {1: (0.1, 0.3), 2: (0.2, 0.4)}


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    return make_machines(tmp_path, monkeypatch)


def make(machines: Machines, name: str = "mixup-1", machine: str = "a", trials: int = 1) -> Ledger:
    ledger = Ledger.create(machines(machine) / name, replace(STUDY, name=name, trials=trials))
    for number in range(trials):
        finish_trial(ledger, f"k{number}", number, EERS)
    return ledger


def test_a_machine_that_never_saw_a_study_reads_it(machines: Machines) -> None:
    made = make(machines, trials=2)
    assert study_names(machines("b")) == ["mixup-1"]
    read = open_study(machines("b"), "mix")
    assert read.root == machines("b") / "mixup-1"
    assert read.study == made.study
    assert read.study.folder == f"{URL}/mixup-1"
    assert study_results(read, "finished") == study_results(made, "finished")
    with pytest.raises(LedgerError, match=f"There is no study `mxup` in {URL}: did you mean mixup-1"):
        find_study(machines("b"), "mxup")


def test_weights_come_when_they_are_used(machines: Machines) -> None:
    made = make(machines)
    read = open_study(machines("b"), "mixup-1")
    assert not list(machines("b").rglob("*.pt"))
    trial = read.trial("k0")
    assert trial.read_fold(1) is not None
    path = trial.weights_path(1)
    assert path.read_bytes() == made.trial("k0").weights_path(1).read_bytes()
    assert path.name == "fold_1.pt"
    assert len(list(machines("b").rglob("*.pt"))) == 1


def test_a_copy_follows_and_fetches_nothing_twice(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(machines)
    open_study(machines("b"), "mixup-1")
    fetched: list[str] = []
    get = Store.get
    monkeypatch.setattr(Store, "get", lambda store, key: fetched.append(key) or get(store, key))
    made.trial("k0").write_failure("too bad")
    made.update_study(trials=7)
    (machines("b") / "mixup-1" / "trials" / "k0" / "fold_1.npz").write_bytes(b"torn")
    read = open_study(machines("b"), "mixup-1")
    assert read.study.trials == 7
    assert read.trial("k0").read_failure() == "too bad"
    assert read.trial("k0").read_fold(1) is not None
    changed = ["study.json", "trials/k0/failed.json", "trials/k0/fold_1.npz"]
    assert sorted(fetched) == [f"mixup-1/{name}" for name in changed]


def test_what_is_removed_there_goes_here(machines: Machines) -> None:
    made = make(machines)
    folder = made.trial("k0")
    folder.write_running(b"state")
    read = open_study(machines("b"), "mixup-1")
    assert read.trial("k0").read_running() == b"state"
    folder.write_fold(fold_record(folder, 3, 0.1, 0.1), FoldFiles(b"", b""))  # its end
    fetch(machines("b") / "mixup-1")
    assert read.trial("k0").read_running() is None
    store = mirror_of(machines("a")).store
    for key in store.list("mixup-1"):
        store.remove(key)
    with pytest.raises(LedgerError, match="no study"):
        Ledger.open(machines("b") / "mixup-1")
    assert not (machines("b") / "mixup-1").exists()


def test_a_fold_counts_once_its_record_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Breaking(Store):
        """Breaks off before the record of a fold."""

        put_keys: list[str] = []  # noqa: RUF012

        def put(self, key: str, content: bytes) -> Version:
            if key.endswith("fold_2.json"):
                raise StoreError(key, "written", "no room")
            self.put_keys.append(key)
            return super().put(key, content)

    machines = make_machines(tmp_path, monkeypatch, Breaking)
    with pytest.raises(WriteError, match=rf"{URL}/mixup-1/trials/k0/fold_2.json cannot be written \(no room\)"):
        make(machines)
    order = [key.rpartition("/")[2] for key in Breaking.put_keys]
    assert order == ["trial.json", "fold_1.pt", "fold_1.npz", "fold_1.json", "fold_2.pt", "fold_2.npz"]
    for machine in ("a", "b"):
        folder = open_study(machines(machine), "mixup-1").trial("k0")
        assert folder.read_fold(1) is not None
        assert folder.read_fold(2) is None


def test_one_of_two_makes_a_study(machines: Machines) -> None:
    first = make(machines)
    with pytest.raises(LedgerError, match=f"exists in {URL}"):
        Ledger.create(machines("b") / "mixup-1", replace(STUDY, id="1" * 32))
    assert not [path for path in machines("b").iterdir() if path.name != ".index"]
    assert Ledger.open(machines("b") / "mixup-1").study == first.study


def test_what_others_write_is_there_when_a_driver_has_ended(machines: Machines) -> None:
    made = make(machines)
    with made.locked():
        (made.root / "optuna.db").write_bytes(b"tables")
        (made.root / "ray").mkdir()
        (made.root / "ray" / "state").write_bytes(b"large")
    keys = mirror_of(made.root).store.list("mixup-1")
    assert "mixup-1/optuna.db" in keys
    assert not [key for key in keys if "ray" in key or "/." in key]
    assert (open_study(machines("b"), "mixup-1").root / "optuna.db").read_bytes() == b"tables"


def test_the_folder_of_a_driver_on_this_machine_is_left_alone(machines: Machines) -> None:
    made = make(machines)
    (made.root / "optuna.db").write_bytes(b"not there yet")
    with FileLock(made.root / ".lock"):
        open_study(machines("a"), "mixup-1")
        assert (made.root / "optuna.db").exists()
    open_study(machines("a"), "mixup-1")
    assert not (made.root / "optuna.db").exists()  # left by a driver that was killed


def test_a_damaged_file_is_set_aside_there_too(machines: Machines) -> None:
    made = make(machines)
    path = made.root / "trials" / "k0" / "failed.json"
    mirror_of(path).write(path, lambda file: file.write(b"{torn"))
    with pytest.warns(LedgerWarning, match=f"{URL}/mixup-1/trials/k0/failed.json cannot be read"):
        assert read_json(path, dict) is None
    set_aside(path)  # gone already
    keys = mirror_of(path).store.list("mixup-1/trials")
    assert "mixup-1/trials/k0/failed.json" not in keys
    assert "mixup-1/trials/k0/failed.json.damaged" in keys


def test_a_copy_of_the_bucket_is_a_study_of_its_own(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(machines)
    store = mirror_of(made.root).store
    for key in store.list("mixup-1"):
        store.put(key.replace("mixup-1", "again"), store.get(key)[0])
    monkeypatch.setattr("study.ledger.identity.Store", lambda url, patience: _Below(store, url))
    copy = Ledger.open(machines("b") / "again")
    assert (copy.study.name, copy.study.folder) == ("again", f"{URL}/again")
    assert copy.study.id != made.study.id
    with pytest.warns(LedgerWarning, match=f"`again` is a copy of {URL}/mixup-1"), copy.locked():
        pass
    assert Ledger.open(machines("c") / "again").study.id == copy.study.id
    assert Ledger.open(machines("c") / "mixup-1").study.id == made.study.id


def test_a_study_that_was_renamed_there_stays_the_same(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(machines)
    store = mirror_of(made.root).store
    for key in store.list("mixup-1"):
        store.put(key.replace("mixup-1", "again"), store.get(key)[0])
        store.remove(key)
    monkeypatch.setattr("study.ledger.identity.Store", lambda url, patience: _Below(store, url))
    assert Ledger.open(machines("b") / "again").study.id == made.study.id


class _Below:
    """The store of a study's own URL."""

    def __init__(self, store: Store, url: str) -> None:
        self._store, self._folder = store, url.removeprefix(f"{URL}/")

    def get(self, key: str) -> object:
        return self._store.get(f"{self._folder}/{key}")


def test_a_folder_that_is_its_own_place_has_no_mirror(tmp_path: Path) -> None:
    assert mirror_of(tmp_path / "s") is None
    fetch(tmp_path / "s")
    assert not (tmp_path / "s").exists()
