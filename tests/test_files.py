"""Files are whole or absent, and a new file takes no other's place."""

import errno
import os
from pathlib import Path

import pytest

from audiotag.files import write_new, write_whole


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
