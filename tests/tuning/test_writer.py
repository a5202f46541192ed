"""The writer of the ledger, as workers reach it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from helpers.made_up import SMALL, make_corpus, make_study
from helpers.small_study import fold_record

from study.ledger.files import LedgerError, LedgerWarning
from study.ledger.ledger import Ledger
from study.ledger.saved_state import Training, pack_fold, pack_state
from study.tuning.cluster import start_ray, stop_ray
from study.tuning.writer import LedgerWriter, RemoteKeeper, start_writer


class Here:
    """Calls a writer at once, in place of Ray."""

    def __init__(self, writer: LedgerWriter) -> None:
        self.call = self
        self._writer = writer

    def remote(self, *arguments: Any) -> Any:
        return self._writer.call(*arguments)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = make_study(tmp_path / "s", [], corpus=make_corpus(**SMALL), with_clips=False)
    made.trial("k").write_trial(0, {"alpha": 1.0})
    with made.locked():
        yield made


@pytest.fixture
def keeper(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> RemoteKeeper:
    monkeypatch.setattr(ray, "get", lambda answer: answer)
    monkeypatch.setattr("warnings.showwarning", lambda *_: None)  # the writer replaces it
    return RemoteKeeper(Here(LedgerWriter(ledger.root, ledger.study, ledger.driver)), "k")  # type: ignore[arg-type]


def test_what_is_handed_over_is_in_the_ledger_and_comes_back(keeper: RemoteKeeper, ledger: Ledger) -> None:
    folder, state = ledger.trial("k"), pack_state(Training(1, 0), {})
    keeper.keep_state(state)
    assert folder.read_running() == state
    assert keeper.begin().state == state
    record = fold_record(folder, 0, 0.1, 0.2)
    keeper.keep_fold(Training(1, 0), record, pack_fold({}, {}))
    assert folder.read_fold(0) is not None
    start = keeper.begin()
    assert (start.state, start.failure, list(start.finished)) == (None, None, [Training(1, 0)])
    assert start.trial.config == {"alpha": 1.0}
    keeper.fail(1, "it diverged")
    assert (keeper.begin().failure, folder.read_failure()) == ("it diverged", "it diverged")


def test_what_is_damaged_is_set_aside_with_a_word_to_the_worker(keeper: RemoteKeeper, ledger: Ledger) -> None:
    folder = ledger.trial("k")
    folder.write_fold(fold_record(folder, 1, 0.1, 0.2), pack_fold({}, {}))
    folder.weights_path(1).write_bytes(b"torn")
    with pytest.warns(LedgerWarning, match=r"fold_1\.pt is missing or damaged"):
        assert keeper.begin().finished == {}
    assert (folder.path / "fold_1.json.damaged").is_file()


def test_a_ledger_that_cannot_be_written_says_why(keeper: RemoteKeeper, ledger: Ledger) -> None:
    """A state is handed over without waiting: what went wrong with it is told with the next one."""
    (ledger.trial("k").path / "running.pt").mkdir()
    keeper.keep_state(b"a state")
    with pytest.raises(LedgerError, match=r"running\.pt cannot be written .* continue with --resume"):
        keeper.keep_state(b"another one")


def test_what_a_session_that_has_ended_left_running_writes_nothing_any_more(
    keeper: RemoteKeeper, ledger: Ledger
) -> None:
    (ledger.root / ".driver.json").write_text('{"host": "there", "pid": 1, "since": "now"}')
    for write in (lambda: keeper.fail(1, "x"), lambda: keeper.keep_state(b"") or keeper.begin()):
        with pytest.raises(LedgerError, match="The session of this study has ended"):
            write()
    assert sorted(path.name for path in ledger.trial("k").path.iterdir()) == ["trial.json"]


@pytest.mark.slow
def test_a_writer_has_what_the_driver_knows_of_the_cloud_also_when_it_was_started_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    start_ray(None)
    try:
        monkeypatch.setenv("AWS_PROBE", "later than the cluster")
        monkeypatch.setattr("study.tuning.writer.url_of", lambda _: "s3://lab/team")
        writer = start_writer(ledger)
        asked = "__import__('os').environ.get('AWS_PROBE')"
        for _ in range(2):
            assert ray.get(writer.__ray_call__.remote(lambda _: eval(asked))) == "later than the cluster"
            ray.kill(writer, no_restart=False)
        monkeypatch.undo()
        assert ray.get(start_writer(ledger).__ray_call__.remote(lambda _: eval(asked))) is None
    finally:
        stop_ray()
    assert "LedgerWriter" not in capfd.readouterr().err


@pytest.mark.slow
def test_a_writer_that_dies_is_there_again_and_nothing_that_was_handed_over_is_lost(ledger: Ledger) -> None:
    start_ray(None)
    try:
        writer = start_writer(ledger)
        keeper, folder = RemoteKeeper(writer, "k"), ledger.trial("k")
        assert keeper.begin().state is None
        ray.kill(writer, no_restart=False)
        keeper.keep_state(b"a state")
        keeper.keep_fold(Training(1, 0), fold_record(folder, 0, 0.1, 0.2), pack_fold({}, {}))
        assert folder.read_fold(0) is not None
        (folder.path / "running.pt").write_bytes(b"torn")
        assert keeper.begin().state == b"torn"
    finally:
        stop_ray()
