"""The log-mel front end: waveforms to the input features of a network.

Shapes: B batch, S samples, T frames, M mel bands.
"""

from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

WAVES_AT_ONCE = 4  # clips whose frames are in memory together: they fit into a processor's cache
FILTERS_TOGETHER = 16  # mel bands per matrix product: fewer mean less arithmetic, but more products


@dataclass(frozen=True)
class LogMel:
    """A front end: the logarithm of mel bands. The defaults are the paper's, for its CRNN.

    A Hamming window of 1024 samples every 512, no centre padding: 4 s at 16 kHz give 124 frames (Wei et
    al. 2018). The mel scale is open in the paper: Slaney's, whose filters all hold two FFT bins or more at this
    resolution (HTK's lowest hold one), with their areas equal. The logarithm's offset is open in the paper.

    Raises:
        ValueError: For an inter-channel difference of anything but magnitudes.
    """

    sample_rate: int = 16_000  # Hz
    n_fft: int = 1024  # samples, also the window's length
    hop_length: int = 512  # samples
    n_mels: int = 128
    log_offset: float = 1e-8
    power: float = 2.0  # of the magnitudes that the bands sum: 1 magnitudes, 2 energies
    unit_peaks: bool = False  # each filter divided by its maximum, in place of equal areas
    imd: bool = False  # for stereo: the bands of the mean channel, then |X_L| - |X_R| of each FFT bin

    def __post_init__(self) -> None:
        if self.imd and self.power != 1:
            raise ValueError(f"The value of `power` is {self.power}, but must be 1 for the difference of magnitudes.")

    @property
    def columns(self) -> int:
        """Values per frame: the mel bands, and the FFT bins of the inter-channel difference."""
        return self.n_mels + (self.n_fft // 2 + 1 if self.imd else 0)

    def samples(self, seconds: float) -> int:
        """Return the samples S of a clip."""
        return round(seconds * self.sample_rate)

    def frames(self, samples: int) -> int:
        """Return the frames T of a clip: whole windows only.

        Raises:
            ValueError: For a clip shorter than one window.
        """
        if samples < self.n_fft:
            raise ValueError(
                f"The clip length is {samples / self.sample_rate:.3f} s, but must be at least one window of "
                f"{self.n_fft / self.sample_rate:.3f} s: use longer clips."
            )
        return 1 + (samples - self.n_fft) // self.hop_length

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, with the front end's name."""
        return {"front_end": "log_mel", **asdict(self)}


def log_mel(waveforms: np.ndarray, settings: LogMel) -> np.ndarray:
    """Compute log-mel features: (..., S) float32 in [-1, 1] to (..., T, M) float32.

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

    The energies come first: torch takes longer for a complex magnitude than for the FFT.
    """
    import torch

    frames = waves.unfold(-1, settings.n_fft, settings.hop_length) * torch.hamming_window(settings.n_fft)
    spectrum = torch.fft.rfft(frames)
    energies = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
    return energies if settings.power == 2 else energies.pow_(settings.power / 2)


@cache
def mel_filters(settings: LogMel) -> "Tensor":
    """Return the mel filters as columns, (bins, M)."""
    from torchaudio.functional import melscale_fbanks

    bins, highest = settings.n_fft // 2 + 1, settings.sample_rate / 2
    filters = melscale_fbanks(bins, 0.0, highest, settings.n_mels, settings.sample_rate, "slaney", "slaney")
    return filters / filters.amax(dim=0) if settings.unit_peaks else filters


@cache
def _filter_blocks(settings: LogMel) -> list[tuple[int, "Tensor"]]:
    """The filters in groups of neighbours, each with its first bin: seven eighths of a full product would be with 0."""
    blocks = []
    for part in mel_filters(settings).split(FILTERS_TOGETHER, dim=1):
        used = part.any(dim=1).nonzero()
        first, last = (int(used[end]) for end in (0, -1)) if len(used) else (0, 0)
        blocks.append((first, part[first : last + 1].contiguous()))
    return blocks


def band_frequencies(settings: LogMel) -> np.ndarray:
    """Return the centre of gravity of each mel band's filter, (M,) in Hz."""
    filters = mel_filters(settings).numpy()
    bins = np.linspace(0, settings.sample_rate / 2, len(filters))
    return bins @ filters / filters.sum(axis=0)
