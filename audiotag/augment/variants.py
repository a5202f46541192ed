"""Variants of training clips: augmentations of waveforms, computed once per clip, with their features in the cache.

Training then takes a clip's features or those of one of its variants, at the cache's speed. All that is random in a
variant derives from the clip's content and the variant's number: it is the same in every study, and computed once.
Shapes: N clips of a corpus, D its development clips, V variants of a clip, T frames, F values per frame, S samples.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from audiotag.augment import part_parameters
from audiotag.augment.noises import NO_CLIP, ClipNoise, Noise, RecordingNoise, find_recordings, make_clip_rng
from audiotag.config import TrialConfig, augmentation
from audiotag.corpus.audio_scan import Progress
from audiotag.corpus.corpus import Corpus
from audiotag.declarations.catalogue import load
from audiotag.declarations.own_code import OwnCode, describe_own_error
from audiotag.declarations.source import DeclarationError, Value
from audiotag.features.load import CACHE_VERSION, clip_audio, one_torch_thread
from audiotag.features.log_mel import LogMel, log_mel
from audiotag.features.store import DIGEST_DIGITS, cached_features, is_cached

VERSION = "1"  # raised when the samples of a variant change


class VariantError(ValueError):
    """An augmentation of waveforms that cannot be used as it is; the message is one line for the user."""


@dataclass(frozen=True)
class Part:
    """An augmentation of a chain as the cache tells it from others."""

    name: str
    source: str  # of the project's VERSION, of a user's own a hash of what defines it
    parameters: tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class VariantSettings:
    """What the variants of a corpus's clips depend on."""

    front_end: LogMel
    parts: tuple[Part, ...]
    variants: int  # V
    recordings: str | None  # folder of the background; empty: other clips; None: there is no background

    def to_dict(self, samples: int) -> dict[str, Any]:
        """Return them as JSON holds them, without what the names of variants say."""
        return {
            "version": CACHE_VERSION,
            "settings": self.front_end.to_dict(),
            "samples": samples,
            "variants": self.variants,
            "parts": [[part.name, part.source, dict(part.parameters)] for part in self.parts],
        }


def variant_settings(config: TrialConfig) -> VariantSettings | None:
    """Give the settings of the variants that a configuration trains on; None where it needs none."""
    names, parameters = config.waveform_parts, part_parameters(config)
    if not names:
        return None
    parts = [Part(name, _source_of(name, config), tuple(parameters[name].items())) for name in names]
    return VariantSettings(config.front_end, tuple(parts), config.variants, config.get("recordings"))


def _source_of(name: str, config: TrialConfig) -> str:
    if name not in config.own_names:
        return VERSION
    return (config.code or OwnCode("", "")).fingerprint_of([name])


@dataclass(frozen=True, eq=False)
class Variants:
    """The features of variants.

    Attributes:
        values: (D, V, T, F).
        clips: (D,) the clips of the corpus that they are of, ascending.
        noises: (D, V) the clip that is heard in the background; NO_CLIP where none is.
    """

    values: np.ndarray
    clips: np.ndarray
    noises: np.ndarray

    def allowed(self, train: np.ndarray) -> np.ndarray:
        """Tell which variants (D, V) may be trained on: those whose background is not of a clip outside `train`."""
        return (self.noises == NO_CLIP) | np.isin(self.noises, train)


def load_variants(corpus: Corpus, config: TrialConfig, cache: Path, progress: Progress | None = None) -> Variants:
    """Load the variants of the clips that a corpus trains on for a configuration that has some.

    Those that the cache lacks are computed, one thread per core, and added to it.

    Args:
        corpus: The corpus.
        config: With an augmentation of waveforms.
        cache: The folder of the cache.
        progress: Called with (variants done, variants in all).

    Raises:
        CorpusError: For audio that cannot be read, and a folder of recordings without any.
        VariantError: For an augmentation that cannot be run or gives something else than it must.
        CacheError: If the cache cannot be written.
    """
    settings = variant_settings(config)
    assert settings is not None, "the caller has looked"
    front_end, number = settings.front_end, settings.variants
    audio, clips = clip_audio(corpus, front_end), corpus.trained
    digests = [audio.digests[clip] for clip in clips]
    noise = _make_noise(corpus, settings, audio.digests, audio.read, audio.samples)
    names = [
        _name(digest, settings, row, variant, noise) for row, digest in enumerate(digests) for variant in range(number)
    ]
    chain = _chain(config)

    def compute(wanted: Sequence[int]) -> np.ndarray:
        waves, last, wave = [], -1, np.zeros(0, np.float32)
        for place in wanted:
            row, variant = divmod(place, number)
            if row != last:
                last, wave = row, audio.read(int(clips[row]))
            background = None if noise is None else noise.read(row, variant)
            waves.append(_vary(chain, wave, front_end.sample_rate, digests[row], variant, number, background))
        values = log_mel(np.stack(waves), front_end)
        if not np.isfinite(values).all():
            raise VariantError(f"The augmentation `{config.augmentation}` gives samples too loud for float32.")
        return values

    key, shape = settings.to_dict(audio.samples), (front_end.frames(audio.samples), front_end.columns)
    cached = is_cached(cache, key, names, shape)
    if not cached and isinstance(noise, RecordingNoise):
        noise.load()
    with nullcontext() if cached else one_torch_thread():
        values = cached_features(cache, key, names, shape, compute, progress)
    backgrounds = np.full((len(clips), number), NO_CLIP) if noise is None else noise.clips
    return Variants(np.asarray(values).reshape(len(clips), number, *shape), clips, backgrounds)


