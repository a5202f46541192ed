"""The identity of a study's MLflow runs: tags by which they are told apart and found again."""

from collections.abc import Mapping
from typing import NamedTuple

from study.ledger.schema import StudyRecord


class RunKey(NamedTuple):
    """A run of a study: its level ("study", "trial" or "fold"), the trial's key, the fold, and the seed of several."""

    level: str
    trial: str = ""
    fold: str = ""
    seed: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """The key as a run's tags."""
        return {f"audiotag.{name}": value for name, value in self._asdict().items() if value}

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> "RunKey":
        """The inverse of `tags`."""
        return cls(*(tags.get(f"audiotag.{name}", "") for name in cls._fields))


STUDY = RunKey("study")


def fold_key(study: StudyRecord, trial: str, fold: int, seed: int) -> RunKey:
    """The key of a fold's run; with several seeds each has its own."""
    return RunKey("fold", trial, str(fold), str(seed) if study.has_several_seeds else "")
