"""What all trials of a study share, and from it a trial's configuration and key."""

from dataclasses import dataclass
from typing import Any

from audiotag.config import TrialConfig
from audiotag.declarations.own_code import OwnCode
from audiotag.models.backend import fastest_convolution
from study.ledger.schema import StudyRecord
from study.ledger.trial_folder import trial_key

Settings = dict[str, dict[str, Any]]  # by model: hyperparameters that the space does not set

# in format 4 every trial had these, whatever its network and augmentation; the key hashes them
FORMAT_4 = {"imd": False, "alpha": 0.0, "schedule": "always", "gru_units": 0, "gru_layers": 0, "pretrain_epochs": 0}

# hyperparameters that are newer than some studies of format 5, with what these studies did: the key leaves that out
NEWER = {"loss": "bce", "sampling": "uniform", "cuda_graphs": False, "crop_seconds": 0.0, "window_scores": "mean"}


def resolve(settings: Settings, parameters: dict[str, Any], code: OwnCode | None = None) -> TrialConfig:
    """The configuration of a trial whose search-space parameters are given; `code` is that of its space.

    Raises:
        ValueError: For an unknown hyperparameter or a value out of its range.
    """
    model = parameters.get("model", TrialConfig.model)
    shared = settings.get(model, {}) if isinstance(model, str) else {}
    return TrialConfig.from_dict({**shared, **parameters}, code)


@dataclass(frozen=True)
class StudyContext:
    """What all trials of a study share, apart from corpus and features; sent to each worker."""

    study: StudyRecord

    def config(self, parameters: dict[str, Any]) -> TrialConfig:
        """The configuration of a trial whose search-space parameters are given.

        In format 4 the fastest convolution was taken without a record of it.
        """
        config = resolve(self.study.settings, parameters, self.study.code)
        if self.study.format == 4 and config.get("convolution"):
            return TrialConfig.from_dict({**config.to_dict(), "convolution": fastest_convolution()})
        return config

    def key(self, config: TrialConfig) -> str:
        """The name of the trial's folder."""
        study, used = self.study, config.front_end
        values: dict[str, Any] = {name: it for name, it in config.to_dict().items() if NEWER.get(name) != it}
        if (names := config.own_names) and config.code is not None:
            values["code"] = config.code.fingerprint_of(names)
        if study.format == 4:
            values = FORMAT_4 | values
            values.pop("convolution", None)
        features = used.to_dict() | ({"stereo": study.stereo} if used.imd else {})
        if (folder := config.get("recordings")) is not None:
            features["recordings"] = (study.recordings or {}).get(folder)
        return trial_key(values, study.corpus.fingerprint, features, study.seed, study.protocol, study.repeats)

    def key_of(self, parameters: dict[str, Any]) -> str:
        """The name of the folder of a trial whose search-space parameters are given."""
        return self.key(self.config(parameters))
