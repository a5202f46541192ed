"""Files are whole or absent, and a new file takes no other's place."""

import errno
import os
from pathlib import Path
from threading import Event, Thread

import pytest

from audiotag.files import LOOKS, look, size_of, stat_of, write_new, write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_failing_writer_leaves_the_old_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_whole(tmp_path / "a", lambda file: file.write(b"half") and 1 // 0)
    assert (names(tmp_path), (tmp_path / "a").read_text()) == (["a"], "old")
    write_whole(tmp_path / "a", lambda file: file.write(b"new"), durable=True)
    assert (names(tmp_path), (tmp_path / "a").read_text()) == (["a"], "new")


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links, as on exFAT"])
def test_a_new_file_takes_no_other_files_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def refuse(*paths: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    write_new(tmp_path / "a", "first")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "a", "second")
    assert (names(tmp_path), (tmp_path / "a").read_text()) == (["a"], "first")


def missing_at_first(patch: pytest.MonkeyPatch, owner: object, name: str, times: int = LOOKS - 1) -> None:
    """Make a function find no file at its first calls, as where the file is being replaced."""
    original, calls = getattr(owner, name), []

    def call(*arguments: object, **named: object) -> object:
        calls.append(name)
        if len(calls) <= times:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return original(*arguments, **named)

    patch.setattr(owner, name, call)


def test_a_file_that_is_being_replaced_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("abc")
    with monkeypatch.context() as patch:
        missing_at_first(patch, Path, "stat")
        assert size_of(tmp_path / "a") == 3
    with monkeypatch.context() as patch:
        missing_at_first(patch, Path, "read_bytes")
        assert look((tmp_path / "a").read_bytes) == b"abc"
    with monkeypatch.context() as patch:  # the folder was listed when it still had the file
        missing_at_first(patch, Path, "stat", LOOKS)
        assert stat_of(tmp_path / "a") is None
    assert size_of(tmp_path / "none") is size_of(tmp_path / "a" / "b") is None


def test_a_temporary_file_that_another_process_clears_away_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing_at_first(monkeypatch, os, "replace")
    assert write_whole(tmp_path / "a", lambda file: file.write(b"abc")) == 3
    assert (names(tmp_path), (tmp_path / "a").read_text()) == (["a"], "abc")


def test_a_folder_that_is_missing_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "a", lambda file: file.write(b"abc"))


def test_looks_at_a_file_that_a_thread_replaces_never_fail(tmp_path: Path) -> None:
    path, done = tmp_path / "a", Event()
    write_whole(path, lambda file: file.write(b"abc"))

    def replace() -> None:
        while not done.is_set():
            write_whole(path, lambda file: file.write(b"abc"))

    thread = Thread(target=replace)
    thread.start()
    try:
        sizes = {size_of(each) for _ in range(2000) for each in tmp_path.glob("a")}
    finally:
        done.set()
        thread.join()
    assert sizes == {3}