def try_variants(config: TrialConfig, samples: int) -> None:
    """Make each variant of a clip of noise once, so that what cannot be used is found before any of the corpus.

    Raises:
        VariantError: As `load_variants`, and for a function that changes what it is given or draws other numbers twice.
    """
    rng, stereo = np.random.default_rng(0), config.front_end.imd
    wave, noise = rng.uniform(-0.5, 0.5, (2, 2, samples) if stereo else (2, samples)).astype(np.float32)
    given, chain = wave.copy(), _chain(config)
    for variant in range(config.variants):
        arguments = chain, wave, config.front_end.sample_rate, "", variant, config.variants, noise
        made, again = _vary(*arguments), _vary(*arguments)
        names = " + ".join(config.waveform_parts)
        if not np.array_equal(wave, given):
            raise VariantError(
                f"The augmentation `{names}` changes what it is given: make a copy, `wave = wave.copy()`."
            )
        if not np.array_equal(made, again):
            raise VariantError(
                f"The augmentation `{names}` draws other numbers each time: draw all of them from `rng`."
            )


def _make_noise(
    corpus: Corpus,
    settings: VariantSettings,
    digests: Sequence[str],
    read: Callable[[int], np.ndarray],
    samples: int,
) -> Noise | None:
    if settings.recordings is None:
        return None
    if not settings.recordings:
        return ClipNoise(corpus, digests, settings.variants, read)
    front_end, own = settings.front_end, [digests[clip] for clip in corpus.trained]
    found = find_recordings(settings.recordings)
    return RecordingNoise(found, own, settings.variants, front_end.sample_rate, samples, front_end.imd)


def _name(digest: str, settings: VariantSettings, row: int, variant: int, noise: Noise | None) -> str:
    """A variant's name in the cache."""
    parts = [digest, str(variant), "" if noise is None else noise.name(row, variant)]
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=DIGEST_DIGITS // 2).hexdigest()


@dataclass(frozen=True)
class _Step:
    """An augmentation with its hyperparameters bound."""

    name: str
    run: Callable[..., Any]
    takes_variant: bool
    takes_noise: bool
    own: bool
    config: TrialConfig


def _chain(config: TrialConfig) -> list[_Step]:
    steps, parameters = [], part_parameters(config)
    for name in config.waveform_parts:
        declared = augmentation(name, config.code)
        run = partial(load("augmentation", name, config.code), **parameters[name])
        own = name in config.own_names
        steps.append(_Step(name, run, declared.takes_variant, declared.takes_noise, own, config))
    return steps


def _vary(
    chain: list[_Step],
    wave: np.ndarray,
    sample_rate: int,
    digest: str,
    variant: int,
    variants: int,
    noise: np.ndarray | None,
) -> np.ndarray:
    """One variant of a clip: the augmentations of a chain, one after the other.

    Where a list of values begins, and in a chain also the order of the variants, is drawn for each augmentation, so
    that every value of one meets every value of the others.
    """
    for step in chain:
        order = make_clip_rng(digest, step.name, "order")
        number = int(order.integers(2**31)) + int(order.permutation(variants)[variant])
        arguments = [wave, sample_rate, make_clip_rng(digest, step.name, variant)]
        arguments += [number] if step.takes_variant else []
        arguments += [noise] if step.takes_noise else []
        wave = _checked(step, arguments)
    return wave


def _checked(step: _Step, arguments: list[Any]) -> np.ndarray:
    """What an augmentation makes of a waveform, which must be another waveform like it."""
    what, given = f"The augmentation `{step.name}`", arguments[0]
    try:
        result = step.run(*arguments)
    except DeclarationError:
        raise
    except (Exception, SystemExit) as error:
        if not step.own and isinstance(error, ValueError):
            raise VariantError(str(error)) from error
        if not step.own:
            raise
        raise VariantError(f"{what} cannot be run: {describe_own_error(error, step.config.code)}.") from error
    if not isinstance(result, np.ndarray) or result.shape != given.shape:
        came = f"an array of shape {result.shape}" if isinstance(result, np.ndarray) else f"a {type(result).__name__}"
        raise VariantError(f"{what} returns {came}, but must return an array of the shape it is given, {given.shape}.")
    if not np.isfinite(result).all():
        raise VariantError(f"{what} returns NaN or infinity, but must return finite samples.")
    return result.astype(np.float32, copy=False)
