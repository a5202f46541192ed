"""What all trials of a study share."""

from dataclasses import dataclass
from typing import Any

from audiotag.config import TrialConfig
from audiotag.models.build import front_end
from study.ledger.ledger import trial_key

Base = dict[str, dict[str, Any]]  # by model: TrialConfig values that the space does not set


def resolve(base: Base, parameters: dict[str, Any]) -> TrialConfig:
    """The configuration of a trial whose search-space parameters are given.

    Raises:
        ValueError: for an unknown hyperparameter or a value out of its range.
    """
    model = parameters.get("model", TrialConfig.model)
    shared = base.get(model, {}) if isinstance(model, str) else {}
    return TrialConfig.from_dict({**shared, **parameters})


@dataclass(frozen=True)
class TrialSettings:
    """What all trials of a study share, apart from corpus and features; small, and sent to each worker."""

    ledger: str  # absolute path of the study folder
    base: Base
    fingerprint: str  # of the corpus
    seed: int
    protocol: str
    repeats: int = 1  # of each fold: with seed, seed + 1, ...
    stereo: str | None = None  # fingerprint of the stereo recordings, where a trial hears them

    @property
    def seeds(self) -> list[int]:
        """The seeds with which each fold is trained."""
        return list(range(self.seed, self.seed + self.repeats))

    def config(self, parameters: dict[str, Any]) -> TrialConfig:
        """The configuration of a trial whose search-space parameters are given."""
        return resolve(self.base, parameters)

    def key(self, config: TrialConfig) -> str:
        """The name of the trial's folder."""
        heard = front_end(config)
        features = heard.to_dict() | ({"stereo": self.stereo} if heard.imd else {})
        return trial_key(config.to_dict(), self.fingerprint, features, self.seed, self.protocol, self.repeats)
