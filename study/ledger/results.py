"""The results of a study as plain data, read from its ledger: what results.json, the table and MLflow show."""

import math
from typing import Any

import numpy as np

from audiotag.corpus.corpus import Corpus
from audiotag.metrics import mean_defined, sample_variance, tag_eers
from study.ledger.ledger import Ledger, TrialFolder
from study.ledger.paper import published
from study.ledger.pruning import pruned
from study.ledger.remembered import remembered
from study.ledger.seeds import SHOWN, finished_folds, merged, seeds_of

CROSS_VALIDATION, EVALUATION = "eer", "eval_eer"  # prefixes of the fields in results.json
SHOWN_ROWS = 24  # rows of a larger study that are shown: the best ones


def study_results(ledger: Ledger, status: str) -> dict[str, Any]:
    """The content of results.json (contract: README, "results.json").

    `status` is finished or interrupted. A trial that has neither finished nor failed, and was not stopped, is left out:
    its folds are in the ledger, but it has no result yet.
    """
    study = ledger.study()
    seeds = seeds_of(study)
    trials = [trial_results(folder, study) for folder in ledger.trials()]
    return {
        "study": study["study"],
        "space": study["space"],
        "corpus": study["corpus"]["name"],
        "protocol": study["protocol"],
        "seed": study["seed"],
        **({"repeats": len(seeds)} if len(seeds) > 1 else {}),
        "status": status,
        "tags": study["corpus"]["tags"],
        "trials": [trial for trial in trials if trial is not None],
    }


def is_complete(ledger: Ledger) -> bool:
    """Whether every trial of a study has finished or failed, or was stopped by its scheduler."""
    return len(study_results(ledger, "interrupted")["trials"]) >= ledger.study()["trials"]


@remembered
def trial_results(folder: TrialFolder, study: dict[str, Any]) -> dict[str, Any] | None:
    """A trial's entry in results.json; None while it is neither finished, failed nor stopped."""
    trial, failure = folder.trial(), folder.failure()
    assert trial is not None, "the ledger lists trials by their configuration"
    tags, fold_numbers, seeds = study["corpus"]["tags"], study["corpus"]["folds"], seeds_of(study)
    records = [merged(repeats, seeds) for repeats in finished_folds(folder, study)]
    stopped = pruned(folder) if failure is None else None
    whole = failure is None and stopped is None
    if whole and len(records) < len(fold_numbers):
        return None
    result = {
        "key": folder.key,
        "params": trial["config"],
        "status": "finished" if whole else "failed" if stopped is None else "pruned",
        "seconds": sum(record["seconds"] for record in records),
        **summarise(records if whole else [], tags),
    }
    if len(seeds) > 1:
        result |= seed_results(records if whole else [], tags, seeds)
    if failure is not None:
        result["reason"] = failure
    elif stopped is not None:
        result |= {"reason": stopped["reason"], "pruned": stopped}
    elif (evaluation := evaluation_targets(study)) is not None:
        result |= evaluation_results(folder.repeats(seeds), evaluation, tags, fold_numbers)
    if study["corpus"].get("kind") == "chime_home" and (row := published(trial["config"])) is not None:
        result["published"] = row
    shown = ("fold", *SHOWN, *(["repeats"] if len(seeds) > 1 else []))
    result["folds"] = [{name: record[name] for name in shown} for record in records]
    return result


def running_means(folder: TrialFolder, study: dict[str, Any]) -> list[float]:
    """A trial's mean EER over its first fold, its first two, ... as far as they are finished and have one."""
    seeds = seeds_of(study)
    return means_of([merged(records, seeds) for records in finished_folds(folder, study)], study)


def means_of(records: list[dict[str, Any]], study: dict[str, Any]) -> list[float]:
    """As `running_means`, from the records of a trial's finished folds or from the folds of its entry in results."""
    means: list[float] = []
    for done, (fold, record) in enumerate(zip(study["corpus"]["folds"], records, strict=False), start=1):
        mean = summarise(records[:done], study["corpus"]["tags"])["eer_mean"]
        if record["fold"] != fold or mean is None:
            break
        means.append(mean)
    return means


