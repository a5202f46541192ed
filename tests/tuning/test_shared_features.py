"""Each trial gets its own features and no others: from the cache's files, or from Ray's object store."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from audiotag.augment.noises import NO_CLIP
from audiotag.augment.variants import Variants, variant_settings
from audiotag.config import TrialConfig
from audiotag.features.log_mel import LogMel
from audiotag.features.mapped import find_mapped
from audiotag.features.store import CacheError, cached_features
from audiotag.features.waves import Waves
from study.tuning.features import StudyFeatures
from study.tuning.shared_features import share

PLAIN = TrialConfig.from_dict({})
OTHER = TrialConfig.from_dict({"model": "dae_dnn"})
MIXED = TrialConfig.from_dict({"augmentation": "mix", "domain": "waveform"})
STRETCHED = TrialConfig.from_dict({"augmentation": "time_stretch"})


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """The objects of the store, by reference, that have been fetched."""
    fetched: dict[int, Any] = {}
    objects: list[Any] = []
    monkeypatch.setattr(ray, "put", lambda value: objects.append(value) or len(objects) - 1)
    monkeypatch.setattr(ray, "get", lambda number: fetched.setdefault(number, objects[number]))
    monkeypatch.setattr("study.tuning.shared_features.this_node", lambda: "here")
    return fetched


def test_a_trial_fetches_its_own_and_no_others(store: dict[int, Any]) -> None:
    clips = {front_end: np.ones((1, 1, 1)) * number for number, front_end in enumerate((LogMel(), OTHER.front_end))}
    assert len(clips) == 2
    variants = Variants(np.zeros((1, 1, 1, 1)), np.zeros(1, int), np.full((1, 1), NO_CLIP))
    settings = variant_settings(STRETCHED)
    assert settings is not None
    shared = share(StudyFeatures(clips, {settings: variants}), elsewhere=False)
    assert shared.of(PLAIN).clips is clips[PLAIN.front_end]
    assert shared.of(PLAIN).variants is None
    assert len(store) == 1
    assert shared.of(OTHER).clips is clips[OTHER.front_end]
    varied = shared.of(STRETCHED).variants
    assert varied is not None
    assert (varied.values is variants.values, varied.clips is variants.clips) == (True, True)
    assert len(store) == 4


def test_variants_that_nobody_computed_are_missed(store: dict[int, Any]) -> None:
    with pytest.raises(LookupError, match="no variants by time_stretch"):
        share(StudyFeatures({STRETCHED.front_end: np.ones((1, 1, 1))}), elsewhere=False).of(STRETCHED)


def in_file(folder: Path) -> np.ndarray:
    """Features in a file of the cache, each clip's own."""
    values = np.arange(12.0, dtype=np.float32).reshape(6, 1, 2)
    return cached_features(folder, {}, [f"{clip:032x}" for clip in range(6)], (1, 2), lambda clips: values[list(clips)])


def test_files_of_the_cache_are_mapped_and_not_stored(store: dict[int, Any], tmp_path: Path) -> None:
    clips = in_file(tmp_path)
    variants = Variants(in_file(tmp_path).reshape(3, 2, 1, 2), np.arange(3), np.full((3, 2), NO_CLIP))
    settings = variant_settings(STRETCHED)
    assert settings is not None
    shared = share(StudyFeatures({LogMel(): clips}, {settings: variants}), elsewhere=False)
    found = shared.of(STRETCHED)
    np.testing.assert_array_equal(found.clips, clips)
    assert found.variants is not None
    np.testing.assert_array_equal(found.variants.values, variants.values)
    assert find_mapped(found.clips) == find_mapped(clips)
    assert [value.values.shape[0] for value in store.values()] == [0]
    waves = Waves(in_file(tmp_path).reshape(6, 2), np.arange(6), LogMel())
    mixed = share(StudyFeatures({LogMel(): clips}, waves={LogMel(): waves}), elsewhere=False).of(MIXED).waves
    assert mixed is not None
    assert find_mapped(mixed.values) == find_mapped(waves.values)
    np.testing.assert_array_equal(mixed.values, waves.values)
    for path in tmp_path.rglob("*.clips"):
        path.unlink()
    with pytest.raises(CacheError, match="deleted while the study ran"):
        shared.of(PLAIN)


def test_nodes_of_a_cluster_take_the_same_features_from_the_store(
    store: dict[int, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = in_file(tmp_path)
    shared = share(StudyFeatures({LogMel(): clips}), elsewhere=True)
    assert find_mapped(shared.of(PLAIN).clips) is not None
    monkeypatch.setattr("study.tuning.shared_features.this_node", lambda: "there")
    found = shared.of(PLAIN).clips
    np.testing.assert_array_equal(found, clips)
    assert (find_mapped(found), found.flags.c_contiguous) == (None, True)
    monkeypatch.setattr("study.tuning.shared_features.this_node", lambda: "here")
    for path in tmp_path.rglob("*.clips"):
        path.unlink()
    np.testing.assert_array_equal(shared.of(PLAIN).clips, clips)
