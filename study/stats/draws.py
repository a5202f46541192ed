"""The figures of rows on other recordings: held-out clips with their scores, in draws of whole groups."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from audiotag.corpus.errors import count
from audiotag.metrics import Metric
from study.ledger.clips import Clips, ScoredFold
from study.ledger.ledger import Ledger
from study.ledger.schema import TrialResult
from study.stats.bootstrap import DRAWS, draw_groups, resampled_label_means, resampled_means, resampled_table
from study.stats.comparison import differences_by_seed, differences_of
from study.stats.fixed_split import LEAST_SEEDS, Estimate, estimate
from study.stats.rows import ResultRow
from study.stats.significance import Untested


class Draws:
    """The figures of rows in each draw of groups of recordings, the same draws for all rows; each is computed once.

    The rows are those of studies on one corpus, whose clips are kept by the first.
    """

    def __init__(self, ledger: Ledger, *others: Ledger) -> None:
        self._ledgers = {each.study.name: each for each in (ledger, *others)}
        self._study, self.clips = ledger.study, ledger.clips()
        self._held_out: dict[str, list[list[tuple[ScoredFold, np.ndarray]]]] = {}
        self._found: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}

    def ledger_of(self, row: ResultRow) -> Ledger:
        """The ledger of a row's study."""
        return self._ledgers[row.study]

    @cached_property
    def counts(self) -> np.ndarray:
        """How often each group counts in each draw, (R, groups); of a fixed split those of test clips alone."""
        assert self.clips is not None, "the caller has looked"
        groups = int(self.clips.groups.max()) + 1
        if not self._study.has_fixed_split:
            return draw_groups(groups)
        tested = np.unique(self.clips.groups[np.isin(self.clips.folds, self._study.folds)])
        counts = np.zeros((DRAWS, groups), np.float32)
        counts[:, tested] = draw_groups(len(tested))
        return counts

    def held_out(self, row: ResultRow) -> list[list[tuple[ScoredFold, np.ndarray]]]:
        """A row's held-out clips with their scores, as `held_out`."""
        assert self.clips is not None, "the caller has looked"
        if row.key not in self._held_out:
            self._held_out[row.key] = held_out(self.ledger_of(row), row, self.clips)
        return self._held_out[row.key]

    def of(self, row: ResultRow, metric: Metric) -> tuple[np.ndarray, np.ndarray]:
        """A row's figures in each draw, by tag (R, K) and on the whole (R,)."""
        if (row.key, metric.name) not in self._found:
            self._found[row.key, metric.name] = draw_figures(self.held_out(row), self.counts, metric)
        return self._found[row.key, metric.name]

    def estimates(
        self, row: ResultRow, baseline: ResultRow, metric: Metric, tags: Sequence[str] = ()
    ) -> list[Estimate | Untested]:
        """A row's difference from the baseline on the test clips of a fixed split, of each tag or of the mean."""
        names: list[str | None] = [*tags] or [None]
        by_seed = [differences_by_seed(row.result, baseline.result, metric.name, tag) for tag in names]
        if self.clips is None or any(own is None for own in by_seed):
            differences = [differences_of(row.result, baseline.result, metric.name, tag) for tag in names]
            reason = "no clips.npz" if self.clips is None else _few_seeds(row.result, baseline.result)
            return [Untested(None if np.isnan(own).any() else float(own.mean()), reason) for own in differences]
        try:
            (table, means), (other_table, other_means) = (self.of(each, metric) for each in (row, baseline))
            ((fold, _),) = self.held_out(row)[0]
        except (KeyError, OSError, ValueError, IndexError) as error:
            return [Untested(None, f"the probabilities do not fit the clips ({error})") for _ in names]
        drawn = (table - other_table).T if tags else [means - other_means]
        groups = [_groups_with_both(fold, place) for place in range(len(tags))] or [len(np.unique(fold.groups))]
        return [
            estimate(*each) for each in zip(drawn, [own[0] for own in by_seed if own is not None], groups, strict=True)
        ]


def _few_seeds(trial: TrialResult, baseline: TrialResult) -> str:
    """Why two trials have no differences by seed."""
    seeds = [[part.seed for part in each.seeds] for each in (trial, baseline)]
    return f"{count(1, 'seed')}, of {LEAST_SEEDS} that a test needs" if seeds[0] == seeds[1] else "other seeds"


def _groups_with_both(fold: ScoredFold, tag: int) -> int:
    """How many groups have clips with a tag, or without it, whichever are fewer: they decide how exact it is."""
    return min(len(np.unique(fold.groups[fold.targets[:, tag] == label])) for label in (0, 1))


def draw_figures(
    seeds: list[list[tuple[ScoredFold, np.ndarray]]], counts: np.ndarray, metric: Metric
) -> tuple[np.ndarray, np.ndarray]:
    """A metric of some folds in each draw, by tag (R, K) and on the whole (R,): means over seeds."""
    table = np.mean([resampled_table(folds, counts, metric) for folds in seeds], axis=0)
    if metric.by_label is None:
        return table, resampled_means(table)
    return table, np.mean([resampled_label_means(folds, counts, metric) for folds in seeds], axis=0)


def held_out(ledger: Ledger, row: ResultRow, clips: Clips) -> list[list[tuple[ScoredFold, np.ndarray]]]:
    """Read a row's held-out clips with their scores (n, K) by fold, a list for each seed."""
    found = []
    for part in ledger.trial(row.key).for_seeds(ledger.study.seeds):
        scores = {fold.fold: part.read_scores(fold.fold, "held_out", "held_out_clips") for fold in row.result.folds}
        found.append([(clips.held_out(fold, own["held_out_clips"]), own["held_out"]) for fold, own in scores.items()])
    return found
