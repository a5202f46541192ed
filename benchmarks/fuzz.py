"""Damaged recordings and tables, thousands of them: each must be refused in a line, or read as what it holds.

    python benchmarks/fuzz.py [--count 10000] [--seed 0]

Of a WAV file that is accepted, what is read must be the bytes that lie where its samples were written, decoded here
by NumPy. Of Ogg Vorbis every byte has a checksum: what is read must be what was written, or that twice where the file
is doubled. Of other codings (MP3 with and without a Xing header, AAC, MP4, Opus, WebM, FLAC) it must be what was
written, or as many samples as FFmpeg's own program reads from the damaged file; without that program (`ffmpeg`) only
tracebacks and hangs are found there. A file that is read with a doubt is told of, so it passes. For a table that is
accepted, each line must have become a clip with just its fold and tags. Anything else is a wrong result in silence.
"""

import argparse
import csv
import io
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
import soundfile
from encode import RATE as CODED_RATE
from encode import encode

from audiotag.audio.decode import open_decoder
from audiotag.audio.probe import inspect_audio
from audiotag.audio.read import AudioError, read_audio
from audiotag.audio.sound import DecodeError
from audiotag.corpus.corpus import open_corpus, read_tables
from audiotag.corpus.errors import CorpusError
from audiotag.corpus.tables import EVALUATION, NO_FOLD

KINDS = ("wav", "ogg", "coded", "table")
LIMIT = 10  # s for one input
RATE = 8000
REFUSED, DOUBTED, SAME, OTHER = "refused", "read with a doubt", "read, nothing lost", "read as its bytes are"
WRONG, TRACEBACK, HANG = "WRONG IN SILENCE", "TRACEBACK", "HANG"
BAD = (WRONG, TRACEBACK, HANG)
WAVS = [("PCM_16", 1, "WAV"), ("PCM_16", 2, "WAVEX"), ("PCM_U8", 2, "WAV"), ("PCM_24", 1, "WAV"), ("FLOAT", 1, "WAV")]
CODED: list[tuple[str, str, int, str | None, dict[str, str]]] = [  # suffix, codec, channels, form, its options
    (".mp3", "libmp3lame", 1, None, {}),
    (".mp3", "libmp3lame", 2, None, {"write_xing": "0"}),
    (".aac", "aac", 1, "adts", {}),
    (".m4a", "aac", 1, "ipod", {"movflags": "faststart"}),
    (".mp4", "aac", 1, None, {"movflags": "frag_keyframe+empty_moov"}),
    (".opus", "libopus", 1, None, {}),
    (".webm", "libopus", 1, None, {}),
    (".flac", "flac", 2, None, {}),
]
FFMPEG = shutil.which("ffmpeg")
TABLES = {
    "clips.csv": "filename,fold,tags,group,split\n"
    + "".join(f"a/{n}.wav,{n % 3},{'x;y z' if n % 2 else ''},g{n // 2},development\n" for n in range(9))
    + '"quoted, name.wav",,"x",g9,evaluation\n',
    "meta/esc50.csv": "filename,fold,target,category,esc10,src_file,take\n"
    + "".join(
        f"1-{n}-A-{n % 3}.wav,{n % 4 + 1},{n % 3},{'dog' if n % 3 else 'car_horn'},True,{n},A\n" for n in range(9)
    ),
    "metadata/UrbanSound8K.csv": "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
    + "".join(f"{n}-3-0-0.wav,{n},0.0,4.0,1,{n % 5 + 1},3,{'dog_bark' if n % 3 else 'siren'}\n" for n in range(9)),
}


class Hang(Exception):
    """An input took longer than LIMIT."""


@dataclass(frozen=True)
class Original:
    """A sound file before the damage: its bytes, what is read of it, and where the samples of a WAV lie in them."""

    kind: str  # wav, ogg or coded
    suffix: str
    data: bytes
    wave: np.ndarray  # (S, C) float32
    subtype: str = ""
    begin: int = 0
    length: int = 0


def flip(data: bytes, rng: np.random.Generator, most: int | None = None) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(0, min(len(data), most or len(data)), rng.integers(1, 5)):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def header(data: bytes, rng: np.random.Generator) -> bytes:
    return flip(data, rng, 64)


def size_field(data: bytes, rng: np.random.Generator) -> bytes:
    place = int(rng.integers(0, min(len(data) - 4, 80)))
    value = int(rng.choice([0, 1, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, int(rng.integers(2**32))]))
    return data[:place] + value.to_bytes(4, "little") + data[place + 4 :]


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data)))]


