"""What the trials of a study train on, each array once for all of them. Imports no torch."""

from dataclasses import dataclass, field

import numpy as np

from audiotag.augment.variants import Variants, VariantSettings, variant_settings
from audiotag.config import TrialConfig
from audiotag.features.log_mel import LogMel


@dataclass(frozen=True, eq=False)
class TrialFeatures:
    """The features of all clips (N, T, F), and where the trial has an augmentation of waveforms those of variants."""

    clips: np.ndarray
    variants: Variants | None = None


@dataclass(frozen=True, eq=False)
class StudyFeatures:
    """Features by front end, and variants by what they depend on."""

    clips: dict[LogMel, np.ndarray]
    variants: dict[VariantSettings, Variants] = field(default_factory=dict)

    def of(self, config: TrialConfig) -> TrialFeatures:
        """Give a trial its own."""
        settings = variant_settings(config)
        return TrialFeatures(self.clips[config.front_end], None if settings is None else self.variants[settings])
