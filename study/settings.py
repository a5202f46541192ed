"""What all trials of a study share."""

from dataclasses import dataclass
from typing import Any

from audiotag.config import TrialConfig
from study.ledger import trial_key


@dataclass(frozen=True)
class TrialSettings:
    """What all trials of a study share, apart from corpus and features; small, and sent to each worker."""

    ledger: str  # absolute path of the study folder
    base: dict[str, Any]  # TrialConfig values that the space does not set
    features: dict[str, Any]  # of the front end
    fingerprint: str  # of the corpus
    seed: int
    protocol: str

    def config(self, parameters: dict[str, Any]) -> TrialConfig:
        """The configuration of a trial whose search-space parameters are given.

        Raises:
            ValueError: for an unknown hyperparameter or a value out of its range.
        """
        return TrialConfig.from_dict({**self.base, **parameters})

    def key(self, config: TrialConfig) -> str:
        """The name of the trial's folder."""
        return trial_key(config.to_dict(), self.fingerprint, self.features, self.seed, self.protocol)
