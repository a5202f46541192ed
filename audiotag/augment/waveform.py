"""Changes to waveforms. Each function gives one variant of a clip; the targets stay.

Shapes: wave (S,), or (2, S) in stereo, whose channels are changed alike. No variant is scaled down where it goes beyond
[-1, 1]: samples are float32, and nothing clips them. The value sets are those of Salamon & Bello 2017, "Deep
convolutional neural networks and data augmentation for environmental sound classification".
"""

import numpy as np

from audiotag.audio.filters import fit_length, run_filter
from audiotag.audio.resample import resample

SLOWEST, FASTEST = 0.5, 2.0  # rates; beyond them FFmpeg's filter leaves parts of the sound out
MOST_SEMITONES = 12.0  # whose rates these are
MARGIN = 0.25  # s of a clip's beginning after its end, for the filter
# How FFmpeg's and SoX's compressor work by MUDA's presets, which Salamon & Bello used: attack and decay in s; input and
# output levels in dB; gain in dB; s that it looks ahead
PRESETS: dict[str, tuple[tuple[float, float], str, float, float]] = {
    "music_standard": ((0.1, 0.3), "-90/-90|-70/-58|-55/-43|-31/-31|-21/-21|0/-20", 0.0, 0.1),
    "film_standard": ((0.1, 0.3), "-90/-90|-70/-64|-43/-37|-31/-31|-21/-21|0/-20", 0.0, 0.1),
    "speech": ((0.1, 0.3), "-90/-90|-70/-55|-50/-35|-31/-31|-21/-21|0/-20", 0.0, 0.1),
    "radio": ((0.01, 1.0), "-90/-90|-70/-70|-60/-20|0/0", -5.0, 0.0),
    "music_light": ((0.1, 0.3), "-90/-90|-70/-58|-65/-53|-41/-41|-21/-21|0/-11", 0.0, 0.1),
    "film_light": ((0.1, 0.3), "-90/-90|-70/-64|-53/-47|-41/-41|-21/-21|0/-20", 0.0, 0.1),
}


def pitch_shift(
    wave: np.ndarray, sample_rate: int, rng: np.random.Generator, variant: int, *, semitones: str = "-2 -1 1 2"
) -> np.ndarray:
    """Shift the pitch by one of some numbers of semitones, and keep the duration.

    The clip is stretched by FFmpeg's `atempo` and resampled to its own length again.
    Source: Salamon & Bello 2017; its other set is -3.5, -2.5, 2.5, 3.5.
    """
    shift = choose(semitones, variant, "semitones", -MOST_SEMITONES, MOST_SEMITONES)
    if shift == 0:
        return wave
    ratio = 2 ** (shift / 12)
    longer = _stretch(wave, sample_rate, 1 / ratio)
    return fit_length(resample(longer.T, sample_rate * ratio, sample_rate).T, sample_rate, wave.shape[-1])


def time_stretch(
    wave: np.ndarray, sample_rate: int, rng: np.random.Generator, variant: int, *, rates: str = "0.81 0.93 1.07 1.23"
) -> np.ndarray:
    """Play a clip slower or faster by one of some rates, and keep the pitch.

    Of a slower one the beginning is kept; a faster one begins anew where it ends.
    Source: Salamon & Bello 2017.
    """
    rate = choose(rates, variant, "rates", SLOWEST, FASTEST)
    return fit_length(_stretch(wave, sample_rate, rate), sample_rate, wave.shape[-1])


def background_noise(
    wave: np.ndarray,
    sample_rate: int,
    rng: np.random.Generator,
    noise: np.ndarray,
    *,
    low_weight: float = 0.1,
    high_weight: float = 0.5,
) -> np.ndarray:
    """Give (1 - w) wave + w noise, with w uniform between `low_weight` and `high_weight`.

    Source: Salamon & Bello 2017, whose noise is recordings of streets and parks.
    """
    weight = np.float32(low_weight + (high_weight - low_weight) * rng.random())
    return (1 - weight) * wave + weight * noise


def compression(
    wave: np.ndarray,
    sample_rate: int,
    rng: np.random.Generator,
    variant: int,
    *,
    presets: str = "music_standard film_standard speech radio",
) -> np.ndarray:
    """Compress the dynamic range by one of some presets: quiet parts become louder, loud ones quieter.

    Both channels get the gain that the louder one asks for.
    Source: Salamon & Bello 2017, by the presets of MUDA (McFee et al. 2015), whose compressor is SoX's `compand`.
    """
    names = presets.split()
    if not names or not set(names) <= PRESETS.keys():
        raise ValueError(f"The value of `presets` is {presets!r}, but must be some of {' '.join(PRESETS)}.")
    (attack, decay), points, gain, delay = PRESETS[names[variant % len(names)]]
    options = f"attacks={attack}:decays={decay}:points={points}:gain={gain}:delay={delay}"
    if wave.ndim == 1:
        return run_filter(wave, sample_rate, "compand", options)
    level = np.abs(wave).max(axis=0)
    gains = run_filter(level, sample_rate, "compand", options) / np.where(level == 0, 1, level)
    return wave * gains


def choose(numbers: str, variant: int, name: str, low: float, high: float) -> float:
    """Take a variant's number out of a text of some, between blanks; further variants take them in turn.

    Raises:
        ValueError: For a text that is no list of numbers in [low, high]; `name` is the hyperparameter's.
    """
    try:
        values = [float(word) for word in numbers.split()]
    except ValueError:
        values = []
    if not values or not all(low <= value <= high for value in values):
        wanted = f"numbers from {low:g} to {high:g} with blanks between them"
        raise ValueError(f"The value of `{name}` is {numbers!r}, but must be {wanted}.")
    return values[variant % len(values)]


def _stretch(wave: np.ndarray, sample_rate: int, rate: float) -> np.ndarray:
    """A waveform that is 1 / rate times as long, at the same pitch; both channels are cut at the same places.

    The filter takes and gives windows of up to a twelfth of a second, whole ones: it gets more than it needs.
    """
    if rate == 1:
        return wave
    samples = wave.shape[-1]
    enough = fit_length(wave, sample_rate, max(round(MARGIN * sample_rate) + samples, sample_rate))
    return run_filter(enough, sample_rate, "atempo", f"tempo={rate}")[..., : max(1, round(samples / rate))]
