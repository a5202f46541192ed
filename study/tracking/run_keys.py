"""The identity of a study's MLflow runs: tags by which they are told apart and found again."""

from collections.abc import Mapping
from typing import NamedTuple

from study.ledger.schema import StudyRecord


class RunKey(NamedTuple):
    """A run of a study.

    Its level ("study", "trial" or "fold"), the trial's key, the fold, the seed of several, and the partition where that
    is not the corpus's own.
    """

    level: str
    trial: str = ""
    fold: str = ""
    seed: str = ""
    partition: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """The key as a run's tags."""
        return {f"audiotag.{name}": value for name, value in self._asdict().items() if value}

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> "RunKey":
        """The inverse of `tags`."""
        return cls(*(tags.get(f"audiotag.{name}", "") for name in cls._fields))


STUDY = RunKey("study")


def fold_key(study: StudyRecord, trial: str, fold: int, seed: int, partition: int = 1) -> RunKey:
    """The key of a fold's run; with several seeds each has its own, and so has each partition."""
    drawn = str(partition) if partition > 1 else ""
    return RunKey("fold", trial, str(fold), str(seed) if study.has_several_seeds else "", drawn)
