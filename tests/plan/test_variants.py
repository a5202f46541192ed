"""Studies with augmentations of waveforms: their variants are known before the trials, and so are their recordings."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.planning import plan_study
from rich.console import Console

from audiotag.augment.variants import VariantError, variant_settings
from audiotag.config import TrialConfig
from audiotag.corpus.errors import CorpusError
from study.ledger.context import StudyContext
from study.ledger.schema import read_record, write_record
from study.plan.features import compute_features
from study.plan.plan import Plan
from study.plan.preflight import PlanError
from study.plan.variants import varied_configs
from study.tuning.features import StudyFeatures

ROWS = [(f"{number}.wav", number % 2, "x" if number % 4 < 2 else "") for number in range(8)]
SPACE = '"""Which?"""\ndef define(trial):\n    {lines}\n'
Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def root(folder_corpus: Callable[..., Path]) -> Path:
    return folder_corpus(ROWS, seconds=0.2)


@pytest.fixture
def noises(tmp_path: Path) -> Path:
    folder = tmp_path / "noises"
    folder.mkdir()
    soundfile.write(folder / "a.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 4000), 8000)
    return folder


def space(space_file: Write, *lines: str, head: str = "") -> str:
    space_file("asked", head + SPACE.format(lines="\n    ".join(lines)))
    return "asked"


def of_noises(space_file: Write, noises: Path) -> str:
    options = f'{{"augmentation": "background_noise", "recordings": {str(noises)!r}}}'
    return space(space_file, 'trial.suggest_categorical("high_weight", [0.3, 0.5])', f"return {options}")


def names(plan: Plan) -> list[str]:
    known = plan.scan, plan.study.settings, plan.study.left_out
    return [config.augmentation for config in varied_configs(*known)]


# reference


def test_the_variants_of_all_trials_are_computed_each_once(root: Path, tmp_path: Path, space_file: Write) -> None:
    kinds = '["none", "pitch_shift", "mixup", "pitch_shift+mixup", "background_noise"]'
    asked = space(
        space_file,
        f'trial.suggest_categorical("augmentation", {kinds})',
        'trial.suggest_categorical("dropout", [0.1, 0.2])',
    )
    plan = plan_study(tmp_path, corpus=root, space=asked)
    assert names(plan) == ["pitch_shift", "background_noise"]
    said = io.StringIO()
    features = compute_features(plan, tmp_path / "cache", Console(file=said))
    for parameters in plan.scan.parameters:
        config = plan.context.config(parameters)
        own = features.of(config)
        assert own.clips is features.clips[config.front_end]
        assert (own.variants is None) == (config.augmentation in ("none", "mixup"))
        settings = variant_settings(config)
        assert own.variants is (None if settings is None else features.variants[settings])
    assert len(features.variants) == 2
    assert "Features" in said.getvalue()


def test_the_space_claims_has_variants_of_four_kinds(root: Path, tmp_path: Path) -> None:
    plan = plan_study(tmp_path, corpus=root, space="claims")
    assert names(plan) == ["pitch_shift", "time_stretch", "background_noise", "compression"]
    assert plan.study.trials == 6
    assert plan.study.varied == ("augmentation", "alpha")
    assert (plan.study.recordings, "recordings" in write_record(plan.study)) == (None, False)


def test_the_record_names_recordings_by_their_content(
    root: Path, tmp_path: Path, space_file: Write, noises: Path
) -> None:
    study = plan_study(tmp_path, corpus=root, space=of_noises(space_file, noises)).study
    assert study.recordings is not None
    assert list(study.recordings) == [str(noises)]
    assert read_record(type(study), json.loads(json.dumps(write_record(study)))).recordings == study.recordings


# property


def test_a_trial_depends_on_its_recordings(root: Path, tmp_path: Path, space_file: Write, noises: Path) -> None:
    plan = plan_study(tmp_path, corpus=root, space=of_noises(space_file, noises), name="s")
    soundfile.write(noises / "b.wav", np.random.default_rng(1).uniform(-0.1, 0.1, 4000), 8000)
    other = plan_study(tmp_path, corpus=root, space="asked", name="t")
    parameters = plan.scan.parameters[0]
    assert plan.context.key_of(parameters) != other.context.key_of(parameters)
    for augmentation in ("none", "pitch_shift"):
        keys = [StudyContext(each.study).key_of({"augmentation": augmentation}) for each in (plan, other)]
        assert keys[0] == keys[1]


def test_a_study_is_not_resumed_with_other_recordings(
    root: Path, tmp_path: Path, space_file: Write, noises: Path
) -> None:
    plan_study(tmp_path, corpus=root, space=of_noises(space_file, noises), name="s").open_ledger()
    assert plan_study(tmp_path, resume="s").study.recordings is not None
    soundfile.write(noises / "a.wav", np.random.default_rng(1).uniform(-0.1, 0.1, 4000), 8000)
    with pytest.raises(PlanError, match="A study keeps its settings: the recordings for the background was"):
        plan_study(tmp_path, resume="s")


def test_all_variants_of_a_sampled_space_are_found(root: Path, tmp_path: Path, space_file: Write) -> None:
    asked = space(
        space_file,
        'trial.suggest_float("dropout", 0.0, 0.5)',
        'trial.suggest_categorical("semitones", [str(number) for number in range(-12, 13)])',
        'return {"augmentation": "pitch_shift"}',
        head='"""Which?"""\nSAMPLER, TRIALS = "tpe", 3\n',
    )
    assert len(names(plan_study(tmp_path, corpus=root, space=asked))) == 25


# malformed


def test_what_variants_depend_on_has_a_list_of_values(root: Path, tmp_path: Path, space_file: Write) -> None:
    asked = space(
        space_file,
        'trial.suggest_float("high_weight", 0.1, 0.9)',
        'return {"augmentation": "background_noise"}',
        head='"""Which?"""\nSAMPLER, TRIALS = "tpe", 3\n',
    )
    with pytest.raises(PlanError, match=r"The space `asked` draws `high_weight` from a range, but variants .* list"):
        plan_study(tmp_path, corpus=root, space=asked)


def test_what_cannot_be_used_is_found_before_anything_is_computed(
    root: Path, tmp_path: Path, space_file: Write
) -> None:
    asked = space(space_file, 'return {"augmentation": "pitch_shift", "semitones": "high"}')
    with pytest.raises(VariantError, match="of `semitones` is 'high'"):
        plan_study(tmp_path, corpus=root, space=asked)
    asked = space(space_file, 'return {"augmentation": "background_noise", "recordings": "nowhere"}')
    with pytest.raises(CorpusError, match="of `recordings` is 'nowhere', which is no folder"):
        plan_study(tmp_path, corpus=root, space=asked)
    assert not (tmp_path / "studies").exists()


def test_an_own_function_is_tried(root: Path, tmp_path: Path, space_file: Write) -> None:
    own = "def own(wave, sample_rate, rng):\n    return wave[:9]\n"
    space_file("asked", SPACE.format(lines='return {"augmentation": "own"}') + own)
    with pytest.raises(VariantError, match=r"The augmentation `own` returns an array of shape \(9,\)"):
        plan_study(tmp_path, corpus=root, space="asked")


def test_variants_that_nobody_computed_are_named(root: Path, tmp_path: Path) -> None:
    """A sampled space may propose what no sample of it had."""
    plan = plan_study(tmp_path, corpus=root, space="claims")
    features = StudyFeatures({TrialConfig().front_end: np.zeros((8, 5, 128), np.float32)})
    assert features.of(plan.context.config({"augmentation": "mixup"})).variants is None
    with pytest.raises(LookupError, match=r"no variants by pitch_shift were computed for .*'-2 -1 1 2'"):
        features.of(plan.context.config({"augmentation": "pitch_shift"}))
