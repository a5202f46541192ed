"""The variants of clips that a space's trials train on, and the folders that their background comes from."""

from collections.abc import Sequence
from dataclasses import replace

from audiotag.augment.noises import find_recordings
from audiotag.augment.variants import try_variants, variant_settings
from audiotag.config import TrialConfig
from audiotag.corpus.corpus import Corpus
from study.ledger.context import Settings
from study.ledger.schema import LeftOut
from study.plan.front_ends import used_configs
from study.plan.preflight import PlanError
from study.search.combinations import is_endless
from study.search.space import SpaceScan, sample

FURTHER = range(1, 3)  # seeds of more samples of a space without an end, whose variants must all be known


def varied_configs(scan: SpaceScan, settings: Settings, left_out: Sequence[LeftOut]) -> list[TrialConfig]:
    """A configuration for each kind of variants of the trials that are run, in the order of these.

    Raises:
        PlanError: Where what variants depend on has no list of values: they are computed before the trials.
    """
    configs = [config for config in used_configs(scan, settings, left_out) if config.waveform_parts]
    if configs and scan.combinations is None:
        for config in configs:
            _require_lists(scan, config)
        more = [each.parameters for seed in FURTHER for each in sample(scan.space, seed)]
        further = used_configs(replace(scan, parameters=more), settings, left_out)
        configs += [config for config in further if config.waveform_parts]
    return list({variant_settings(config): config for config in reversed(configs)}.values())[::-1]


def _require_lists(scan: SpaceScan, config: TrialConfig) -> None:
    shared = {"variants", "recordings", *config.waveform_parameters}
    for name in shared & scan.distributions.keys():
        if any(map(is_endless, scan.distributions[name])):
            raise PlanError(
                f"The space `{scan.space.name}` draws `{name}` from a range, but variants of waveforms are computed "
                "before the trials: give it a list of values, with `trial.suggest_categorical`."
            )


def check_variants(configs: Sequence[TrialConfig], corpus: Corpus) -> None:
    """Make each kind of variants once of a clip of noise.

    Raises:
        VariantError: For an augmentation that cannot be used as it is.
    """
    for config in configs:
        try_variants(config, config.front_end.samples(corpus.clip_seconds))


def recordings_fingerprints(configs: Sequence[TrialConfig]) -> dict[str, str] | None:
    """What changes with the recordings in each folder that a background comes from; None without any.

    Raises:
        CorpusError: For a folder without recordings.
    """
    folders = {
        folder: find_recordings(folder).fingerprint for config in configs if (folder := config.get("recordings"))
    }
    return folders or None
