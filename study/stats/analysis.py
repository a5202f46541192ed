"""What may be concluded from a study: its rows, each against the baseline, with intervals and in words."""

from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from audiotag.config import NO_AUGMENTATION
from study.format import applies, label, show, trial_name
from study.ledger.clips import Clips, read_clips
from study.ledger.context import resolve
from study.ledger.ledger import Ledger, TrialFolder
from study.ledger.results import SHOWN_ROWS
from study.ledger.seeds import finished_folds, seeds_of
from study.stats.bootstrap import centred, draw_groups, interval, resampled_means, resampled_table
from study.stats.selection_bias import best_of_many, early_stopping
from study.stats.significance import PairedTest, corrected_t, holm, in_words

Interval = tuple[float, float] | None


@dataclass(eq=False)
class Row:
    """A trial that finished, as the report shows it."""

    study: str
    key: str
    params: dict[str, Any]
    cells: list[str]  # its parameters, in the order of Findings.columns
    label: str
    result: dict[str, Any]  # its entry in results.json
    intervals: dict[str, Interval] = field(default_factory=dict)  # by tag, and "mean"
    eval_intervals: dict[str, Interval] = field(default_factory=dict)
    best_share: float | None = None  # of the draws in which it was the best of the rows shown
    test: PairedTest | None = None  # against the baseline
    adjusted: float | None = None  # Holm's p
    words: str = "the baseline"

    @property
    def mean(self) -> float:
        """Mean EER; rows without one are not made."""
        return float(self.result["eer_mean"])


@dataclass(eq=False)
class Findings:
    """A study as its report shows it."""

    study: dict[str, Any]
    results: dict[str, Any]
    columns: list[str]  # the hyperparameters that the space sets
    scientific: list[str]  # those of them that differ between trials in which they mean anything
    rows: list[Row]  # finished trials, by number
    baseline: Row | None
    why_baseline: str
    shown: list[Row]
    missing: list[str]  # what could not be computed, and why
    selection_optimism: float | None
    stopping_optimism: float | None

    @property
    def tags(self) -> list[str]:
        """The corpus's tags."""
        return list(self.results["tags"])

    @property
    def failed(self) -> list[dict[str, Any]]:
        """Entries of failed trials."""
        return [trial for trial in self.results["trials"] if trial["status"] == "failed"]

    @property
    def stopped(self) -> list[dict[str, Any]]:
        """Entries of trials that a scheduler stopped."""
        return [trial for trial in self.results["trials"] if trial["status"] == "pruned"]

    @property
    def unfinished(self) -> int:
        """Trials without a result."""
        return max(0, self.study["trials"] - len(self.results["trials"]))

    @property
    def best(self) -> Row | None:
        """The row with the lowest mean EER, the first of equals."""
        return min(self.rows, key=lambda row: row.mean, default=None)

    @property
    def others(self) -> list[Row]:
        """All rows but the baseline."""
        return [row for row in self.rows if row is not self.baseline]


def find(ledger: Ledger, results: dict[str, Any]) -> Findings:
    """Everything that the report says of a study, from its ledger and its results."""
    study = ledger.study()
    done = [trial for trial in results["trials"] if trial["status"] == "finished" and trial["eer_mean"] is not None]
    columns = [name for name in study["varied"] if all(name in trial["params"] for trial in done)]
    named = [name for name in columns if len({show(trial["params"][name]) for trial in done}) > 1]
    rows = [make_row(study["study"], trial, columns, named or columns) for trial in done]
    baseline, why = choose_baseline(rows, study)
    compare(rows, baseline, len(study["corpus"]["folds"]))
    shown = rows if len(rows) <= SHOWN_ROWS + 1 else best_rows(rows, baseline)
    missing: list[str] = []
    if rows:
        resample(ledger, shown, read_clips(ledger.root), missing)
    stopping = None
    best = min(rows, key=lambda row: row.mean, default=None)
    if results["protocol"] == "paper" and best is not None:
        stopping = stopping_optimism(ledger, best.key)
    return Findings(
        study=study,
        results=results,
        columns=columns,
        scientific=[name for name in named if differs(name, rows)],
        rows=rows,
        baseline=baseline,
        why_baseline=why,
        shown=shown,
        missing=missing,
        selection_optimism=best_of_many(fold_eers(rows)) if len(rows) > 1 else None,
        stopping_optimism=stopping,
    )


def make_row(study: str, trial: dict[str, Any], columns: list[str], named: list[str]) -> Row:
    """A row of a finished trial, labelled by the parameters in `named`."""
    params = trial["params"]
    return Row(study, trial["key"], params, label(params, columns), trial_name(params, named) or trial["key"], trial)


def differs(name: str, rows: list[Row]) -> bool:
    """Whether a hyperparameter has several values among the trials in which it means anything."""
    return len({show(row.params[name]) for row in rows if applies(name, row.params)}) > 1


def without_mixing(params: dict[str, Any]) -> bool:
    """Whether a trial mixes no samples."""
    return params.get("augmentation", NO_AUGMENTATION) == NO_AUGMENTATION or params.get("alpha") == 0


def choose_baseline(rows: list[Row], study: dict[str, Any]) -> tuple[Row | None, str]:
    """The row that the others are compared with, and why it is that one."""
    if not rows:
        return None, "there is no finished trial"
    wanted = study.get("baseline") or {}
    named = [row for row in rows if wanted and all(row.params.get(name) == value for name, value in wanted.items())]
    if named:
        return named[0], "named by the space"
    plain = [row for row in rows if without_mixing(row.params)]
    if not plain:
        return rows[0], "the first row, because none is without augmentation"
    defaults = resolve(study.get("settings", {}), {}).to_dict()

    others = [name for name in study["varied"] if name not in ("augmentation", "alpha")]

    def distance(row: Row) -> int:
        return sum(row.params.get(name) != defaults.get(name) for name in others)

    why = "the row without augmentation"
    if len(plain) > 1:
        why += ", and of these the nearest to the default settings"
    return min(plain, key=distance), why