def _span(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    begin = int(rng.integers(len(data)))
    return begin, min(len(data), begin + int(rng.integers(1, 300)))


def blank(data: bytes, rng: np.random.Generator) -> bytes:
    begin, end = _span(data, rng)
    return data[:begin] + bytes(end - begin) + data[end:]


def delete(data: bytes, rng: np.random.Generator) -> bytes:
    begin, end = _span(data, rng)
    return data[:begin] + data[end:]


def double(data: bytes, rng: np.random.Generator) -> bytes:
    begin, end = _span(data, rng)
    return data[:end] + data[begin:]


def insert(data: bytes, rng: np.random.Generator) -> bytes:
    begin, end = _span(data, rng)
    return data[:begin] + rng.bytes(end - begin) + data[begin:]


def append(data: bytes, rng: np.random.Generator) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 500)))


def twice(data: bytes, rng: np.random.Generator) -> bytes:
    return data + data


def noise(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(5))] + rng.bytes(int(rng.integers(0, 2000)))


def text(data: bytes, rng: np.random.Generator) -> bytes:
    marks = [b",", b";", b'"', b"\n", b"\r", b"\0", b"\t", b"\xff", b"../", b"/", "\u2028".encode(), b"-1", b"9" * 12]
    begin, _ = _span(data, rng)
    return data[:begin] + marks[int(rng.integers(len(marks)))] + data[begin + int(rng.integers(2)) :]


Damage = Callable[[bytes, np.random.Generator], bytes]
OF_SOUND: tuple[Damage, ...] = (flip, header, size_field, cut, blank, delete, double, insert, append, twice, noise)
OF_TABLES: tuple[Damage, ...] = (flip, cut, blank, delete, double, insert, append, twice, noise, text, text)


