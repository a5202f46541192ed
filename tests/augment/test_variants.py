"""Variants of clips: what they are made of, that they are computed once, and what they depend on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from audiotag.audio.read import read_audio, read_stereo
from audiotag.augment import noises, variants
from audiotag.augment.noises import NO_CLIP
from audiotag.augment.variants import VariantError, load_variants, try_variants, variant_settings
from audiotag.augment.waveform import background_noise, compression, pitch_shift
from audiotag.config import TrialConfig
from audiotag.corpus.corpus import EVALUATION, Corpus, open_corpus
from audiotag.corpus.errors import CorpusError
from audiotag.declarations.own_code import OwnCode
from audiotag.features.load import load_features
from audiotag.features.log_mel import LogMel, log_mel
from audiotag.features.store import cache_bytes

RATE, SECONDS = 16_000, 0.5
FRONT_END = LogMel()
LIST = "-2 -1 1 2"


@pytest.fixture
def corpus(folder_corpus: Callable[..., Path]) -> Corpus:
    """Six clips in three folds, two of them for evaluation only: a tone of its own in each."""
    rows = [
        (f"{number}.wav", "" if number > 5 else number % 3, "xy"[number // 3 % 2], split(number)) for number in range(8)
    ]
    root = folder_corpus(rows, header="filename,fold,tags,split", seconds=SECONDS)
    for number in range(8):
        soundfile.write(root / "audio" / f"{number}.wav", tone(frequency(number)), RATE, subtype="FLOAT")
    return open_corpus(root)


def split(number: int) -> str:
    return "evaluation" if number > 5 else "development"


def frequency(clip: int) -> float:
    """Of the clip's tone, in Hz: at multiples of 500, so that each stands in bands of its own."""
    return 500.0 * (clip + 1)


def tone(hertz: float) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(SECONDS * RATE)) / RATE)).astype(np.float32)


def heard(features: np.ndarray, clips: int = 8) -> set[int]:
    """The clips whose tones are in features (T, M)."""
    alone = np.stack([log_mel(tone(frequency(clip)), FRONT_END).mean(axis=0).argmax() for clip in range(clips)])
    level = features.mean(axis=0)
    return {clip for clip, band in enumerate(alone) if level[band] > level.max() - 7}


def loaded(corpus: Corpus, cache: Path, **values: Any) -> variants.Variants:
    return load_variants(corpus, TrialConfig.from_dict(values), cache)


def refuse(*_: Any) -> None:
    raise RuntimeError("nothing should be computed")


# reference


def test_variants_are_the_features_of_the_changed_waveforms(corpus: Corpus, tmp_path: Path) -> None:
    found = loaded(corpus, tmp_path, augmentation="pitch_shift")
    assert found.values.shape == (6, 4, *log_mel(tone(1.0), FRONT_END).shape)
    assert found.clips.tolist() == corpus.development.tolist()
    assert (found.noises == NO_CLIP).all()
    for row, clip in enumerate(found.clips):
        wave, rng = read_audio(corpus.paths[clip], RATE, round(SECONDS * RATE)), np.random.default_rng(0)
        every = [log_mel(pitch_shift(wave, RATE, rng, variant), FRONT_END) for variant in range(4)]
        matches = [[np.allclose(one, other, atol=1e-4) for other in every] for one in found.values[row]]
        assert (np.array(matches).sum(axis=0) == 1).all()  # each value once, beginning with any
    assert not np.array_equal(found.values[0, 0], found.values[0, 1])


