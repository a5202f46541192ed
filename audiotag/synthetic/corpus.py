"""A small domestic corpus of synthesised sounds in the layout of CHiME-Home.

Chunks come in recording segments: the chunks of a segment share speakers, television, room and background, and lie in
one fold. Tags and pairs of tags are about as frequent as in the refined lists of CHiME-Home, but for the rare ones: of
240 chunks at least 5 positives of each tag lie in each fold. c 58 %, f 25 %, m 20 % (real: 9 %), v 55 %, p 38 %,
o 22 %, b 14 % (real: 1 %), silent 2 %. The vote errs as real ones do: 3 % of its letters are missing, 1 % added.
"""

import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import compress
from pathlib import Path

import filelock
import numpy as np
import soundfile as sf
from scipy import signal

from audiotag.corpus.layouts.chime_home import DEVELOPMENT_LIST, EVALUATION_LIST, FOLD_LIST, MONO, RAW_LISTS, STEREO
from audiotag.corpus.layouts.synthetic import MARKER
from audiotag.corpus.tables import EVALUATION
from audiotag.synthetic import sounds

VERSION = 2  # raised when the same seed no longer gives the same bytes
FOLDS = 5
RATES = {"c": 0.58, "f": 0.25, "m": 0.20, "o": 0.22, "p": 0.38, "b": 0.14, "v": 0.55}
SILENT = 0.02
MISSED, ADDED = 0.03, 0.01  # letters of the vote that are wrong
SEGMENT_CHUNKS = 6  # per segment, about
RAW_ONLY = 0.05  # chunks without agreement, as a share of those in the refined lists
LEVELS = {"c": -17, "f": -22, "m": -22, "o": -17, "p": -12, "b": -18, "v": -26}  # dB, peak of a sound
QUIET, QUIET_BY = 0.05, 12.0  # share of the sounds that are quiet, dB
PEAKS = 0.013, 0.24  # the range of peaks of the 16 kHz chunks, as in real ones


@dataclass(frozen=True)
class Chunk:
    """A chunk of the plan: the letters of the sounds in it, three annotations, and their majority."""

    index: int
    segment: int
    number: int  # of the 75 chunks of a five-minute segment
    fold: int  # 0..4, or EVALUATION
    refined: bool
    sounding: str
    annotations: tuple[str, str, str]
    sessions: tuple[int, int, int]
    vote: str

    @property
    def segment_name(self) -> str:
        """The recording and the second at which the segment begins."""
        return f"synthetic_home_{self.segment // 4:02d}.s{300 * (self.segment % 4)}"

    @property
    def name(self) -> str:
        """The name of the files."""
        return f"{self.segment_name}_chunk{self.number}"


