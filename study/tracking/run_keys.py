"""Where the MLflow runs of a study belong: what tells them apart, and by which they are found again."""

from typing import Any

from study.ledger.seeds import seeds_of

PLACE = ("level", "trial", "fold", "seed")  # tags; the seed of folds that are trained with several
Place = tuple[str, str, str, str]
STUDY: Place = ("study", "", "", "")


def trial_place(key: str) -> Place:
    """The place of a trial's run."""
    return "trial", key, "", ""


def fold_places(study: dict[str, Any], key: str, fold: int) -> list[Place]:
    """The places of a fold's runs: one for each seed, which is named only where there are several."""
    seeds = seeds_of(study)
    return [("fold", key, str(fold), str(seed) if len(seeds) > 1 else "") for seed in seeds]