@pytest.mark.parametrize(
    "values",
    [
        {"augmentation": "pitch_shift", "semitones": "0"},
        {"augmentation": "time_stretch", "rates": "1"},
        {"augmentation": "background_noise", "low_weight": 0.0, "high_weight": 0.0},
        {"augmentation": "pitch_shift+time_stretch", "semitones": "0", "rates": "1"},
    ],
)
@pytest.mark.parametrize("model", [{"model": "crnn"}, {"model": "cgrnn", "imd": True}])
def test_without_strength_variants_have_the_features_of_the_clips(
    corpus: Corpus, tmp_path: Path, values: dict[str, Any], model: dict[str, Any]
) -> None:
    corpus = in_stereo(corpus) if "imd" in model else corpus
    config = TrialConfig.from_dict(values | model)
    original = load_features(corpus, config.front_end, tmp_path)
    found = load_variants(corpus, config, tmp_path)
    for variant in range(4):
        np.testing.assert_allclose(found.values[:, variant], original[found.clips], rtol=1e-5, atol=1e-6)


def in_stereo(corpus: Corpus) -> Corpus:
    paths = tuple(path.with_suffix(".stereo.wav") for path in corpus.paths)
    for number, path in enumerate(paths):
        sides = np.stack([tone(frequency(number)), 0.3 * tone(frequency(number))], axis=1)
        soundfile.write(path, sides, RATE, subtype="FLOAT")
    return replace(corpus, stereo_paths=paths)


def test_in_stereo_both_channels_are_changed(corpus: Corpus, tmp_path: Path) -> None:
    config = TrialConfig(augmentation="compression", presets="speech", variants=1, model="cgrnn", imd=True)
    stereo = in_stereo(corpus)
    found = load_variants(stereo, config, tmp_path)
    wave = read_stereo(stereo.stereo_paths[0], RATE, round(SECONDS * RATE))
    wanted = log_mel(compression(wave, RATE, np.random.default_rng(0), 0, presets="speech"), config.front_end)
    np.testing.assert_allclose(found.values[0, 0], wanted, rtol=1e-4, atol=1e-4)
    assert found.values.shape[3] == config.front_end.columns


def test_a_chain_changes_what_the_one_before_has_changed(corpus: Corpus, tmp_path: Path) -> None:
    values = {"semitones": "12", "presets": "speech", "variants": 1}
    found = loaded(corpus, tmp_path, augmentation="pitch_shift+compression", **values)
    wave, rng = read_audio(corpus.paths[2], RATE, round(SECONDS * RATE)), np.random.default_rng(0)
    higher = pitch_shift(wave, RATE, rng, 0, semitones="12")
    wanted = log_mel(compression(higher, RATE, rng, 0, presets="speech"), FRONT_END)
    np.testing.assert_allclose(found.values[2, 0], wanted, rtol=1e-4, atol=1e-4)
    assert heard(found.values[2, 0]) == {5}  # of the clip with twice the frequency


