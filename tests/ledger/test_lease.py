"""One driver at a time in an object store."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.buckets import Machines, make_machines
from helpers.small_study import STUDY
from obstore.store import MemoryStore

from study.ledger import driver as driver_module
from study.ledger import lease as module
from study.ledger.driver import DRIVER_FILE, read_driver
from study.ledger.files import LedgerError, LedgerWarning, WriteError
from study.ledger.keeper import keeper_of
from study.ledger.lease import HeldError, Lease, Watcher
from study.ledger.ledger import Ledger
from study.ledger.mirror import mirror_of
from study.ledger.store import Store

KEY = "s/.driver.json"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEWED", 0.02)
    monkeypatch.setattr(module, "LOOK", 0.02)


@pytest.fixture
def store() -> Store:
    return Store("s3://lab", MemoryStore(), patience=0)


def lease_of(store: Store, name: str, lost: Any = lambda holder: None) -> Lease:
    return Lease(store, KEY, {"name": name}, Watcher(lambda: None, lambda reason: None, lost))


def take(lease: Lease, dead: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Take a lease; who was waited for."""
    waited: list[dict[str, Any]] = []
    lease.take(lambda holder: holder["name"] in dead, lambda holder, seconds: waited.append(holder))
    return waited


def wait_until(has_come: Callable[[], bool]) -> None:
    """Wait for what a thread does; a hang ends with the limit of all tests."""
    while not has_come():
        time.sleep(0.01)


def holder(store: Store) -> dict[str, Any]:
    answer = store.get(KEY)
    return {} if answer is None else json.loads(answer[0])


def test_it_is_taken_renewed_and_given_back(store: Store) -> None:
    first = lease_of(store, "first")
    assert take(first) == []
    renewals = holder(store)["renewals"]
    wait_until(lambda: holder(store)["renewals"] > renewals)
    first.release()
    assert holder(store) == {}
    take(second := lease_of(store, "second"))
    second.release()


def test_another_one_is_refused_while_it_is_renewed(store: Store) -> None:
    take(first := lease_of(store, "first"))
    with pytest.raises(HeldError) as error:
        take(lease_of(store, "second"))
    assert error.value.holder["name"] == "first"
    first.release()


def test_that_of_a_dead_driver_is_taken_when_it_has_expired(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXPIRES", 0.3)
    store.put(KEY, b'{"name": "dead"}')
    began = time.monotonic()
    (waited,) = take(second := lease_of(store, "second"))
    assert waited["name"] == "dead"
    assert time.monotonic() - began > 0.2
    assert holder(store)["name"] == "second"
    second.release()


def test_that_of_a_driver_known_to_be_dead_is_taken_at_once(store: Store) -> None:
    store.put(KEY, b'{"name": "dead"}')
    second = lease_of(store, "second")
    assert take(second, dead=("dead",)) == []
    second.release()


def test_one_of_many_takes_it(store: Store) -> None:
    store.put(KEY, b'{"name": "dead"}')
    leases, barrier, refused = [lease_of(store, str(number)) for number in range(8)], threading.Barrier(8), []

    def compete(lease: Lease) -> None:
        barrier.wait()
        try:
            take(lease, dead=("dead",))
        except HeldError as error:
            refused.append(error.holder["name"])

    threads = [threading.Thread(target=compete, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7
    winner = holder(store)["name"]
    assert set(refused) == {winner}
    leases[int(winner)].release()


def test_who_loses_it_is_told_and_leaves_it(store: Store) -> None:
    lost: list[dict[str, Any]] = []
    take(first := lease_of(store, "first", lost.append))
    store.put(KEY, b'{"name": "second"}')
    wait_until(lambda: bool(lost))
    assert lost == [{"name": "second"}]
    first.release()
    assert holder(store) == {"name": "second"}


def test_a_renewal_whose_answer_was_lost_is_ones_own(store: Store) -> None:
    lost: list[dict[str, Any]] = []
    take(first := lease_of(store, "first", lost.append))
    store.put(KEY, json.dumps({**holder(store), "renewals": 1000}).encode())
    wait_until(lambda: holder(store)["renewals"] != 1000)
    store.remove(KEY)  # by somebody who means well
    wait_until(lambda: holder(store) != {})
    assert lost == []
    first.release()


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    return make_machines(tmp_path, monkeypatch)


def study_on(machines: Machines, machine: str) -> Ledger:
    root = machines(machine) / "s"
    if not mirror_of(root).has("s/study.json"):
        return Ledger.create(root, replace(STUDY, name="s"))
    return Ledger.open(root)


def test_a_second_driver_elsewhere_is_refused(machines: Machines) -> None:
    with study_on(machines, "a").locked():
        other = study_on(machines, "b")
        assert other.is_held()
        with pytest.warns(LedgerWarning, match="waiting"), pytest.raises(LedgerError, match="being run by process"):
            other.locked().__enter__()
        assert read_driver(other.root) is None
    assert not other.is_held()
    with other.locked():
        assert other.is_held()


def test_a_driver_that_was_killed_here_is_followed_at_once(machines: Machines) -> None:
    ledger = study_on(machines, "a")
    record = b'{"host": "h", "pid": 1, "since": "then"}'
    (ledger.root / DRIVER_FILE).write_bytes(record)
    mirror_of(ledger.root).store.put(KEY, record)
    with ledger.locked():
        pass
    assert mirror_of(ledger.root).store.head(KEY) is None


def test_who_has_lost_it_writes_nothing_more(machines: Machines) -> None:
    ledger = study_on(machines, "a")
    with ledger.locked():
        keeper = keeper_of(ledger.root, "k", ledger.study, ledger.driver)
        mirror_of(ledger.root).store.put(KEY, b'{"host": "h", "pid": 1, "since": "then"}')
        wait_until(lambda: read_driver(ledger.root) != ledger.driver)
        with pytest.raises(WriteError, match="being run by process 1 on h"):
            ledger.write_results({})
        with pytest.raises(LedgerError, match="being run by process 1 on h"):
            keeper.keep_state(b"")
        (ledger.root / "optuna.db").write_bytes(b"")
        (ledger.root / "optuna.db").unlink()
    assert set(mirror_of(ledger.root).store.list("s")) == {KEY, "s/study.json"}


def test_while_it_cannot_be_renewed_nothing_is_written(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "PATIENCE", 0.0)
    ledger = study_on(machines, "a")
    with ledger.locked():
        ledger.write_results({})
        monkeypatch.setattr(driver_module, "EXPIRES", -1.0)
        with pytest.raises(WriteError, match="no answer from the server"):
            ledger.write_results({})
