"""The sounds of the synthetic corpus: seven sources, a room tone and a room, as pure functions of a NumPy generator.

Each source returns 4 s of mono float32 at 48 kHz, (SAMPLES,), zero where nothing sounds and with a peak of 1. Whatever
lasts longer than a chunk (a speaker, a television programme, a room) is drawn once and passed in.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import fft, signal

SAMPLE_RATE = 48_000  # Hz
SAMPLES = 4 * SAMPLE_RATE
VOICE_RATE = SAMPLE_RATE // 2  # Hz: a voice has next to nothing above 12 kHz
FRAME = VOICE_RATE // 100  # samples, 10 ms: the step at which a mouth moves
FRAMES = SAMPLES // 2 // FRAME
TABLE = 4096  # points in one cycle of a wavetable
TIME = np.arange(SAMPLES, dtype=np.float32) / np.float32(SAMPLE_RATE)  # s

# Formants of an adult male in Hz, one row a vowel: a, e, i, o, u, schwa (rounded from Peterson and Barney 1952).
VOWELS = np.array(
    [
        [730, 1090, 2440, 3400],
        [530, 1840, 2480, 3500],
        [270, 2290, 3010, 3600],
        [570, 840, 2410, 3300],
        [300, 870, 2240, 3300],
        [500, 1500, 2500, 3500],
    ],
    dtype=float,
)
BANDWIDTHS = np.array([80.0, 100.0, 140.0, 220.0])  # Hz, of the formants above
PITCH = {"c": (330.0, 410.0), "m": (88.0, 125.0), "f": (175.0, 230.0)}  # Hz, resting pitch by tag
TRACT = {"c": (1.50, 1.65), "m": (0.94, 1.04), "f": (1.14, 1.24)}  # formants over those of an adult male


@dataclass(frozen=True)
class Voice:
    """A speaker: resting pitch in Hz, formants relative to a man's, syllables per second, share of breath noise."""

    pitch: float
    tract: float
    rate: float
    breath: float


@dataclass(frozen=True)
class Programme:
    """A television programme: seconds per sixteenth, key in Hz, chords in semitones, loudness of its parts."""

    step: float
    key: float
    chords: tuple[int, ...]
    pulse_width: float
    lead: float
    pad: float
    drums: float


def draw_voice(rng: np.random.Generator, tag: str) -> Voice:
    """Draw a child (c), a man (m) or a woman (f)."""
    return Voice(rng.uniform(*PITCH[tag]), rng.uniform(*TRACT[tag]), rng.uniform(3.5, 5.5), rng.uniform(0.02, 0.08))


def draw_programme(rng: np.random.Generator) -> Programme:
    """Draw a piece of music: chip-tune, chords or both, with a drum pattern more or less loud."""
    lead = rng.uniform(0.3, 1.0)
    return Programme(
        step=rng.uniform(0.09, 0.15),
        key=rng.uniform(290.0, 500.0),
        chords=tuple(int(c) for c in rng.choice([0, 3, 5, 7, -2, -4], size=4)),
        pulse_width=float(rng.choice([0.125, 0.25, 0.5])),
        lead=lead,
        pad=rng.uniform(0.5, 1.0) * (1.3 - lead),
        drums=rng.uniform(0.05, 0.25),
    )


