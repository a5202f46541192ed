"""What is heard in the background of clips: other training clips, or recordings from a folder.

Each variant of a clip has a sound of its own, which is drawn from the clip's content and not from a seed, so that it is
the same in every study. Shapes: N clips of a corpus, D its development clips, V variants of a clip, S samples.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from audiotag.audio.filters import fit_length
from audiotag.audio.find import find_audio
from audiotag.audio.probe import audio_format, file_digests
from audiotag.audio.read import AudioError, stream_audio
from audiotag.corpus.corpus import Corpus
from audiotag.corpus.errors import CorpusError

LONGEST = 7200  # s of recordings that are kept in memory at a time, 0.5 GB at 16 kHz: of each the beginning
NO_CLIP = -1


class Noise(Protocol):
    """The background of each variant of each development clip."""

    clips: np.ndarray  # (D, V) the clip that it is; NO_CLIP where it is a recording

    def name(self, row: int, variant: int) -> str:
        """What the sound is, as the cache tells it from others."""

    def read(self, row: int, variant: int) -> np.ndarray:
        """The sound: (S,), in stereo (2, S)."""


class ClipNoise:
    """Other development clips.

    The folds take turns among the variants of a clip, from a random one on. So whichever fold is held out, and whatever
    else is, some variants have the sound of a clip that is trained on; others are not for that fold.
    """

    def __init__(
        self, corpus: Corpus, digests: Sequence[str], variants: int, read: Callable[[int], np.ndarray]
    ) -> None:
        self._digests, self._read = digests, read
        folds = [np.flatnonzero(corpus.folds == fold) for fold in corpus.fold_numbers]
        folds = [corpus.trained] if corpus.has_fixed_split else folds
        rows = [self._draw(folds, int(clip), variants) for clip in corpus.trained]
        self.clips = np.array(rows, np.int64).reshape(len(rows), variants)

    def _draw(self, folds: list[np.ndarray], clip: int, variants: int) -> list[int]:
        rng = make_clip_rng(self._digests[clip], "background")
        others = [fold for number in rng.permutation(len(folds)) if (fold := folds[number]).tolist() != [clip]]
        drawn = []
        for variant in range(variants):
            fold = others[variant % len(others)]
            place = int(rng.integers(len(fold)))
            if fold[place] == clip:
                place = (place + 1) % len(fold)
            drawn.append(int(fold[place]))
        return drawn

    def name(self, row: int, variant: int) -> str:
        """The content of the clip."""
        return self._digests[self.clips[row, variant]]

    def read(self, row: int, variant: int) -> np.ndarray:
        """The clip."""
        return self._read(int(self.clips[row, variant]))


@dataclass(frozen=True)
class Recordings:
    """A folder of recordings."""

    paths: tuple[Path, ...]
    digests: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with the content of the files, but not with their names."""
        return hashlib.blake2b("".join(sorted(self.digests)).encode(), digest_size=8).hexdigest()


def find_recordings(folder: str) -> Recordings:
    """Find the recordings in and below a folder; those with the same content count once.

    Raises:
        CorpusError: If there are none.
    """
    paths = find_audio(Path(folder).expanduser())
    if not paths:
        why = "holds no audio files" if Path(folder).expanduser().is_dir() else "is no folder"
        raise CorpusError(f"The value of `recordings` is {folder!r}, which {why}: name a folder of recordings.")
    unlike = dict(zip(file_digests(paths), paths, strict=True))
    return Recordings(tuple(unlike[digest] for digest in sorted(unlike)), tuple(sorted(unlike)))


class RecordingNoise:
    """Excerpts of recordings, anywhere in them; one that is shorter than a clip is repeated."""

    def __init__(
        self,
        recordings: Recordings,
        digests: Sequence[str],
        variants: int,
        sample_rate: int,
        samples: int,
        stereo: bool,
    ) -> None:
        self._recordings, self._digests, self._samples = recordings, digests, samples
        self._sample_rate, self._stereo = sample_rate, stereo
        self._waves: list[np.ndarray] = []
        self.clips = np.full((len(digests), variants), NO_CLIP)

    def _draw(self, row: int, variant: int) -> tuple[int, float]:
        """The recording, and where in it the excerpt begins, as a share."""
        rng = make_clip_rng(self._digests[row], "background", variant)
        return int(rng.integers(len(self._recordings.digests))), rng.random()

    def name(self, row: int, variant: int) -> str:
        """The content of the recording, and how many there are, on which the length depends that is kept."""
        return f"{self._recordings.digests[self._draw(row, variant)[0]]} of {len(self._recordings.digests)}"

    def read(self, row: int, variant: int) -> np.ndarray:
        """An excerpt."""
        number, place = self._draw(row, variant)
        wave = fit_length(self._waves[number], self._sample_rate, max(self._samples, self._waves[number].shape[-1]))
        start = int(place * (wave.shape[-1] - self._samples + 1))
        return wave[..., start : start + self._samples]

    def load(self) -> None:
        """Read all recordings.

        Raises:
            CorpusError: For one that cannot be used.
        """
        seconds = LONGEST / len(self._recordings.paths) / (2 if self._stereo else 1)
        most = max(self._samples, round(seconds * self._sample_rate))
        self._waves = [self._read_recording(path, most) for path in self._recordings.paths]

    def _read_recording(self, path: Path, most: int) -> np.ndarray:
        try:
            stereo = self._stereo and audio_format(path)[1] == 2
            pieces, length = [], 0
            for piece in stream_audio(path, self._sample_rate, stereo):
                pieces.append(piece)
                if (length := length + piece.shape[-1]) >= most:
                    break
        except AudioError as error:
            raise CorpusError(
                f"The recording `{path}` cannot be used: {error.reason}. Take it out of the folder."
            ) from error
        wave = np.concatenate(pieces, axis=-1)[..., :most]
        return np.stack([wave, wave]) if self._stereo and not stereo else wave


def make_clip_rng(digest: str, *use: str | int) -> np.random.Generator:
    """Make the generator of what is drawn for a clip by its content, for one use."""
    seed = hashlib.blake2b("\0".join([digest, *map(str, use)]).encode(), digest_size=16).hexdigest()
    return np.random.default_rng(int(seed, 16))
