"""Waveforms from one sample rate to another, whole or in pieces, by torchaudio's filters."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np

FILTER_WIDTH = 6  # zero crossings of the filter on each side, torchaudio's default
ROLLOFF = 0.99  # cutoff as a fraction of the lower Nyquist frequency, torchaudio's default
MAX_FILTER_TAPS = 1_000_000  # a filter bank of more takes seconds and gigabytes (44,099 to 16,000 Hz: 11 GB)


def seen_beyond(rate: int, sample_rate: int) -> int:
    """How many samples at `rate` (Hz) the filter sees beyond the last one that it gives at `sample_rate`, at most."""
    return math.ceil(FILTER_WIDTH * max(1, rate / sample_rate) / ROLLOFF) + 1


def resample(wave: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """(..., samples at `rate`) to (..., samples at `sample_rate`)."""
    if rate == sample_rate:
        return wave
    ratio = _ratio(rate, sample_rate)
    import torch  # seconds to import, and a corpus can be opened without it
    from torchaudio.functional import resample as convert

    waveform = torch.from_numpy(wave)
    return convert(
        waveform, ratio.numerator, ratio.denominator, lowpass_filter_width=FILTER_WIDTH, rolloff=ROLLOFF
    ).numpy()


def resample_pieces(pieces: Iterable[np.ndarray], rate: int, sample_rate: int) -> Iterator[np.ndarray]:
    """As `resample`, of a waveform that comes in pieces: each is converted when the filter can see beyond it."""
    if rate == sample_rate:
        yield from pieces
        return
    ratio = _ratio(rate, sample_rate)
    step = ratio.numerator  # samples in that give `ratio.denominator` samples out
    steps = math.ceil(
        math.ceil(FILTER_WIDTH * max(1.0, float(ratio)) / ROLLOFF) / step
    )  # that the filter sees on each side
    seen = steps * ratio.denominator  # samples out of the steps that are there for the filter alone
    held = np.zeros(0, np.float32)
    for number, piece in enumerate(pieces):
        before = held if number else np.zeros((*piece.shape[:-1], steps * step), np.float32)
        held = np.concatenate([before, piece], axis=-1)
        ready = held.shape[-1] // step - 2 * steps
        if ready > 0:
            converted = resample(held[..., : (ready + 2 * steps) * step], rate, sample_rate)
            yield converted[..., seen : seen + ready * ratio.denominator]
            held = held[..., ready * step :]
    yield resample(held, rate, sample_rate)[..., seen:]


def _ratio(rate: int, sample_rate: int) -> Fraction:
    """`rate` over `sample_rate`, or nearly: off by less than 1 in 1000 where the filter bank would be too large."""
    ratio = Fraction(rate, sample_rate)
    if ratio.numerator * ratio.denominator > MAX_FILTER_TAPS:
        return ratio.limit_denominator(math.isqrt(int(MAX_FILTER_TAPS / ratio)))
    return ratio