def speech(rng: np.random.Generator, voice: Voice) -> np.ndarray:
    """Make phrases of syllables: glottal pulses and breath through gliding formants, unvoiced bursts and pauses."""
    loudness, burst, vowels, pitch = _articulation(rng, voice)
    time, frames = TIME[: SAMPLES // 2] * 2, np.arange(FRAMES) / 100  # s
    wobble = np.repeat(rng.normal(scale=0.006, size=2 * FRAMES), FRAME // 2)  # jitter, new every 5 ms
    vibrato = 0.015 * np.sin(2 * np.pi * rng.uniform(4, 6) * time + np.float32(rng.uniform(0, 6)))
    frequency = np.interp(time, frames, pitch) * (1 + wobble + vibrato)
    source = _oscillate(_glottal_cycle(int(10_000 / pitch.max()), 0.2 / voice.tract**2), frequency, VOICE_RATE)
    noise = rng.standard_normal(len(time), dtype=np.float32)
    source = (source + voice.breath * noise) * np.interp(time, frames, loudness)
    voiced = _formant_filter(source, vowels * voice.tract, loudness > 0)
    low = rng.uniform(2200, 4000) * voice.tract  # between a sh and an s
    hiss = signal.sosfilt(_band(low, min(1.9 * low, 0.498 * VOICE_RATE), VOICE_RATE), noise)
    wave = _unit(voiced) + 0.2 * hiss * np.interp(time, frames, burst)
    return _unit(signal.resample_poly(wave.astype(np.float32), 2, 1))


def _articulation(rng: np.random.Generator, voice: Voice) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Loudness of the voice and of the bursts, (FRAMES,), formants (FRAMES, 4) and pitch in Hz (FRAMES,)."""
    loudness, burst = np.zeros(FRAMES), np.zeros(FRAMES)
    vowels, pitch = np.tile(VOWELS[-1], (FRAMES, 1)), np.full(FRAMES, voice.pitch)
    frame = int(rng.integers(2, 40))
    while frame < FRAMES - 30:
        syllables, top, fall = rng.integers(3, 9), rng.uniform(1.0, 1.18), rng.uniform(0.0, 0.05)
        for syllable in range(syllables):
            onset = int(rng.integers(3, 9)) if rng.random() < 0.6 else 0
            length = max(8, int(100 / voice.rate * rng.uniform(0.7, 1.3)) - onset)
            burst[frame : frame + onset] = rng.uniform(0.2, 1.0) * np.sin(
                np.pi * (np.arange(onset) + 0.5) / max(onset, 1)
            )
            frame += onset
            spoken = slice(frame, min(frame + length, FRAMES))
            along = (np.arange(spoken.stop - frame) + 0.5) / length  # 0 to 1 through the syllable
            loudness[spoken] = rng.uniform(0.6, 1.0) * np.sin(np.pi * along) ** 0.6
            vowels[spoken] = VOWELS[rng.integers(len(VOWELS))] * rng.uniform(0.94, 1.06)
            pitch[spoken] = voice.pitch * (top - fall * syllable + rng.uniform(-0.15, 0.25) * (along - 0.5))
            frame = spoken.stop
            if frame >= FRAMES - 12:
                break
        frame += int(rng.integers(10, 35))
    kernel = np.hanning(9) / np.hanning(9).sum()
    vowels = np.stack([np.convolve(np.pad(v, 4, "edge"), kernel, "valid") for v in vowels.T], axis=1)
    return loudness, burst, vowels, np.convolve(np.pad(pitch, 4, "edge"), kernel, "valid")


def _glottal_cycle(harmonics: int, close: float) -> np.ndarray:
    """One cycle of the flow's derivative (Rosenberg pulse), band-limited to its first harmonics.

    `close` is the share of a cycle in which the glottis closes: the shorter, the brighter the voice.
    """
    phase = np.arange(TABLE) / TABLE
    rise = 0.42  # share of a cycle in which the glottis opens
    opening = np.sin(np.pi * phase / rise) / rise
    closing = -np.sin(np.pi / 2 * (phase - rise) / close) / close
    cycle = np.where(phase < rise, opening, np.where(phase < rise + close, closing, 0.0))
    spectrum = fft.rfft(cycle)
    spectrum[0] = 0
    spectrum[harmonics + 1 :] = 0
    return fft.irfft(spectrum, TABLE)


def _formant_filter(source: np.ndarray, formants: np.ndarray, active: np.ndarray) -> np.ndarray:
    """A cascade of resonators whose coefficients move every frame, its state carried on; silent frames are left out."""
    decay = np.exp(-np.pi * BANDWIDTHS / VOICE_RATE)
    sections = np.zeros((FRAMES, 4, 6))
    sections[:, :, 3] = 1
    sections[:, :, 4] = -2 * decay * np.cos(2 * np.pi * formants / VOICE_RATE)
    sections[:, :, 5] = decay**2
    sections[:, :, 0] = sections[:, :, 3:].sum(axis=2)  # gain 1 at 0 Hz
    output, state = np.zeros(len(source)), np.zeros((4, 2))
    for frame in np.flatnonzero(active | np.roll(active, 1)):
        span = slice(frame * FRAME, (frame + 1) * FRAME)
        output[span], state = signal.sosfilt(sections[frame], source[span], zi=state)
    return output


def music(rng: np.random.Generator, programme: Programme) -> np.ndarray:
    """Make a video game or the television: lead notes in square waves, chords and drums, as through a wall."""
    steps = int(4 / programme.step) + 1
    place = (TIME / programme.step).astype(int)  # the sixteenth a sample lies in
    within = TIME % programme.step  # s since it began
    root = programme.key * 2 ** (np.array(programme.chords)[(np.arange(steps) // 8 + rng.integers(4)) % 4] / 12)
    lead = root * 2 ** (rng.choice([0, 4, 7, 12, 16], size=steps) / 12) * rng.choice([1, 1, 2])
    struck = rng.random(steps) < 0.85
    mix = programme.lead * _oscillate(_pulse_cycle(programme.pulse_width), lead[place])
    mix *= np.exp(-within / 0.12) * struck[place]
    swell = 0.7 + 0.3 * np.sin(np.pi * ((place % 8) + within / programme.step) / 8)
    organ = _pulse_cycle(0.5)
    for interval in (0, 4, 7):
        mix += 0.4 * programme.pad * swell * _oscillate(organ, (root * 2 ** (interval / 12))[place])
    beats = np.where(np.arange(steps) % 4 == 2, 1.0, 0.4 * (np.arange(steps) % 2))
    mix += programme.drums * rng.standard_normal(SAMPLES, dtype=np.float32) * beats[place] * np.exp(-within / 0.03)
    return _unit(signal.sosfilt(_band(350, 2200, order=4), mix))


def _pulse_cycle(width: float, harmonics: int = 14) -> np.ndarray:
    """One cycle of a pulse wave of that duty, band-limited."""
    order = np.arange(1, harmonics + 1)
    return (np.sin(np.pi * width * order) / order) @ np.cos(2 * np.pi * np.outer(order, np.arange(TABLE)) / TABLE)


def impacts(rng: np.random.Generator) -> np.ndarray:
    """Make percussive sounds: knocks, clicks, dishes or things dropped, each a burst and a few decaying resonances."""
    low, high, decay, burst, count = [
        (250.0, 1500.0, 0.08, 0.030, 14),  # knocks on wood
        (1500.0, 6000.0, 0.06, 0.025, 15),  # clicks of a switch or a toy
        (1200.0, 7000.0, 0.15, 0.025, 13),  # dishes
        (250.0, 5000.0, 0.12, 0.050, 12),  # something falls
    ][rng.integers(4)]
    output = np.zeros(SAMPLES, np.float32)
    modes = np.exp(rng.uniform(np.log(low), np.log(high), size=8))
    for start in rng.integers(2400, SAMPLES - 12_000, size=rng.integers(count - 2, count + 4)):
        time = TIME[: min(24_000, SAMPLES - start)]
        hit = rng.standard_normal(len(time), dtype=np.float32) * np.exp(-time / (burst * float(rng.uniform(0.6, 1.4))))
        for mode in modes * rng.uniform(0.98, 1.02, size=8):
            ringing = np.exp(-time / (decay * float(rng.uniform(0.4, 1.4))))
            hit += float(rng.normal(scale=0.35)) * np.sin(float(2 * np.pi * mode) * time) * ringing
        output[start : start + len(time)] += float(rng.uniform(0.6, 1.0)) * hit * (1 - 2 * time)  # over after 0.5 s
    return _unit(output)


def broadband(rng: np.random.Generator) -> np.ndarray:
    """Make the noise of a vacuum cleaner, a tap or a frying pan, that swells in and lasts longer than 2.5 s."""
    kind = rng.integers(3)
    low, high = [(250.0, 8000.0), (900.0, 14_000.0), (2000.0, 12_000.0)][kind]
    noise = _shaped(rng, lambda f: 1 / ((1 + (low / np.maximum(f, 1)) ** 4) * (1 + (f / high) ** 4)) ** 0.5)
    if kind == 0:  # the motor: a harmonic whine
        noise += 0.5 * noise.std() * _oscillate(_pulse_cycle(0.3), np.full(SAMPLES, rng.uniform(190, 320)))
    if kind == 2:  # the fat: crackles
        sparks = rng.exponential(size=SAMPLES) * (rng.random(SAMPLES) < 1e-3)
        noise += 0.7 * noise.std() * signal.lfilter([1.0], [1.0, -0.97], sparks * rng.standard_normal(SAMPLES))
    start, stop, ramp = rng.uniform(-0.5, 0.8), rng.uniform(3.3, 4.5), rng.uniform(0.15, 0.5)
    swell = np.clip((TIME - start) / ramp, 0, 1) * np.clip((stop - TIME) / ramp, 0, 1)
    return _unit(noise * swell)


def signals(rng: np.random.Generator) -> np.ndarray:
    """Make other identifiable sounds: an appliance's beeps, a small bell, an alarm of two tones or a chirping bird."""
    kind = rng.integers(4)
    period = [rng.uniform(0.3, 0.7), rng.uniform(1.2, 2.0), rng.uniform(0.4, 0.7), rng.uniform(0.15, 0.35)][kind]
    start, count = rng.uniform(0.1, 0.5), (2 if kind == 1 else int(3.3 / period))
    phase = (TIME - start) / period
    within, sounding = phase % 1, (phase >= 0) & (phase < count)
    base = rng.uniform(2800, 3800)
    if kind == 0:
        frequency, envelope = np.full(SAMPLES, base), (within < 0.6).astype(float)
    elif kind == 1:
        frequency = np.where(within < 0.4, base, base / 1.25)
        envelope = np.exp(-(within % 0.4) * period / 0.35)
    elif kind == 2:
        frequency, envelope = np.where(within < 0.5, base, base * 0.8), np.ones(SAMPLES)
    else:
        frequency, envelope = base * (1.25 - 0.6 * within), np.sin(np.pi * np.minimum(within / 0.6, 1))
    edge = np.hanning(241) / np.hanning(241).sum()  # 5 ms: no clicks at the edges
    tone = _oscillate(_pulse_cycle(0.3, harmonics=2), frequency)
    return _unit(tone * signal.oaconvolve(envelope * sounding, edge, "same"))


def room_tone(rng: np.random.Generator, tilt: float, hum: float) -> np.ndarray:
    """Make a living room's background, (2, SAMPLES), deviation 1: noise falling by `tilt` dB per octave, and hum."""
    slope = tilt / 6.02

    def colour(frequency: np.ndarray) -> np.ndarray:
        return np.maximum(frequency, 60) ** -slope * (frequency > 25)

    middle, side = _shaped(rng, colour), 0.6 * _shaped(rng, colour)
    mains = np.float32(2 * np.pi * 50) * TIME
    middle += hum * middle.std() * (np.sin(mains) + 0.6 * np.sin(2 * mains) + 0.3 * np.sin(3 * mains))
    tone = np.stack([middle + side, middle - side])
    return tone / tone.std()


def draw_room(rng: np.random.Generator) -> np.ndarray:
    """Draw the reverberation of a furnished room without the direct sound, (2, taps): decaying noise per ear."""
    time = np.arange(int(0.2 * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal((2, len(time))) * 10 ** (-3 * time / rng.uniform(0.2, 0.35)) * (time > 0.004)
    return (rng.uniform(0.15, 0.3) * tail / np.linalg.norm(tail, axis=1, keepdims=True)).astype(np.float32)


def pan(wave: np.ndarray, side: float) -> np.ndarray:
    """Pan a mono sound to `side` (-1 left, 1 right), (2, samples): the near ear up to 6 dB louder, 0.3 ms sooner."""
    pair = np.stack([10 ** (-3 * side / 20) * wave, 10 ** (3 * side / 20) * wave])
    far, delay = int(side < 0), round(abs(side) * 3e-4 * SAMPLE_RATE)
    pair[far] = np.pad(pair[far], (delay, 0))[: wave.size]
    return pair


def _shaped(rng: np.random.Generator, magnitude: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Gaussian noise (SAMPLES,) with that magnitude over frequency in Hz."""
    spectrum = rng.standard_normal(SAMPLES + 2, dtype=np.float32).view(np.complex64)
    frequency = fft.rfftfreq(SAMPLES, 1 / SAMPLE_RATE)
    return fft.irfft(spectrum * magnitude(frequency).astype(np.float32), SAMPLES)


def _oscillate(table: np.ndarray, frequency: np.ndarray, rate: int = SAMPLE_RATE) -> np.ndarray:
    """A wavetable read at a frequency in Hz that changes from sample to sample."""
    position = np.cumsum(frequency * (TABLE / rate))
    return table[position.astype(np.int64) & (TABLE - 1)]


def _band(low: float, high: float, rate: int = SAMPLE_RATE, order: int = 2) -> np.ndarray:
    return signal.butter(order, (low, high), "bandpass", fs=rate, output="sos")


def _unit(wave: np.ndarray) -> np.ndarray:
    """That wave in float32 with a peak of 1."""
    return (wave / np.abs(wave).max()).astype(np.float32)
