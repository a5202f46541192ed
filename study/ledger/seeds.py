"""The repeats of a study: every fold trained with several seeds, and one figure made of them."""

from statistics import fmean
from typing import Any

from study.ledger.ledger import TrialFolder

SHOWN = ("eer", "eer_mean", "best_epoch", "epochs", "seconds")  # of a fold in results.json


def seeds_of(study: dict[str, Any]) -> list[int]:
    """The seeds with which each trial of a study is trained. Earlier versions knew no repeats."""
    return list(range(study["seed"], study["seed"] + study.get("repeats", 1)))


def seeds_in_words(study: dict[str, Any]) -> str:
    """ "seed 0", "seeds 0 and 1", "seeds 0 to 2"."""
    first, *others = seeds_of(study)
    if not others:
        return f"seed {first}"
    return f"seeds {first} {'and' if len(others) == 1 else 'to'} {others[-1]}"


def merged(records: list[dict[str, Any]], seeds: list[int]) -> dict[str, Any]:
    """A fold's records with each seed as one: EERs and epochs are means, seconds a sum. A single record stays as it is.

    Each tag's EER is null with every seed or with none, because all score the same clips.
    """
    if len(records) == 1:
        return records[0]
    whole = {name: _mean([record[name] for record in records]) for name in ("eer_mean", "best_epoch", "epochs")}
    return {
        "fold": records[0]["fold"],
        "eer": {tag: _mean([record["eer"][tag] for record in records]) for tag in records[0]["eer"]},
        **whole,
        "seconds": sum(record["seconds"] for record in records),
        "repeats": [
            {"seed": seed, **{name: record[name] for name in SHOWN}}
            for seed, record in zip(seeds, records, strict=True)
        ],
    }


def finished_folds(folder: TrialFolder, study: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The records (a list a fold, of a record a seed) of the folds of a trial that are finished with every seed."""
    parts = folder.repeats(seeds_of(study))
    found = []
    for fold in study["corpus"]["folds"]:
        records = [record for part in parts if (record := part.fold(fold)) is not None]
        found += [records] if len(records) == len(parts) else []
    return found


def single_trainings(trial: dict[str, Any]) -> list[dict[str, Any]]:
    """Of an entry in results.json, the folds, with repeats each fold's trainings with each seed."""
    return [training for fold in trial["folds"] for training in fold.get("repeats", [fold])]


def _mean(values: list[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return fmean(defined) if defined else None