def test_every_value_of_a_chain_meets_every_other_one() -> None:
    seen = set()
    text = """
def first(wave, sample_rate, rng, variant):
    return wave * 0 + variant % 4
def second(wave, sample_rate, rng, variant):
    return wave * 10 + variant % 4
"""
    config = TrialConfig(augmentation="first+second", code=OwnCode("own.py", text))
    chain = variants._chain(config)
    for clip in range(100):
        pairs = {int(variants._vary(chain, np.zeros(1, np.float32), 1, str(clip), v, 4, None)[0]) for v in range(4)}
        assert {pair // 10 for pair in pairs} == {pair % 10 for pair in pairs} == {0, 1, 2, 3}
        seen |= pairs
    assert len(seen) == 16


# what is heard in the background


def test_the_background_is_another_development_clip(corpus: Corpus, tmp_path: Path) -> None:
    found = loaded(corpus, tmp_path, augmentation="background_noise", low_weight=0.5, high_weight=0.5)
    for row, clip in enumerate(found.clips):
        for variant, noise in enumerate(found.noises[row]):
            assert heard(found.values[row, variant]) == {int(clip), int(noise)}
            assert noise not in (clip, *corpus.evaluation)
    folds = corpus.folds[found.noises]  # (D, V): every fold is in the background of every clip
    assert all(set(row) == {0, 1, 2} for row in folds.tolist())


def test_no_clip_outside_the_training_part_of_a_fold_is_heard_in_it(corpus: Corpus, tmp_path: Path) -> None:
    found = loaded(corpus, tmp_path, augmentation="background_noise", low_weight=0.5, high_weight=0.5, variants=6)
    for fold in corpus.fold_numbers:
        train = np.flatnonzero((corpus.folds != fold) & (corpus.folds != EVALUATION))
        allowed = found.allowed(train)
        assert allowed[np.isin(found.clips, train)].any(axis=1).all()
        for row, variant in np.argwhere(allowed):
            assert heard(found.values[row, variant]) <= {*train.tolist(), int(found.clips[row])}
        forbidden = np.argwhere(~allowed)
        assert len(forbidden)
        assert all(heard(found.values[row, variant]) - {*train.tolist()} for row, variant in forbidden)


@pytest.mark.parametrize("variants", [1, 3])
def test_a_fold_may_have_a_single_clip(corpus: Corpus, tmp_path: Path, variants: int) -> None:
    alone = replace(corpus, folds=np.array([0, 1, 1, 1, 1, 1, EVALUATION, EVALUATION]))
    found = loaded(alone, tmp_path, augmentation="background_noise", variants=variants)
    assert (found.noises[0] > 0).all()
    assert (found.noises != found.clips[:, None]).all()


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A long recording of 3 kHz in stereo, a short mono one of 5 kHz, and a file that is none."""
    folder = tmp_path / "noises"
    (folder / "more").mkdir(parents=True)
    long = np.tile(tone(3000.0), 4)
    soundfile.write(folder / "long.wav", np.stack([long, long], axis=1), RATE, subtype="FLOAT")
    soundfile.write(folder / "more" / "short.wav", tone(5000.0)[:2000], RATE, subtype="FLOAT")
    (folder / "notes.txt").write_text("none")
    return folder


def test_the_background_may_be_recordings(corpus: Corpus, tmp_path: Path, recordings: Path) -> None:
    weights = {"low_weight": 1.0, "high_weight": 1.0}
    for model in ({}, {"model": "cgrnn", "imd": True}):
        chosen = in_stereo(corpus) if model else corpus
        config = TrialConfig(augmentation="background_noise", recordings=str(recordings), **weights, **model)
        found = load_variants(chosen, config, tmp_path / "cache")
        assert (found.noises == NO_CLIP).all()
        bands = found.values[..., : config.front_end.n_mels].mean(axis=2)  # (D, V, M)
        alone = [tone(hertz) for hertz in (3000.0, 5000.0)]
        loudest = [log_mel(wave, replace(config.front_end, imd=False)).mean(axis=0).argmax() for wave in alone]
        assert set(bands.argmax(axis=2).ravel().tolist()) == set(map(int, loudest))
        assert np.isfinite(found.values).all()


def test_other_recordings_are_other_variants_and_other_names_are_not(
    corpus: Corpus, tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"augmentation": "background_noise", "recordings": str(recordings)}
    before, cache = loaded(corpus, tmp_path / "cache", **values), tmp_path / "cache"
    was = noises.find_recordings(str(recordings)).fingerprint
    (recordings / "long.wav").rename(recordings / "a.wav")
    with monkeypatch.context() as patch:
        patch.setattr(variants, "_vary", refuse)
        np.testing.assert_array_equal(loaded(corpus, cache, **values).values, before.values)
    assert noises.find_recordings(str(recordings)).fingerprint == was
    soundfile.write(recordings / "a.wav", tone(4000.0), RATE, subtype="FLOAT")
    assert noises.find_recordings(str(recordings)).fingerprint != was
    assert not np.array_equal(loaded(corpus, cache, **values).values, before.values)


@pytest.mark.parametrize(("folder", "why"), [("nowhere", "is no folder"), ("empty", "holds no audio files")])
def test_a_folder_without_recordings(corpus: Corpus, tmp_path: Path, folder: str, why: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match=f"of `recordings` is .*{folder}', which {why}: name a folder"):
        loaded(corpus, tmp_path, augmentation="background_noise", recordings=str(tmp_path / folder))


def test_a_broken_recording_is_named(corpus: Corpus, tmp_path: Path, recordings: Path) -> None:
    (recordings / "torn.wav").write_bytes(b"RIFF")
    with pytest.raises(CorpusError, match=r"The recording `.*torn\.wav` cannot be used: .* Take it out of the folder"):
        loaded(corpus, tmp_path / "cache", augmentation="background_noise", recordings=str(recordings))


def test_long_recordings_are_cut(
    recordings: Path, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noises, "LONGEST", 1.0)  # s, for both together
    found = noises.RecordingNoise(noises.find_recordings(str(recordings)), ["0"] * 3, 2, RATE, 100, stereo=False)
    found.load()
    assert sorted(len(wave) for wave in found._waves) == [2000, 8000]
    assert all(found.read(row, variant).shape == (100,) for row in range(3) for variant in range(2))


# property


def test_variants_are_computed_once(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    config = TrialConfig(augmentation="pitch_shift+background_noise")
    first = load_variants(corpus, config, tmp_path, lambda *call: calls.append(call))
    assert calls[-1] == (24, 24)
    size = cache_bytes(tmp_path)
    monkeypatch.setattr(variants, "_vary", refuse)
    for values in ({"variant_probability": 0.1}, {"learning_rate": 0.1}, {"batch_size": 3}):
        again = load_variants(corpus, replace(config, **values), tmp_path)
        np.testing.assert_array_equal(again.values, first.values)
        np.testing.assert_array_equal(again.noises, first.noises)
    mixed = replace(config, augmentation="pitch_shift+background_noise+mixup")
    np.testing.assert_array_equal(load_variants(corpus, mixed, tmp_path).values, first.values)
    assert cache_bytes(tmp_path) == size
    with pytest.raises(RuntimeError):
        load_variants(corpus, TrialConfig(model="dae_dnn", augmentation=config.augmentation), tmp_path)


def test_variants_are_the_same_bits_elsewhere_and_in_another_order(corpus: Corpus, tmp_path: Path) -> None:
    config = TrialConfig(augmentation="pitch_shift+time_stretch+background_noise+compression")
    first = load_variants(corpus, config, tmp_path / "a")
    np.testing.assert_array_equal(load_variants(corpus, config, tmp_path / "b").values, first.values)
    config = TrialConfig(augmentation="compression")
    order = np.arange(8)[::-1]
    turned = replace(
        corpus,
        paths=corpus.paths[::-1],
        clips=corpus.clips[::-1],
        folds=corpus.folds[order],
        known_digests=corpus.digests[::-1],
    )
    again = load_variants(turned, config, tmp_path / "c").values
    np.testing.assert_array_equal(again[::-1], load_variants(corpus, config, tmp_path / "a").values)


@pytest.mark.parametrize(
    ("augmentation", "change"),
    [
        ("pitch_shift", {"semitones": "3"}),
        ("time_stretch", {"rates": "0.9"}),
        ("background_noise", {"low_weight": 0.2}),
        ("background_noise", {"high_weight": 0.6}),
        ("compression", {"presets": "film_light"}),
        ("pitch_shift", {"variants": 3}),
    ],
)
def test_each_hyperparameter_changes_the_variants(
    corpus: Corpus, tmp_path: Path, augmentation: str, change: dict[str, Any]
) -> None:
    config = TrialConfig(augmentation=augmentation)
    first, other = (load_variants(corpus, each, tmp_path).values for each in (config, replace(config, **change)))
    assert first.shape != other.shape or not np.allclose(first, other)
    assert variant_settings(config) != variant_settings(replace(config, **change))


def test_only_augmentations_of_waveforms_have_variants() -> None:
    for name in ("none", "mixup", "mixup+spec_augment"):
        assert variant_settings(TrialConfig(augmentation=name)) is None
    mixed, alone = TrialConfig(augmentation="pitch_shift+mixup", alpha=1.0), TrialConfig(augmentation="pitch_shift")
    assert variant_settings(mixed) == variant_settings(alone) == variant_settings(replace(alone, dropout=0.5))


# a user's own


OWN = """
import numpy as np

def own(wave, sample_rate, rng, *, gain: float = 1.0):
    {body}
"""


def own(body: str, augmentation: str = "own", **values: Any) -> TrialConfig:
    return TrialConfig(augmentation=augmentation, code=OwnCode("own.py", OWN.format(body=body)), **values)


def test_an_own_function_has_variants_and_its_source_belongs_to_them(corpus: Corpus, tmp_path: Path) -> None:
    first = load_variants(corpus, own("return wave * gain * rng.random()"), tmp_path)
    assert not np.array_equal(first.values[0, 0], first.values[0, 1])
    other = load_variants(corpus, own("return wave * gain * rng.random() / 2"), tmp_path)
    assert not np.array_equal(first.values, other.values)
    chain = own("return wave", "own+pitch_shift", semitones="12")
    assert heard(load_variants(corpus, chain, tmp_path).values[2, 0]) == {5}


def test_an_own_function_may_ask_for_its_number_and_for_noise(corpus: Corpus, tmp_path: Path) -> None:
    text = (
        "def own(wave, sample_rate, rng, variant, noise, *, share: float = 1.0):\n    return wave * 0 + share * noise"
    )
    config = TrialConfig(augmentation="own", code=OwnCode("own.py", text))
    found = load_variants(corpus, config, tmp_path)
    assert heard(found.values[0, 0]) == {int(found.noises[0, 0])}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return wave[:100]", r"`own` returns an array of shape \(100,\), but must return .* \(8000,\)"),
        ("return None", "`own` returns a NoneType, but must return an array"),
        ("return wave * np.nan", "`own` returns NaN or infinity"),
        ("return 1 / 0 * wave", r"`own` cannot be run: ZeroDivisionError: .*\(line 5 of own\.py\)"),
        ("wave += 1; return wave", "`own` changes what it is given: make a copy"),
        ("return wave * np.random.default_rng().random()", "`own` draws other numbers each time"),
    ],
)
def test_what_breaks_the_contract_is_one_line(body: str, message: str) -> None:
    with pytest.raises(VariantError, match=message):
        try_variants(own(body), round(SECONDS * RATE))


@pytest.mark.parametrize("imd", [False, True])
def test_what_keeps_the_contract_passes(imd: bool) -> None:
    for name in ("pitch_shift", "time_stretch", "background_noise", "compression", "pitch_shift+background_noise"):
        try_variants(TrialConfig(model="cgrnn", imd=imd, augmentation=name), round(SECONDS * RATE))
    try_variants(own("return wave.astype(float) + rng.normal()"), 1000)


def test_values_that_an_augmentation_refuses_are_one_line() -> None:
    with pytest.raises(VariantError, match="The value of `semitones` is 'high', but must be numbers"):
        try_variants(TrialConfig(augmentation="pitch_shift", semitones="high"), 1000)


def test_samples_too_loud_for_their_features_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(VariantError, match="`own` gives samples too loud for float32"):
        load_variants(corpus, own("return wave * 1e30"), tmp_path)


def test_the_background_of_a_variant_is_its_own(corpus: Corpus, tmp_path: Path) -> None:
    """By hand: the weight from the clip's content and the variant's number, the sound from the other clip."""
    found = loaded(corpus, tmp_path, augmentation="background_noise")
    samples, clip, variant = round(SECONDS * RATE), 1, 2
    wave, noise = (read_audio(corpus.paths[number], RATE, samples) for number in (clip, found.noises[clip, variant]))
    rng = noises.make_clip_rng(corpus.digests[clip], "background_noise", variant)
    wanted = log_mel(background_noise(wave, RATE, rng, noise), FRONT_END)
    np.testing.assert_allclose(found.values[clip, variant], wanted, rtol=1e-5, atol=1e-5)