def fold_eers(rows: list[Row]) -> np.ndarray:
    """Mean EER of each row in each fold, (rows, folds); NaN where a fold has none."""
    values = [{entry["fold"]: entry["eer_mean"] for entry in row.result["folds"]} for row in rows]
    folds = sorted({fold for row in values for fold in row})
    found = [[np.nan if row.get(fold) is None else row[fold] for fold in folds] for row in values]
    return np.array(found, dtype=np.float64).reshape(len(rows), len(folds))


def compare(rows: list[Row], baseline: Row | None, folds: int) -> None:
    """Fills in each row's test against the baseline, Holm's correction over all of them, and the words.

    With repeats a fold's figure is its mean over the seeds, and the test still counts folds, not trainings: repeats
    make the differences steadier and add no degrees of freedom, which is conservative.
    """
    if baseline is None or len(rows) < 2:
        return
    eers = fold_eers(rows)
    differences = eers - eers[rows.index(baseline)]
    tested = []
    for row, difference in zip(rows, differences, strict=True):
        if row is not baseline:
            row.test = corrected_t(difference[~np.isnan(difference)], 1 / max(folds - 1, 1))
            tested += [row] if row.test else []
    for row, adjusted in zip(tested, holm([row.test.p for row in tested if row.test]), strict=True):
        row.adjusted = adjusted
    for row in rows:
        if row is not baseline:
            row.words = in_words(row.test, row.adjusted)


def best_rows(rows: list[Row], baseline: Row | None) -> list[Row]:
    """The best rows and the baseline, best first."""
    best = sorted(rows, key=lambda row: row.mean)[:SHOWN_ROWS]
    return best if baseline is None or baseline in best else [*best, baseline]


def resample(ledger: Ledger, rows: list[Row], clips: Clips | None, missing: list[str]) -> None:
    """Fills in the rows' intervals, or says in `missing` why there are none."""
    if clips is None:
        missing.append(
            "No intervals and no curves by tag: the study's folder has no clips.npz with targets and groups "
            "(an earlier version wrote none). `python study/run.py --resume NAME` adds it where the corpus still is."
        )
        return
    counts, seeds = draw_groups(int(clips.groups.max()) + 1), seeds_of(ledger.study())
    means = []
    try:
        for row in rows:
            parts = ledger.trial(row.key).repeats(seeds)
            names = [entry["fold"] for entry in row.result["folds"]]
            table = np.mean([_drawn(part, names, clips, counts) for part in parts], axis=0)
            drawn = resampled_means(table)
            row.intervals = _intervals(table, drawn, row.result["eer"], row.mean)
            means.append(centred(drawn, row.mean))
            if "eval_eer" in row.result:
                scores = [part.scores(fold) for fold in names for part in parts]
                whole = clips.evaluation(scores[0]["evaluation_clips"])
                table = resampled_table([whole], [np.mean([held["evaluation"] for held in scores], axis=0)], counts)
                mean = row.result["eval_eer_mean"]
                row.eval_intervals = _intervals(table, resampled_means(table), row.result["eval_eer"], mean)
    except (KeyError, OSError, ValueError, IndexError) as error:
        missing.append(f"No intervals: the probabilities of {row.label} do not fit the clips ({error}).")
        return
    drawn_all = np.array(means)
    if len(rows) > 1 and (defined := ~np.isnan(drawn_all).any(axis=0)).any():
        wins = np.bincount(drawn_all[:, defined].argmin(axis=0), minlength=len(rows)) / defined.sum()
        for row, share in zip(rows, wins, strict=True):
            row.best_share = float(share)


def _drawn(folder: TrialFolder, folds: list[int], clips: Clips, counts: np.ndarray) -> np.ndarray:
    """Mean over folds of each tag's EER in each draw, (R, K), of a trial's trainings with one seed."""
    scores = [folder.scores(fold) for fold in folds]
    scored = [clips.held_out(fold, held["held_out_clips"]) for fold, held in zip(folds, scores, strict=True)]
    return resampled_table(scored, [held["held_out"] for held in scores], counts)


def _intervals(
    table: np.ndarray, means: np.ndarray, eers: dict[str, float | None], mean: float | None
) -> dict[str, Interval]:
    found = {tag: None if eer is None else interval(table[:, k], eer) for k, (tag, eer) in enumerate(eers.items())}
    return found | {"mean": None if mean is None else interval(means, mean)}


def histories(ledger: Ledger, key: str) -> list[list[dict[str, Any]]]:
    """A trial's epochs, a list a finished fold, with repeats a list for each seed of each such fold."""
    return [record["history"] for fold in finished_folds(ledger.trial(key), ledger.study()) for record in fold]


def stopping_optimism(ledger: Ledger, key: str) -> float | None:
    """By how much a trial's mean EER is too good because its folds chose their own epochs, the mean over seeds."""
    by_seed = zip(*finished_folds(ledger.trial(key), ledger.study()), strict=True)
    found = [
        early_stopping([record["history"] for record in records], [record["best_epoch"] for record in records])
        for records in by_seed
    ]
    defined = [optimism for optimism in found if optimism is not None]
    return fmean(defined) if defined and len(defined) == len(found) else None