def write_synthetic_corpus(
    root: Path,
    seed: int = 0,
    development: int = 240,
    evaluation: int = 60,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Path:
    """Write the corpus to `root`, about 0.9 MB per chunk, and return `root`; at once when it is already there.

    A chunk depends on the plan and on (seed, its index) alone: the bytes are the same with any number of workers. The
    folder is written beside `root` and renamed: it is there completely or not at all. Workers are spawned: a script
    that calls this needs the usual `if __name__ == "__main__"`, unless it passes workers=1, which stays in-process.

    Args:
        root: The folder; may be empty or absent.
        seed: Of plan and sounds.
        development: Chunks in the refined list of that split; the raw one has about 5 % more.
        evaluation: Likewise.
        progress: Called with (chunks written, chunks in all).
        workers: Processes; one per core when None.

    Raises:
        ValueError: For sizes below 20 and 4, or a `root` that holds anything else.
    """
    root = Path(root)
    settings = {"generator": "audiotag.synthetic", "version": VERSION, "seed": seed}
    settings |= {"development": development, "evaluation": evaluation}
    if _is_complete(root, settings):
        return root
    chunks = plan_corpus(seed, development, evaluation)
    root.parent.mkdir(parents=True, exist_ok=True)
    folder = root.with_name(f".{root.name}.writing")
    with filelock.FileLock(root.with_name(f".{root.name}.lock")):
        if _is_complete(root, settings):  # another process was first
            return root
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
        try:
            (folder / "chunks").mkdir(parents=True)
            with closing(_map(partial(write_chunk, folder, seed), chunks, workers or os.cpu_count() or 1)) as done:
                for count, _ in enumerate(done, start=1):
                    if progress:
                        progress(count, len(chunks))
            _write_lists(folder, chunks)
            (folder / MARKER).write_text(json.dumps(settings, indent=2) + "\n")
            folder.rename(root)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return root


def plan_corpus(seed: int = 0, development: int = 240, evaluation: int = 60) -> list[Chunk]:
    """Plan the sounds and annotations of each chunk, in the order of the lists, without audio.

    Raises:
        ValueError: For development below 20 or evaluation below 4.
    """
    for name, value, least in (("development", development, 20), ("evaluation", evaluation, 4)):
        if value < least:
            raise ValueError(f"The value of `{name}` is {value}, but must be at least {least}, for each tag to occur.")
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0]))
    sizes = [development // FOLDS + (fold < development % FOLDS) for fold in range(FOLDS)]
    parts = [_plan_part(rng, fold, size) for fold, size in enumerate(sizes)]
    order = rng.permutation([fold for fold, part in enumerate(parts) for _ in part])
    segments = [parts[fold].pop() for fold in order] + _plan_part(rng, EVALUATION, evaluation)
    chunks: list[Chunk] = []
    for segment, members in enumerate(segments):
        numbers = rng.choice(75, size=len(members), replace=False)
        for number, make in zip(numbers, members, strict=True):
            chunks.append(make(index=len(chunks), segment=segment, number=int(number)))
    return chunks


def _plan_part(rng: np.random.Generator, fold: int, size: int) -> list[list[partial[Chunk]]]:
    """The segments of a fold, or of the evaluation split, each a list of chunks without index, segment and number."""
    extra = max(1, round(RAW_ONLY * size))
    segment = np.sort(np.arange(size + extra) % max(2, round(size / SEGMENT_CHUNKS)))
    refined = np.ones(size + extra, bool)
    refined[rng.choice(size + extra, size=extra, replace=False)] = False
    agreed = iter(_sounding(rng, segment[refined]))
    members: list[list[partial[Chunk]]] = [[] for _ in range(segment.max() + 1)]
    for index, is_refined in zip(segment, refined, strict=True):
        sounding = next(agreed) if is_refined else _letters(t for t in RATES if rng.random() < RATES[t] / 2)
        annotations, vote = _annotate(rng, sounding) if is_refined else _disagree(rng, sounding)
        sessions = tuple(int(s) for s in rng.permutation(5)[:3] + 1)
        chunk = partial(Chunk, fold=fold, refined=bool(is_refined), sounding=sounding, vote=vote)
        members[index].append(partial(chunk, annotations=annotations, sessions=sessions))
    return members


def _sounding(rng: np.random.Generator, segment: np.ndarray) -> list[str]:
    """The letters of each chunk, given its segment: each tag in an exact share of chunks, clustered in segments."""
    habits = rng.normal(size=(segment.max() + 1, len(RATES)))
    liking = habits[segment] + rng.normal(size=(len(segment), len(RATES)))
    silent = rng.random(len(segment)).argsort() < round(SILENT * len(segment))
    present = np.zeros(liking.shape, bool)
    for tag, (letter, rate) in enumerate(RATES.items()):
        if letter == "v":  # children talk while they play; and a chunk without anything else has the television on
            liking[:, tag] += 0.5 * present[:, 0] + 100 * ~present.any(axis=1)
        first = np.argsort(-(liking[:, tag] - 1000 * silent), kind="stable")
        present[first[: max(1, round(rate * len(segment)))], tag] = True
    return [_letters(compress(RATES, row)) for row in present]


def _annotate(rng: np.random.Generator, sounding: str) -> tuple[tuple[str, str, str], str]:
    """Three annotations and their majority vote, which differs from the sounds by a few letters."""
    voted = {t: rng.random() >= MISSED if t in sounding else rng.random() < ADDED for t in RATES}
    vote = _letters(t for t in RATES if voted[t] and sounding) or sounding
    annotations = [set(vote) for _ in range(3)]
    for tag in RATES:
        if rng.random() < (0.2 if tag in vote else 0.03):  # at most one of the three disagrees
            annotations[rng.integers(3)] ^= {tag}
    first, second, third = (_letters(a) or "S" for a in annotations)
    return (first, second, third), vote or "S"


def _disagree(rng: np.random.Generator, sounding: str) -> tuple[tuple[str, str, str], str]:
    """Three annotations without agreement and their majority, which may be empty."""
    first, second, third = (
        _letters(t for t in RATES if rng.random() < (0.5 if t in sounding else 0.15)) or "S" for _ in range(3)
    )
    votes = first + second + third
    return (first, second, third), _letters(t for t in set(votes) if votes.count(t) >= 2)


def _letters(tags: Iterable[str]) -> str:
    return "".join(sorted(tags))


def render(chunk: Chunk, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Render a chunk at 48 kHz, (2, 192000), and its down-mix at 16 kHz, (64000,), with a peak within PEAKS."""
    home = np.random.default_rng(np.random.SeedSequence([seed, 1, chunk.segment]))
    rng = np.random.default_rng(np.random.SeedSequence([seed, 2, chunk.index]))
    sources: dict[str, Callable[[np.random.Generator], np.ndarray]]
    sources = {tag: partial(sounds.speech, voice=sounds.draw_voice(home, tag)) for tag in "cfm"}
    sources |= {"v": partial(sounds.music, programme=sounds.draw_programme(home))}
    sources |= {"p": sounds.impacts, "b": sounds.broadband, "o": sounds.signals}
    reverberation, television = sounds.draw_room(home), home.uniform(-1, 1)
    noise_level, tilt, hum = home.uniform(-64, -59), home.uniform(4, 6), home.uniform(0, 0.3)
    loudness = home.uniform(-2, 2)  # dB: the distance to the microphone
    dry = np.zeros((2, sounds.SAMPLES), np.float32)
    for tag in chunk.sounding:
        level = LEVELS[tag] + loudness + rng.normal(scale=2.0) - QUIET_BY * (rng.random() < QUIET)
        wave = sources[tag](rng)
        dry += 10 ** (level / 20) * sounds.pan(wave, television if tag == "v" else rng.uniform(-1, 1))
    stereo = 10 ** (noise_level / 20) * sounds.room_tone(rng, tilt, hum)
    if chunk.sounding:
        stereo += dry + signal.fftconvolve(dry.mean(axis=0, keepdims=True), reverberation, axes=1)[:, : sounds.SAMPLES]
    mono = signal.resample_poly(stereo.mean(axis=0), 1, 3)
    peak = np.abs(mono).max()
    gain = np.clip(peak, *PEAKS) / peak
    return gain * stereo, gain * mono


def write_chunk(root: Path, seed: int, chunk: Chunk) -> None:
    """Write both WAV files of a chunk and its CSV; runs in the worker processes."""
    stereo, mono = render(chunk, seed)
    base = root / "chunks" / chunk.name
    sf.write(f"{base}{STEREO}", stereo.T, sounds.SAMPLE_RATE, subtype="PCM_16")
    sf.write(f"{base}{MONO}", mono, sounds.SAMPLE_RATE // 3, subtype="PCM_16")
    rows = {"segmentname": chunk.segment_name, "chunknumber": chunk.number, "framestart": chunk.number * sounds.SAMPLES}
    for name, annotation, session in zip(("a1", "a2", "a3"), chunk.annotations, chunk.sessions, strict=True):
        rows |= {f"annotation_{name}": annotation, f"session_{name}": float(session)}
    rows |= {"majorityvote": chunk.vote, "chunkname": chunk.name}
    Path(f"{base}.csv").write_bytes("".join(f"{key},{value}\n" for key, value in rows.items()).encode())


def _write_lists(root: Path, chunks: list[Chunk]) -> None:
    development, evaluation = ([c for c in chunks if (c.fold == EVALUATION) == wanted] for wanted in (False, True))
    lists = {RAW_LISTS[0]: [c.name for c in development], RAW_LISTS[1]: [c.name for c in evaluation]}
    lists |= {DEVELOPMENT_LIST: [c.name for c in development if c.refined]}
    lists |= {EVALUATION_LIST: [c.name for c in evaluation if c.refined]}
    lists |= {FOLD_LIST: [f"{c.name},{c.fold}" for c in development if c.refined]}
    for name, rows in lists.items():
        (root / name).write_text("".join(f"{number},{row}\n" for number, row in enumerate(rows)), newline="")


def _map(function: Callable[[Chunk], None], chunks: list[Chunk], workers: int) -> Generator[None]:
    """Map over the chunks; when one raises, those that have not begun are cancelled."""
    if workers == 1:
        yield from map(function, chunks)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(chunks)), context, initializer=_end_with_parent)
    try:
        yield from pool.map(function, chunks, chunksize=4)
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """End this worker when its parent is killed; the executor would leave it waiting for ever."""

    def watch() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _is_complete(root: Path, settings: dict[str, object]) -> bool:
    """Whether `root` holds the corpus of these settings; False where there is nothing.

    Raises:
        ValueError: If `root` holds another corpus, or anything else.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = json.loads((root / MARKER).read_text())
    except (OSError, ValueError):
        raise ValueError(f"{root} holds something else than a synthetic corpus: name another folder.") from None
    if found != settings:
        raise ValueError(f"{root} holds a synthetic corpus of other settings, {found}: name another folder.")
    return True
