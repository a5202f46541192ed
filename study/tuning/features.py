"""What the trials of a study train on, each array once for all of them. Imports no torch."""

from dataclasses import dataclass, field

import numpy as np

from audiotag.augment.variants import Variants, VariantSettings, variant_settings
from audiotag.config import TrialConfig
from audiotag.features.log_mel import LogMel
from audiotag.features.waves import Waves


@dataclass(frozen=True, eq=False)
class TrialFeatures:
    """The features of all clips (N, T, F), and where the trial has an augmentation of waveforms those of variants."""

    clips: np.ndarray
    variants: Variants | None = None
    waves: Waves | None = None  # where the trial mixes waveforms


@dataclass(frozen=True, eq=False)
class StudyFeatures:
    """Features and waveforms by front end, and variants by what they depend on."""

    clips: dict[LogMel, np.ndarray]
    variants: dict[VariantSettings, Variants] = field(default_factory=dict)
    waves: dict[LogMel, Waves] = field(default_factory=dict)

    def of(self, config: TrialConfig) -> TrialFeatures:
        """Give a trial its own.

        Raises:
            LookupError: For variants that nobody computed: a sampled space may have more than were seen.
        """
        settings = variant_settings(config)
        if settings is not None and settings not in self.variants:
            raise LookupError(f"no variants by {config.augmentation} were computed for {config.augmenting}")
        return TrialFeatures(
            self.clips[config.front_end],
            None if settings is None else self.variants[settings],
            self.waves[config.front_end] if config.mixes_waveforms else None,
        )