def seed_results(records: list[dict[str, Any]], tags: list[str], seeds: list[int]) -> dict[str, Any]:
    """What each seed alone gives, from the merged records of finished folds, and the spread of its mean EERs."""
    alone = [summarise([record["repeats"][place] for record in records], tags) for place in range(len(seeds))]
    means = [_number(summary["eer_mean"]) for summary in alone]
    return {
        "eer_sd_seeds": plain(np.sqrt(sample_variance(means))),
        "repeats": [
            {"seed": seed, "eer": summary["eer"], "eer_mean": summary["eer_mean"]}
            for seed, summary in zip(seeds, alone, strict=True)
        ],
    }


def summarise(records: list[dict[str, Any]], tags: list[str]) -> dict[str, Any]:
    """Mean over folds of each tag's EER, their mean, and the two variances, from the records of finished folds."""
    if not records:
        return {"eer": dict.fromkeys(tags), "eer_mean": None, "eer_var_classes": None, "eer_var_folds": None}
    by_fold = np.array([[_number(record["eer"][tag]) for tag in tags] for record in records])  # (folds, K)
    by_tag = mean_defined(by_fold, axis=0)
    return {
        "eer": {tag: plain(value) for tag, value in zip(tags, by_tag, strict=True)},
        "eer_mean": plain(mean_defined(by_tag)),
        "eer_var_classes": plain(sample_variance(by_tag)),
        "eer_var_folds": plain(sample_variance(mean_defined(by_fold, axis=1))),
    }


def fold_eers(targets: np.ndarray, scores: np.ndarray, tags: tuple[str, ...]) -> dict[str, Any]:
    """The EERs of one fold as a record holds them: by tag (None where a class is absent), and their mean."""
    eers = tag_eers(targets, scores)
    return {
        "eer": {tag: plain(value) for tag, value in zip(tags, eers, strict=True)},
        "eer_mean": plain(mean_defined(eers)),
    }


def corpus_record(corpus: Corpus) -> dict[str, Any]:
    """What a study file says of its corpus; enough to read the results without it."""
    evaluation = {corpus.clips[i]: [int(value) for value in corpus.targets[i]] for i in corpus.evaluation}
    return {
        "name": corpus.name,
        "kind": corpus.kind,
        "path": str(corpus.root),
        "fingerprint": corpus.fingerprint,
        "tags": list(corpus.tags),
        "folds": list(corpus.fold_numbers),
        "development_clips": len(corpus.development),
        "evaluation_clips": len(corpus.evaluation),
        "evaluation_targets": evaluation,
        "clip_seconds": corpus.clip_seconds,
        "skipped": corpus.skipped,
    }


def evaluation_targets(study: dict[str, Any]) -> np.ndarray | None:
    """Targets (m, K) of the evaluation split; None for a corpus without one."""
    rows = study["corpus"]["evaluation_targets"]
    return np.array(list(rows.values()), dtype=np.float32) if rows else None


def evaluation_results(
    folders: list[TrialFolder], targets: np.ndarray, tags: list[str], fold_numbers: list[int]
) -> dict[str, Any]:
    """EERs on the evaluation split of the mean probability of the fold models, with repeats those of every seed.

    Nothing is selected on them.
    """
    parts = [folder.scores(fold, "evaluation")["evaluation"] for fold in fold_numbers for folder in folders]
    scores = np.mean(parts, axis=0)
    eers = tag_eers(targets, scores)
    return {
        "eval_eer": {tag: plain(value) for tag, value in zip(tags, eers, strict=True)},
        "eval_eer_mean": plain(mean_defined(eers)),
        "eval_eer_var_classes": plain(sample_variance(eers)),
    }


def plain(value: float | np.ndarray) -> float | None:
    """A number as JSON holds it: NaN becomes None."""
    return None if math.isnan(value) else float(value)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def has_repeats(results: dict[str, Any]) -> bool:
    """Whether each trial was trained with several seeds."""
    return results.get("repeats", 1) > 1


def has_evaluation(results: dict[str, Any]) -> bool:
    """Whether the corpus has an evaluation split and a trial was scored on it."""
    return any(EVALUATION in trial for trial in results["trials"])
