import fcntl
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.small_features import SMALL

from audiotag.audio.read import read_audio
from audiotag.corpus.corpus import open_corpus
from audiotag.features.load import load_features
from audiotag.features.mapped import find_mapped
from audiotag.features.store import GATHERING, CacheError, cache_bytes, cached_features

SHAPE = (3, 4)
CLIP = 32 + 4 + 4 * 12  # bytes: name, checksum, values
HOW = {"front_end": "test"}
Write = Callable[..., Path]


class Clips:
    """Clips whose features are their number; counts what is computed."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers
        self.computed: list[int] = []

    def compute(self, places: Sequence[int]) -> np.ndarray:
        self.computed += [self.numbers[place] for place in places]
        return np.stack([np.full(SHAPE, self.numbers[place], np.float32) for place in places])

    def load(self, cache: Path, how: dict = HOW) -> list[float]:
        features = cached_features(cache, how, [f"{n:032x}" for n in self.numbers], SHAPE, self.compute)
        assert features.shape == (len(self.numbers), *SHAPE)
        assert (features.min(axis=(1, 2)) == features.max(axis=(1, 2))).all()
        return features[:, 0, 0].tolist()


def test_only_new_clips_are_computed(tmp_path: Path) -> None:
    assert Clips(1, 2, 3).load(tmp_path) == [1, 2, 3]
    changed = Clips(3, 4, 1)  # in another order, one removed, one added
    assert changed.load(tmp_path) == [3, 4, 1]
    assert changed.computed == [4]
    other = Clips(1)
    assert other.load(tmp_path, {"front_end": "other"}) == [1]
    assert other.computed == [1]


def test_a_changed_recording_computes_its_own_clip_alone(
    folder_corpus: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder_corpus([(f"{number}.wav", number % 2, "xy"[number // 2 % 2]) for number in range(5)])
    before = load_features(open_corpus(root), SMALL, tmp_path / "cache")
    soundfile.write(root / "audio" / "3.wav", np.full(400, 0.1), 8000)
    read: list[str] = []
    monkeypatch.setattr(
        "audiotag.features.load.read_audio", lambda path, *rest: read.append(path.name) or read_audio(path, *rest)
    )
    after = load_features(open_corpus(root), SMALL, tmp_path / "cache")
    assert read == ["3.wav"]
    assert [np.array_equal(before[clip], after[clip]) for clip in range(5)] == [True, True, True, False, True]


def flip(place: int) -> Callable[[bytearray], bytearray]:
    def damage(data: bytearray) -> bytearray:
        data[place] ^= 1
        return data

    return damage


DAMAGES = {
    "the last clip is cut": (lambda data: data[:-1], [3]),
    "a bit of a name": (flip(CLIP + 31), [2]),
    "a bit of a checksum": (flip(CLIP + 32), [2]),
    "a bit of a value": (flip(CLIP + 36 + 20), [2]),
    "moved": (lambda data: data[16:], [1, 2, 3]),
    "empty": (lambda data: data[:0], [1, 2, 3]),
}


@pytest.mark.parametrize(("damage", "lost"), DAMAGES.values(), ids=list(DAMAGES))
def test_damaged_clips_are_computed_again(
    tmp_path: Path, damage: Callable[[bytearray], bytearray], lost: list[int]
) -> None:
    Clips(1, 2, 3).load(tmp_path)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    path.write_bytes(damage(bytearray(path.read_bytes())))
    again = Clips(1, 2, 3)
    assert again.load(tmp_path) == [1, 2, 3]
    assert again.computed == lost
    last = Clips(1, 2, 3)
    last.load(tmp_path)
    assert last.computed == []


def test_many_that_build_at_once_do_no_harm(tmp_path: Path) -> None:
    numbers = range(100)
    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(Clips(*numbers[shift:], *numbers[:shift]).load, tmp_path) for shift in (0, 25, 50, 75)]
        found = [load.result() for load in loads]
    assert [sorted(values) for values in found] == [list(numbers)] * 4
    last = Clips(*numbers)
    last.load(tmp_path)
    assert last.computed == []
    assert all(path.suffix == ".clips" for path in tmp_path.rglob("*") if path.is_file())


def test_a_process_that_is_killed_leaves_whole_clips(tmp_path: Path) -> None:
    process = os.fork()
    if process == 0:
        clips = Clips(*range(64))

        def compute(places: Sequence[int]) -> np.ndarray:
            if len(clips.computed) >= 32:
                os._exit(9)
            return clips.compute(places)

        cached_features(tmp_path, HOW, [f"{n:032x}" for n in clips.numbers], SHAPE, compute)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9
    again = Clips(*range(64))
    assert again.load(tmp_path) == list(range(64))
    assert len(again.computed) <= 64


def test_the_same_recording_twice(tmp_path: Path) -> None:
    clips = Clips(7, 7, 8)
    assert clips.load(tmp_path) == [7, 7, 8]
    assert clips.computed == [7, 7, 8]
    assert cache_bytes(tmp_path) == 3 * CLIP


def files(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def load(cache: Path, *numbers: int) -> np.ndarray:
    return cached_features(cache, HOW, [f"{n:032x}" for n in numbers], SHAPE, Clips(*numbers).compute)


def test_features_are_mapped_from_one_file_that_has_all_clips_in_order(tmp_path: Path) -> None:
    for _ in range(2):
        features = load(tmp_path, *range(40))
        (path,) = files(tmp_path)
        place = find_mapped(features)
        assert place is not None
        assert place.path == path
        assert not features.flags.writeable
        again = place.open()
        assert not again.flags.writeable
        np.testing.assert_array_equal(again, features)
        np.testing.assert_array_equal(place.open(), np.broadcast_to(np.arange(40.0)[:, None, None], (40, *SHAPE)))
    variants = find_mapped(features.reshape(10, 4, *SHAPE)[2:])
    assert variants is not None
    np.testing.assert_array_equal(variants.open(), features.reshape(10, 4, *SHAPE)[2:])
    assert find_mapped(features.copy()) is None
    path.unlink()
    with pytest.raises(CacheError, match="deleted while the study ran"):
        place.open()


def test_files_whose_clips_another_has_are_deleted_unless_they_are_mapped(tmp_path: Path) -> None:
    few = load(tmp_path, 1, 2)
    (first,) = files(tmp_path)
    load(tmp_path, 1, 2, 3)
    assert first in files(tmp_path)
    assert len(files(tmp_path)) == 2
    del few
    load(tmp_path, 4, 3, 2, 1)
    assert cache_bytes(tmp_path) == 4 * CLIP
    load(tmp_path, 1, 2)
    assert cache_bytes(tmp_path) == 6 * CLIP  # which has no clip of another's that this one lacks


def test_what_a_killed_process_was_gathering_is_deleted_once_nobody_has_it_locked(tmp_path: Path) -> None:
    load(tmp_path, 1)
    folder = files(tmp_path)[0].parent
    left = [folder / f"{GATHERING}{name}.tmp" for name in ("dead", "alive", "young")]
    for path in left:
        path.write_bytes(b"half")
    for path in left[:2]:
        os.utime(path, (0, 0))
    with left[1].open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        load(tmp_path, 2)
    assert [path.exists() for path in left] == [False, True, True]


def test_features_that_are_not_finite_are_not_kept(tmp_path: Path) -> None:
    def compute(places: Sequence[int]) -> np.ndarray:
        return np.full((len(places), *SHAPE), np.nan, np.float32)

    assert np.isnan(cached_features(tmp_path, HOW, ["0" * 32], SHAPE, compute)).all()
    assert Clips(0).load(tmp_path) == [0]


def test_the_size_is_that_of_the_files(tmp_path: Path) -> None:
    assert cache_bytes(tmp_path / "none") == 0
    Clips(1, 2, 3).load(tmp_path)
    (next(tmp_path.rglob("*.clips")).parent / ".half.tmp").write_bytes(b"of another study")
    assert cache_bytes(tmp_path) == 3 * CLIP


def test_progress_counts_every_clip(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    names = [f"{n:032x}" for n in range(40)]
    cached_features(tmp_path, HOW, names, SHAPE, Clips(*range(40)).compute, lambda *call: calls.append(call))
    assert calls == [(16, 40), (32, 40), (40, 40)]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CacheError, match=r"cache `.*file` cannot be written \((not a|file exists).* --cache"):
        Clips(1).load(tmp_path / "file")


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    Clips(1).load(tmp_path)
    path = next(tmp_path.rglob("*.clips"))
    path.unlink()
    path.mkdir()
    with pytest.raises(CacheError, match="cannot be written"):
        Clips(1).load(tmp_path)
