"""Each trial gets its own features from Ray's object store, and no others."""

from typing import Any

import numpy as np
import pytest
import ray

from audiotag.augment.noises import NO_CLIP
from audiotag.augment.variants import Variants, variant_settings
from audiotag.config import TrialConfig
from audiotag.features.log_mel import LogMel
from study.tuning.features import StudyFeatures
from study.tuning.shared_features import share

PLAIN = TrialConfig.from_dict({})
OTHER = TrialConfig.from_dict({"model": "dae_dnn"})
STRETCHED = TrialConfig.from_dict({"augmentation": "time_stretch"})


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """The objects of the store, by reference, that have been fetched."""
    fetched: dict[int, Any] = {}
    objects: list[Any] = []
    monkeypatch.setattr(ray, "put", lambda value: objects.append(value) or len(objects) - 1)
    monkeypatch.setattr(ray, "get", lambda number: fetched.setdefault(number, objects[number]))
    return fetched


def test_a_trial_fetches_its_own_and_no_others(store: dict[int, Any]) -> None:
    clips = {front_end: np.ones((1, 1, 1)) * number for number, front_end in enumerate((LogMel(), OTHER.front_end))}
    assert len(clips) == 2
    variants = Variants(np.zeros((1, 1, 1, 1)), np.zeros(1, int), np.full((1, 1), NO_CLIP))
    settings = variant_settings(STRETCHED)
    assert settings is not None
    shared = share(StudyFeatures(clips, {settings: variants}))
    assert shared.of(PLAIN).clips is clips[PLAIN.front_end]
    assert shared.of(PLAIN).variants is None
    assert len(store) == 1
    assert shared.of(OTHER).clips is clips[OTHER.front_end]
    assert shared.of(STRETCHED).variants is variants
    assert len(store) == 3


def test_variants_that_nobody_computed_are_missed(store: dict[int, Any]) -> None:
    with pytest.raises(LookupError, match="no variants by time_stretch"):
        share(StudyFeatures({STRETCHED.front_end: np.ones((1, 1, 1))})).of(STRETCHED)
