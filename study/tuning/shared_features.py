"""What the trials of a study train on, in Ray's object store: a node gets only what its trials need, once."""

from dataclasses import dataclass

import ray

from audiotag.augment.variants import Variants, VariantSettings, variant_settings
from audiotag.config import TrialConfig
from audiotag.features.log_mel import LogMel
from audiotag.features.waves import Waves
from study.tuning.features import StudyFeatures, TrialFeatures


@dataclass(frozen=True, eq=False)
class SharedFeatures:
    """Features, variants and waveforms as `StudyFeatures` has them, each an object of its own in the store."""

    clips: dict[LogMel, "ray.ObjectRef"]  # type: ignore[type-arg]  # of arrays
    variants: dict[VariantSettings, "ray.ObjectRef[Variants]"]
    waves: dict[LogMel, "ray.ObjectRef[Waves]"]

    def of(self, config: TrialConfig) -> TrialFeatures:
        """Give a trial its own; where they are on this node already they are not copied.

        Raises:
            LookupError: For variants that nobody computed.
        """
        front_end, settings = config.front_end, variant_settings(config)
        parts = StudyFeatures({front_end: ray.get(self.clips[front_end])})
        if settings in self.variants:
            parts.variants[settings] = ray.get(self.variants[settings])
        if config.mixes_waveforms:
            parts.waves[front_end] = ray.get(self.waves[front_end])
        return parts.of(config)


def share(features: StudyFeatures) -> SharedFeatures:
    """Put the features into the object store, from which workers take them."""
    return SharedFeatures(
        {front_end: ray.put(clips) for front_end, clips in features.clips.items()},
        {settings: ray.put(variants) for settings, variants in features.variants.items()},
        {front_end: ray.put(waves) for front_end, waves in features.waves.items()},
    )