def originals(kind: str, folder: Path) -> list[Original]:
    """Sound files without damage."""
    found: list[Original] = []
    if kind == "coded":
        for number, (suffix, codec, channels, form, options) in enumerate(CODED):
            path = folder / f"whole{suffix}"
            wave = np.random.default_rng(number).uniform(-0.5, 0.5, (CODED_RATE // 2, channels))
            encode(path, wave, codec, CODED_RATE, form, **options)
            found.append(Original(kind, suffix, path.read_bytes(), decoded(path)[0]))
        return found
    for subtype, channels, form in WAVS if kind == "wav" else [("VORBIS", 1, "OGG"), ("VORBIS", 2, "OGG")]:
        path = folder / f"whole.{kind}"
        noise = np.random.default_rng(len(found)).uniform(-0.5, 0.5, (RATE // 4, channels))
        soundfile.write(path, noise, RATE, subtype=subtype, format=form)
        data = path.read_bytes()
        begin = data.find(b"data") + 8 if kind == "wav" else 0
        wave = soundfile.read(path, dtype="float32", always_2d=True)[0]
        found.append(Original(kind, f".{kind}", data, wave, subtype, begin, len(data) - begin))
    return found


def decoded(path: Path) -> tuple[np.ndarray, int, str | None]:
    """All samples (S, C), the rate (Hz), and the doubt."""
    with open_decoder(path) as sound:
        return sound.read(1 << 40), sound.sample_rate, sound.doubt


def samples_there(original: Original, data: bytes) -> np.ndarray:
    """The samples of a WAV file from its bytes, (S, C) float32."""
    raw = np.frombuffer(data[original.begin : original.begin + original.length], np.uint8)
    if original.subtype == "PCM_U8":
        values = (raw.astype(np.float32) - 128) / 128
    elif original.subtype == "FLOAT":
        values = raw.view(np.float32)
    else:
        width = int(original.subtype[-2:]) // 8
        wide = np.zeros((len(raw) // width, 4), np.uint8)
        wide[:, 4 - width :] = raw[: len(wide) * width].reshape(-1, width)
        values = wide.view(np.int32)[:, 0] / np.float32(2**31)
    channels = original.wave.shape[1]
    return values[: len(values) // channels * channels].reshape(-1, channels)


def try_sound(path: Path, original: Original, data: bytes) -> str:
    """What becomes of a damaged sound file."""
    path.write_bytes(data)
    try:
        info = inspect_audio(path, 1e6)
        read_audio(path, RATE, RATE // 4)
        wave, rate, doubt = decoded(path)
    except (AudioError, DecodeError):
        return REFUSED
    if info.seconds != len(wave) / rate or info.doubt != doubt:
        return WRONG
    if doubt is not None:
        return DOUBTED
    if wave.shape == original.wave.shape and np.allclose(wave, original.wave, atol=1e-6):
        return SAME
    return OTHER if is_right(path, original, data, wave) else WRONG


def is_right(path: Path, original: Original, data: bytes, wave: np.ndarray) -> bool:
    """Whether `wave` (S, C), which is not the original's, is what the damaged file holds."""
    if data == 2 * original.data and np.array_equal(wave, np.concatenate([original.wave] * 2)):
        return True  # of joined Ogg FFmpeg may lose samples
    if original.kind == "coded":
        return FFMPEG is None or len(wave) == ffmpeg_samples(path, wave.shape[1])
    if original.kind == "ogg":
        return False
    there = samples_there(original, data)
    return wave.shape == there.shape == original.wave.shape and np.allclose(wave, there, atol=1e-6)


def ffmpeg_samples(path: Path, channels: int) -> int:
    """Samples per channel that FFmpeg's program reads."""
    words = ["-v", "quiet", "-i", str(path), "-map", "0:a:0", "-f", "f32le", "-ac", str(channels), "-"]
    return len(subprocess.run([str(FFMPEG), *words], capture_output=True, check=False).stdout) // 4 // channels


def try_table(root: Path, name: str, data: bytes) -> str:
    """What becomes of a damaged table."""
    (root / name).write_bytes(data)
    problems: tuple[str, ...] | None = None
    try:
        corpus, problems = read_tables(root)
        open_corpus(root, skip_bad=True)
    except CorpusError as error:
        if "\n" in str(error) or not error.problems:
            return WRONG
        if problems is None:
            return REFUSED
    if problems:
        return REFUSED
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=None), skipinitialspace=False))
    rows = [row for row in rows if any((cell or "").strip() for cell in row.values() if isinstance(cell, str))]
    separator = next(
        (sign for name in (rows[0] if rows else ()) if (sign := re.sub(r"^\s*tags\s*", "", name or "")) != name), ";"
    )
    wanted = [
        _expected(
            {re.sub(r"[\W_]", "", k or "").casefold(): (v or "").strip() for k, v in row.items() if isinstance(v, str)},
            separator,
        )
        for row in rows
    ]
    got = [
        (fold, frozenset(tag for tag, has in zip(corpus.tags, row, strict=True) if has))
        for fold, row in zip(corpus.folds.tolist(), corpus.targets.tolist(), strict=True)
    ]
    return (SAME if data.decode("utf-8-sig") == TABLES[name] else OTHER) if got == wanted else WRONG


def _expected(row: dict[str, str], separator: str) -> tuple[int, frozenset[str]]:
    """The fold and the tags of a line; a name such as `tags/` says what separates them beside `;`."""
    cell = row.get("tags", "").replace(separator or ";", ";")
    tags = cell.split(";") if "tags" in row else [row.get("category", row.get("class", ""))]
    fold = EVALUATION if row.get("split") == "evaluation" else int(row.get("fold") or NO_FOLD)
    return fold, frozenset(tag.strip() for tag in tags) - {""}


@contextmanager
def limited() -> Iterator[None]:
    """Raise Hang when the body takes too long."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fuzz(count: int, seed: int, folder: Path, kept: Path | None = None) -> Counter[tuple[str, str, str]]:
    """Try `count` damaged inputs; count by (kind, damage, what became of it). Those that end badly go to `kept`."""
    sounds = {kind: originals(kind, folder) for kind in KINDS[:-1]}
    names = list(TABLES)
    for name in names:
        (folder / name.replace("/", "-") / name).parent.mkdir(parents=True)
    counts: Counter[tuple[str, str, str]] = Counter()
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        kind = KINDS[number % len(KINDS)]
        damages = OF_TABLES if kind == "table" else OF_SOUND
        damage = damages[number // len(KINDS) % len(damages)]
        try:
            with limited():
                if kind == "table":
                    name = names[int(rng.integers(len(names)))]
                    data = damage(TABLES[name].encode(), rng)
                    outcome = try_table(folder / name.replace("/", "-"), name, data)
                else:
                    original = sounds[kind][int(rng.integers(len(sounds[kind])))]
                    data = damage(original.data, rng)
                    outcome = try_sound(folder / f"damaged{original.suffix}", original, data)
        except Hang:
            outcome = HANG
        except Exception as error:
            outcome = TRACEBACK
            print(f"input {number}: {error!r}", file=sys.stderr)
        if outcome in BAD:
            print(f"input {number}: {kind}, {damage.__name__}: {outcome}", file=sys.stderr)
            if kept is not None:
                (kept / f"{number}{original.suffix if kind != 'table' else ''}").write_bytes(data)
        counts[kind, damage.__name__, outcome] += 1
    return counts


def main() -> int:
    """Print the counts; 1 if any input ended badly."""
    parser = argparse.ArgumentParser(description="Damaged recordings and tables, thousands of them.")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for the inputs that end badly")
    arguments = parser.parse_args()
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    if FFMPEG is None:
        print("note: without the program ffmpeg the lengths of coded files are not compared", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        counts = fuzz(arguments.count, arguments.seed, Path(folder), arguments.keep)
    outcomes = [REFUSED, DOUBTED, SAME, OTHER, *BAD]
    print(f"{'':18}" + "".join(f"{outcome:>22}" for outcome in outcomes))
    for kind, damage in sorted({(kind, damage) for kind, damage, _ in counts}):
        print(f"{kind:6}{damage:12}" + "".join(f"{counts[kind, damage, outcome]:22}" for outcome in outcomes))
    totals = {outcome: sum(n for (_, _, what), n in counts.items() if what == outcome) for outcome in outcomes}
    print(f"{'all':18}" + "".join(f"{totals[outcome]:22}" for outcome in outcomes))
    return 1 if any(totals[outcome] for outcome in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
