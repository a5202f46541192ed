"""Front ends: waveforms to the features that a network sees.

Shapes: N clips, S samples, T frames, M mel bands.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audiotag.audio.read import AudioError, read_audio, read_stereo
from audiotag.corpus.corpus import Corpus
from audiotag.corpus.tables import CorpusError
from audiotag.features.store import CLIPS_A_TASK, Progress, cached_features, is_cached

if TYPE_CHECKING:
    from torch import Tensor

CACHE_VERSION = 4  # raised when the numbers of a front end change
WAVES_AT_ONCE = 4  # clips whose frames are in memory together: what processors keep near
FILTERS_TOGETHER = 16  # mel bands a matrix product: fewer are less arithmetic, and more products
SMALLEST_SCALE = 1e-4  # a band that never changes, rounding (2e-6 near -18) aside, is left at zero, not blown up
SMALLEST_SHARE, SMALLEST = 1e-5, 1e-7  # the same of a column with small values: of its mean, and in all


@dataclass(frozen=True)
class LogMel:
    """A front end: the logarithm of mel bands. The defaults are the paper's, for its CRNN.

    A Hamming window of 1024 samples every 512, no centre padding: 4 s at 16 kHz give 124 frames (Wei et
    al. 2018). The mel scale is open in the paper: Slaney's, whose filters all hold two FFT bins or more at this
    resolution (HTK's lowest hold one), with their areas equal. The logarithm's offset is open in the paper.

    Raises:
        ValueError: for an inter-channel difference of anything but magnitudes.
    """

    sample_rate: int = 16_000  # Hz
    n_fft: int = 1024  # samples, also the window's length
    hop_length: int = 512  # samples
    n_mels: int = 128
    log_offset: float = 1e-8
    power: float = 2.0  # of the magnitudes that the bands sum: 1 magnitudes, 2 energies
    unit_peaks: bool = False  # each filter divided by its maximum, in place of equal areas
    imd: bool = False  # of stereo: the bands of the mean channel, then |X_L| - |X_R| of each FFT bin

    def __post_init__(self) -> None:
        if self.imd and self.power != 1:
            raise ValueError(f"The value of `power` is {self.power}, but must be 1 for the difference of magnitudes.")

    @property
    def columns(self) -> int:
        """Values a frame: the mel bands, and the FFT bins of the inter-channel difference."""
        return self.n_mels + (self.n_fft // 2 + 1 if self.imd else 0)

    def samples(self, seconds: float) -> int:
        """Samples of a clip."""
        return round(seconds * self.sample_rate)

    def frames(self, samples: int) -> int:
        """Frames T of a clip: whole windows only.

        Raises:
            CorpusError: for a clip shorter than one window.
        """
        if samples < self.n_fft:
            raise CorpusError(
                f"The clip length is {samples / self.sample_rate:.3f} s, but must be at least one window of "
                f"{self.n_fft / self.sample_rate:.3f} s: use longer clips."
            )
        return 1 + (samples - self.n_fft) // self.hop_length

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, with the front end's name."""
        return {"front_end": "log_mel", **asdict(self)}


def log_mel(waveforms: np.ndarray, settings: LogMel) -> np.ndarray:
    """Log-mel features: (..., S) float32 in [-1, 1] to (..., T, M) float32.

    With the inter-channel magnitude difference (IMD): (..., 2, S) to (..., T, M + bins).
    """
    import torch

    waves = torch.from_numpy(np.ascontiguousarray(waveforms))
    shape = waves.shape[: -2 if settings.imd else -1]
    with torch.inference_mode():
        parts = waves.reshape(-1, *waves.shape[len(shape) :]).split(WAVES_AT_ONCE)
        rows = torch.cat([_rows(part, settings) for part in parts])
        return rows.view(*shape, *rows.shape[1:]).numpy()


def _rows(waves: "Tensor", settings: LogMel) -> "Tensor":
    """(B, S), with IMD (B, 2, S), to (B, T, columns)."""
    import torch

    mono = waves.mean(dim=1) if settings.imd else waves
    bins = _spectrogram(mono, settings).flatten(0, 1)
    bands = torch.cat([bins[:, first : first + len(part)] @ part for first, part in _filter_blocks(settings)], dim=1)
    rows = bands.add_(settings.log_offset).log_().unflatten(0, (len(mono), -1))
    if settings.imd:
        left, right = _spectrogram(waves, settings).unbind(dim=1)
        rows = torch.cat([rows, left - right], dim=2)
    return rows


def _spectrogram(waves: "Tensor", settings: LogMel) -> "Tensor":
    """Magnitudes to the power that the bands sum: (..., S) to (..., T, bins).

    The energies come first: torch's magnitude of a complex number takes longer than its FFT.
    """
    import torch

    frames = waves.unfold(-1, settings.n_fft, settings.hop_length) * torch.hamming_window(settings.n_fft)
    spectrum = torch.fft.rfft(frames)
    energies = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
    return energies if settings.power == 2 else energies.pow_(settings.power / 2)


@cache
def _filters(settings: LogMel) -> "Tensor":
    """The mel filters as columns, (bins, M)."""
    from torchaudio.functional import melscale_fbanks

    bins, highest = settings.n_fft // 2 + 1, settings.sample_rate / 2
    filters = melscale_fbanks(bins, 0.0, highest, settings.n_mels, settings.sample_rate, "slaney", "slaney")
    return filters / filters.amax(dim=0) if settings.unit_peaks else filters


@cache
def _filter_blocks(settings: LogMel) -> list[tuple[int, "Tensor"]]:
    """The filters in groups of neighbours, each with its first bin: seven eighths of all products would be with 0."""
    blocks = []
    for part in _filters(settings).split(FILTERS_TOGETHER, dim=1):
        used = part.any(dim=1).nonzero()
        first, last = (int(used[end]) for end in (0, -1)) if len(used) else (0, 0)
        blocks.append((first, part[first : last + 1].contiguous()))
    return blocks


def band_frequencies(settings: LogMel) -> np.ndarray:
    """The centre of gravity of each mel band's filter, (M,) in Hz."""
    filters = _filters(settings).numpy()
    bins = np.linspace(0, settings.sample_rate / 2, len(filters))
    return bins @ filters / filters.sum(axis=0)


def default_cache() -> Path:
    """Where features are kept: `$XDG_CACHE_HOME/audiotag`, or `~/.cache/audiotag`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "audiotag"


def cache_settings(settings: LogMel, samples: int) -> dict[str, Any]:
    """All that the features of a clip of so many samples depend on, but the recording."""
    return {"version": CACHE_VERSION, "settings": settings.to_dict(), "samples": samples}


def load_features(corpus: Corpus, settings: LogMel, cache: Path, progress: Progress | None = None) -> np.ndarray:
    """Features of every clip of a corpus, (N, T, columns) float32, read-only.

    What the cache lacks is computed by one thread a core, and kept there clip by clip. `progress` is called with (clips
    done, clips in all).

    Raises:
        CorpusError: for clips that cannot be decoded; the first three are named in its line, all in its problems.
        CacheError: if the cache cannot be written.
    """
    samples = settings.samples(corpus.clip_seconds)
    shape = (settings.frames(samples), settings.columns)
    read, files, digests = read_audio, corpus.paths, corpus.digests
    if settings.imd:
        read, files, digests = read_stereo, corpus.stereo_paths, corpus.stereo_digests
    memory = _Waveforms(CLIPS_A_TASK, 2, samples) if settings.imd else _Waveforms(CLIPS_A_TASK, samples)
    readers = threading.Semaphore(max(1, (os.cpu_count() or 1) // 2))  # all would wait for Python's lock: 7 % more time
    problems: dict[Path, str] = {}

    def compute(clips: Sequence[int]) -> np.ndarray:
        with readers:
            for clip, wave in zip(clips, memory.waves, strict=False):
                try:
                    wave[:] = read(files[clip], settings.sample_rate, samples)
                except AudioError as error:
                    problems[files[clip]] = str(error)
                    wave[:] = np.nan  # what is not finite is not kept
        values = log_mel(memory.waves[: len(clips)], settings)
        for place in np.flatnonzero(~np.isfinite(values).all(axis=(1, 2))):
            path = files[clips[int(place)]]
            problems.setdefault(path, f"The audio file `{path}` is too loud for float32: scale it down.")
        return values

    how = cache_settings(settings, samples)
    with nullcontext() if is_cached(cache, how, digests, shape) else _one_torch_thread():  # torch takes 3 s to import
        features = cached_features(cache, how, digests, shape, compute, progress)
    if problems:
        told = [problems[path] for path in sorted(problems)]
        more = f" (and {len(told) - 3} more)" if len(told) > 3 else ""
        raise CorpusError("; ".join(told[:3]) + more, told)
    return features


class _Waveforms(threading.local):
    """Memory for the waveforms of a task, one for each thread: new pages for each take an eighth of it all."""

    def __init__(self, *shape: int) -> None:
        self.waves = np.empty(shape, np.float32)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Torch with one thread an operation: the pool has one thread a core already."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def band_statistics(features: np.ndarray, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column over the frames of some clips: (N, T, M), (n,) to (M,), (M,) float32.

    Meant for the training part of a fold, so that nothing of the clips to be scored leaks into their standardisation.
    """
    frames = len(clips) * features.shape[1]
    total = np.zeros(features.shape[2])
    squares = np.zeros(features.shape[2])
    for clip in clips:
        values = features[clip].astype(np.float64)
        total += values.sum(axis=0)
        squares += np.square(values).sum(axis=0)
    mean = total / frames
    scale = np.sqrt(np.maximum(squares / frames - mean**2, 0))
    smallest = np.minimum(SMALLEST_SCALE, SMALLEST_SHARE * np.abs(mean) + SMALLEST)
    return mean.astype(np.float32), np.where(scale < smallest, 1.0, scale).astype(np.float32)
