"""The cache of a corpus's scan: unchanged files are not read again, and whatever has changed is."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiotag.audio.probe import inspect_audio
from audiotag.corpus.audio_scan import load_cache, scan_cache_path
from audiotag.corpus.corpus import open_corpus
from audiotag.corpus.errors import CorpusError

Write = Callable[..., Path]
ROWS = [(f"{number}.wav", number % 2, "x" if number % 4 < 2 else "") for number in range(8)]


@pytest.fixture
def root(folder_corpus: Write) -> Path:
    return folder_corpus(ROWS)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are decoded; the time is an hour later, so that all stamps are trusted."""
    names: list[str] = []

    def inspect(path: Path, seconds: float) -> object:
        names.append(path.name)
        return inspect_audio(path, seconds)

    now = time.time_ns() + 3600 * 10**9
    monkeypatch.setattr("audiotag.corpus.audio_scan.time.time_ns", lambda: now)
    monkeypatch.setattr("audiotag.corpus.audio_scan.inspect_audio", inspect)
    return names


def write_anew(path: Path) -> None:
    soundfile.write(path, np.full(400, 0.1), 8000)


def same_size_and_time(path: Path) -> None:
    """Change samples, and set the time of the last change back: nobody can set ctime."""
    status = path.stat()
    content = path.read_bytes()
    path.write_bytes(content[:-2] + bytes([content[-2] ^ 1, content[-1]]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def another_file(path: Path) -> None:
    shutil.copyfile(path.with_name("0.wav"), path.with_name("new"))
    path.with_name("new").replace(path)


def test_unchanged_files_are_not_read_again(root: Path, read: list[str], tmp_path: Path) -> None:
    cache = scan_cache_path(tmp_path / "cache", root)
    first = open_corpus(root, scan_cache=cache)
    assert sorted(read) == sorted(row[0] for row in ROWS)
    read.clear()
    again = open_corpus(root, scan_cache=cache)
    assert read == []
    assert (again.fingerprint, again.digests, again.doubts) == (first.fingerprint, first.digests, first.doubts)
    assert again.fingerprint == open_corpus(root).fingerprint


@pytest.mark.parametrize("change", [write_anew, same_size_and_time, another_file])
def test_a_changed_file_alone_is_read(
    root: Path, read: list[str], tmp_path: Path, change: Callable[[Path], None]
) -> None:
    cache = scan_cache_path(tmp_path / "cache", root)
    before = open_corpus(root, scan_cache=cache).fingerprint
    read.clear()
    change(root / "audio" / "3.wav")
    changed = open_corpus(root, scan_cache=cache)
    assert read == ["3.wav"]
    assert changed.fingerprint == open_corpus(root).fingerprint
    assert changed.fingerprint != before


def test_a_bad_file_is_reported_each_time(root: Path, read: list[str], tmp_path: Path) -> None:
    cache = scan_cache_path(tmp_path / "cache", root)
    open_corpus(root, scan_cache=cache)
    (root / "audio" / "3.wav").write_bytes(b"no audio")
    (root / "audio" / "5.wav").unlink()
    for _ in range(2):
        read.clear()
        with pytest.raises(CorpusError, match="Unusable audio, 2 of 8 files"):
            open_corpus(root, scan_cache=cache)
        assert sorted(read) == ["3.wav", "5.wav"]


def test_a_file_changed_a_moment_ago_is_not_cached(root: Path, tmp_path: Path) -> None:
    cache = scan_cache_path(tmp_path / "cache", root)
    (root / "audio" / "3.wav").touch()
    open_corpus(root, scan_cache=cache)
    assert str(root / "audio" / "3.wav") not in load_cache(cache)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 0}', b'{"version": 1, "files": {"a": 3}}'])
def test_a_damaged_cache_is_ignored(root: Path, read: list[str], tmp_path: Path, content: bytes) -> None:
    cache = tmp_path / "scan.json"
    cache.write_bytes(content)
    open_corpus(root, scan_cache=cache)
    assert len(read) == 8
    assert len(load_cache(cache)) == 8


def test_a_folder_that_cannot_be_written_does_not_matter(root: Path, read: list[str], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert len(open_corpus(root, scan_cache=scan_cache_path(tmp_path / "cache", root)).clips) == 8
    assert list(tmp_path.glob("cache*")) == [tmp_path / "cache"]
