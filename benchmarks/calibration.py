"""Are the verdicts right as often as they say? `python benchmarks/calibration.py [--studies 1000] [--write]`

Simulates whole studies whose answer is known and hands their figures to the functions that the report uses: how often
equal rows are called different, how often intervals hold the true difference, whether power is as predicted. `--write`
puts the table into docs/statistics.md. Two kinds of studies:

- *model*: figures with fold effects, seed effects and the correlation between folds that Nadeau and Bengio assume, in
  steps where ties are asked for. Here the tests should err exactly as often as they say.
- *classifiers*: linear classifiers, trained and scored in cross-validation on clips of 30 recordings of their own each,
  with seven tags; a row is a way to weigh the clips of a training, pure chance. Here nobody knows the correlation.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from audiotag.metrics import CROSSING, METRICS
from study.format import decimal, markdown_table
from study.ledger.clips import ScoredFold
from study.search.asha import cutoff, rung_folds
from study.stats.bootstrap import centred, draw_groups, interval_of_difference, resampled_means, resampled_table
from study.stats.comparison import Comparison, compare_figures
from study.stats.posterior import posterior_of
from study.stats.power import power_of, seen
from study.stats.significance import ALPHA, PairedTest, share_of_test

EER = METRICS["eer"]
PAGE = Path(__file__).parents[1] / "docs" / "statistics.md"
BEGIN, END = "<!-- calibration -->\n", "<!-- end -->\n"
GROUPS, PER_GROUP, COLUMNS, TAGS, OTHERS = 30, 5, 8, 7, 1000  # of a corpus of classifiers; OTHERS: recordings elsewhere
NOISY = 4.0  # spread of a row's weights beyond that of the others, which makes it worse
LINES = 34  # of the table
MOST_DRAWN = 400  # studies whose intervals on other recordings are computed, which takes long
SD, STEP = 0.02, 0.02 * math.sqrt(2)  # of figures over folds in a model; between figures with ties


@dataclass(frozen=True)
class Design:
    """So many folds, partitions and seeds."""

    folds: int
    partitions: int = 1
    seeds: int = 1

    @property
    def n(self) -> int:
        """Differences of a comparison."""
        return self.folds * self.partitions

    @property
    def share(self) -> float:
        """Test clips per training clip."""
        return share_of_test(self.folds)

    def __str__(self) -> str:
        parts = [f"{self.folds} folds", *[f"{self.partitions} partitions"] * (self.partitions > 1)]
        return ", ".join([*parts, *[f"{self.seeds} seeds"] * (self.seeds > 1)])


@dataclass(frozen=True)
class Line:
    """A line of the table: shares of studies, NaN where a kind of study has none, and how many studies there were."""

    what: str
    design: str
    wanted: str
    model: float = math.nan
    classifiers: float = math.nan
    studies: int = 0
    low: float = 0.0  # what is wanted of the model
    high: float = 1.0

    def cell(self, value: float) -> str:
        if math.isnan(value):
            return ""
        error = math.sqrt(value * (1 - value) / self.studies)
        return f"{decimal(value)} ({decimal(error)})"

    @property
    def is_off(self) -> bool:
        """Whether a figure lies outside what is wanted by more than two standard errors."""
        values = [value for value in (self.model, self.classifiers) if not math.isnan(value)]
        slack = 2 * math.sqrt(0.05 * 0.95 / max(self.studies, 1))
        return any(value > self.high + slack for value in values) or self.model < self.low - slack


def draw_model(
    rng: np.random.Generator, studies: int, rows: int, design: Design, step: float = 0.0, effect: float = 0.0
) -> np.ndarray:
    """Figures (studies, rows, n), means over seeds; `effect` lies between row 1 and the others."""
    shape = (studies, rows, design.n)
    by_fold = rng.normal(size=(studies, 1, design.n))  # how hard a fold is, for all rows
    own = math.sqrt(0.5) * rng.normal(size=shape)
    own = own + math.sqrt(0.5) * rng.normal(size=(*shape, design.seeds)).mean(axis=-1)
    variance = 0.5 + 0.5 / design.seeds
    common = math.sqrt(design.share * variance) * rng.normal(size=(studies, rows, 1))  # of overlapping training sets
    figures = 0.2 + SD * (by_fold + own + common)
    figures[:, 1] += effect
    return np.round(figures / step) * step if step else figures


@dataclass(frozen=True)
class Corpora:
    """Corpora of linear classifiers, one per study: clips (studies, n, COLUMNS), targets (studies, n, TAGS)."""

    clips: np.ndarray
    targets: np.ndarray
    directions: np.ndarray

    @property
    def groups(self) -> np.ndarray:
        """The group of each clip (n,)."""
        return np.repeat(np.arange(self.clips.shape[1] // PER_GROUP), PER_GROUP)


def draw_corpora(rng: np.random.Generator, studies: int, groups: int, directions: np.ndarray) -> Corpora:
    """Clips with tags at chance, which lie in different directions, and a sound of their recording."""
    n = groups * PER_GROUP
    targets = (rng.random((studies, n, TAGS)) < 0.4).astype(np.float64)
    own = rng.normal(size=(studies, n, COLUMNS)) + 0.5 * np.repeat(
        rng.normal(size=(studies, groups, COLUMNS)), PER_GROUP, axis=1
    )
    return Corpora(0.6 * (2 * targets - 1) @ directions + own, targets, directions)


def draw_directions(rng: np.random.Generator) -> np.ndarray:
    """Where the tags lie, (TAGS, COLUMNS)."""
    return np.linalg.qr(rng.normal(size=(COLUMNS, TAGS)))[0].T


def train(rng: np.random.Generator, corpora: Corpora, rows: int, kept: np.ndarray, noisy: bool) -> np.ndarray:
    """Train rows on some clips: weights (studies, rows, TAGS, COLUMNS), class means of clips that weigh by chance."""
    signs, clips = 2 * corpora.targets[:, kept] - 1, corpora.clips[:, kept]
    studies, n = signs.shape[:2]
    weights = rng.exponential(size=(studies, rows, n))
    if noisy:
        weights[:, 1] *= rng.exponential(size=(studies, n)) ** NOISY
    products = (signs[..., None] * clips[:, :, None]).reshape(studies, n, -1)
    return (weights @ products).reshape(studies, rows, TAGS, COLUMNS)


def score(weights: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Scores (studies, rows, TAGS, n)."""
    return np.einsum("srkc,snc->srkn", weights, clips)


def eers(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """`audiotag.metrics.equal_error_rate` of many at once, without equal scores: (..., n) each to (...)."""
    ordered = np.take_along_axis(targets, np.argsort(-scores, axis=-1), axis=-1)
    passed = [np.cumsum(part, axis=-1) for part in (1 - ordered, ordered)]
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = (np.insert(part, 0, 0, axis=-1) / part[..., -1:] for part in passed)
    at = np.maximum((x + y >= 1 - CROSSING).argmax(axis=-1), 1)[..., None]
    (x0, x1), (y0, y1) = ([np.take_along_axis(part, at - back, axis=-1)[..., 0] for back in (1, 0)] for part in (x, y))
    return x0 + (x1 - x0) * (1 - x0 - y0) / (x1 - x0 + y1 - y0)


def folds_of(rng: np.random.Generator, design: Design) -> Iterator[np.ndarray]:
    """Which clips are held out, (n,), fold after fold of each partition; whole groups."""
    for partition in range(design.partitions):
        fold = np.arange(GROUPS) % design.folds
        fold = np.repeat(rng.permutation(fold) if partition else fold, PER_GROUP)
        yield from (fold == number for number in range(design.folds))


def cross_validate(
    rng: np.random.Generator, studies: int, rows: int, design: Design, noisy: bool = False
) -> np.ndarray:
    """EERs (studies, rows, n, TAGS) of classifiers on corpora of their own; with `noisy` row 1 is worse."""
    corpora = draw_corpora(rng, studies, GROUPS, draw_directions(rng))
    found = []
    for out in folds_of(rng, design):
        by_seed = []
        for _ in range(design.seeds):
            scores = score(train(rng, corpora, rows, ~out, noisy), corpora.clips[:, out])
            targets = corpora.targets[:, out].transpose(0, 2, 1)[:, None]
            by_seed.append(eers(np.broadcast_to(targets, scores.shape), scores))
        found.append(np.mean(by_seed, axis=0))
    return np.stack(found, axis=2)


def compare_rows(figures: np.ndarray, design: Design) -> list[Comparison]:
    """What the report finds of rows (rows, n) against the first."""
    return compare_figures(list(figures[1:] - figures[0]), design.share, EER)


def finds(parts: Sequence[Comparison]) -> bool:
    return any(part.outcome in ("better", "worse") for part in parts)


def share_with_finds(figures: np.ndarray, design: Design) -> float:
    """The share of studies (studies, rows, n) in which some row is called different from the first."""
    return float(np.mean([finds(compare_rows(own, design)) for own in figures]))


def prune(figures: np.ndarray) -> np.ndarray:
    """The rows (rows, n) that ASHA leaves, in their order."""
    left = list(figures)
    for rung in rung_folds(figures.shape[1]):
        means = [float(row[:rung].mean()) for row in left]
        bounds = [cutoff(means[: place + 1], EER) for place in range(len(left))]
        left = [row for row, mean, bound in zip(left, means, bounds, strict=True) if bound is None or mean <= bound]
    return np.array(left)


def average(figures: np.ndarray) -> np.ndarray:
    """Means over the tags of (studies, rows, n, TAGS)."""
    return np.nanmean(figures, axis=-1)


def false_positives(rng: np.random.Generator, studies: int) -> Iterator[Line]:
    """Equal rows that are called different."""
    wanted: dict[str, Any] = {"wanted": "at most .05", "studies": studies, "high": 0.05}
    for design in (Design(2), Design(3), Design(5), Design(10), Design(3, 3), Design(5, 3), Design(5, 1, 3)):
        model = share_with_finds(draw_model(rng, studies, 2, design), design)
        own = share_with_finds(average(cross_validate(rng, studies, 2, design)), design)
        yield Line("one equal row called different", str(design), model=model, classifiers=own, **wanted)
    ties = share_with_finds(draw_model(rng, studies, 2, Design(5), STEP), Design(5))
    yield Line("the same, figures in steps of one s", "5 folds", model=ties, **wanted)
    for design in (Design(3), Design(5), Design(10), Design(5, 3)):
        model = share_with_finds(draw_model(rng, studies, 7, design), design)
        own = share_with_finds(average(cross_validate(rng, studies, 7, design)), design)
        yield Line("any of 6 equal rows, Holm", str(design), model=model, classifiers=own, **wanted)
    for design in (Design(5), Design(5, 3)):
        figures = np.stack([draw_model(rng, studies, 2, design) for _ in range(TAGS)], axis=-1)
        model, own = (tags_with_finds(each, design) for each in (figures, cross_validate(rng, studies, 2, design)))
        yield Line(f"any of {TAGS} tags of an equal row, Holm", str(design), model=model, classifiers=own, **wanted)
    design = Design(5)
    made = draw_model(rng, studies, 13, design), average(cross_validate(rng, studies, 13, design))
    model, own = (float(np.mean([finds(compare_rows(prune(each), design)) for each in figures])) for figures in made)
    yield Line("any row that ASHA leaves of 13 equal ones, Holm", "5 folds", model=model, classifiers=own, **wanted)


def tags_with_finds(figures: np.ndarray, design: Design) -> float:
    """The share of studies (studies, 2, n, TAGS) in which some tag of row 1 is called different from row 0."""
    differences = np.diff(figures, axis=1)[:, 0].transpose(0, 2, 1)
    return float(np.mean([finds(compare_figures(list(own), design.share, EER)) for own in differences]))


def equivalence(rng: np.random.Generator, studies: int) -> Iterator[Line]:
    """Rows that differ by exactly the margin and are called the same: the worst case."""
    for design in (Design(3), Design(5), Design(10), Design(5, 3)):
        margin = seen(design.n, design.share, ALPHA) * SD * math.sqrt(2)
        differences = np.diff(draw_model(rng, studies, 2, design, effect=margin), axis=1)[:, 0]
        found = [posterior_of(own, design.share, margin, EER) for own in differences]
        value = float(np.mean([part is not None and part.is_same for part in found]))
        text = "a row that differs by the margin called the same"
        yield Line(text, str(design), "at most .05", value, studies=studies, high=0.05)


def coverage(rng: np.random.Generator, studies: int) -> Iterator[Line]:
    """Intervals that hold the true difference: that of a model, or the mean over all studies of classifiers."""
    wanted: dict[str, Any] = {"wanted": ".92 to .98", "studies": studies, "low": 0.92}
    for design in (Design(3), Design(5), Design(10), Design(5, 3)):
        worse = average(cross_validate(rng, studies, 2, design, noisy=True))
        made = (draw_model(rng, studies, 2, design, effect=SD), SD), (worse, float(np.diff(worse, axis=1).mean()))
        model, own = (
            float(np.mean([covers(compare_rows(each, design)[0], truth) for each in figures]))
            for figures, truth in made
        )
        text = "the 95 % interval holds the true difference"
        yield Line(text, str(design), model=model, classifiers=own, **wanted)
    value = float(np.mean(list(paired_coverage(rng, few := min(studies, MOST_DRAWN)))))
    text = "the interval on other recordings holds that of the same networks"
    yield Line(text, "5 folds", ".92 to .98", classifiers=value, studies=few)


def covers(part: Comparison, truth: float) -> bool:
    """Whether the interval of a test holds the truth."""
    return isinstance(part.test, PairedTest) and part.test.low <= truth <= part.test.high


def paired_coverage(rng: np.random.Generator, studies: int) -> Iterator[bool]:
    """Whether the paired bootstrap's interval holds the difference of fold models on very many other recordings."""
    directions = draw_directions(rng)
    corpora, far = draw_corpora(rng, studies, GROUPS, directions), draw_corpora(rng, 1, OTHERS, directions)
    models = [(out, train(rng, corpora, 2, ~out, True)) for out in folds_of(rng, Design(5))]
    counts, targets = draw_groups(GROUPS), far.targets[0].T
    for study in range(studies):
        scores = [score(weights[study : study + 1], far.clips)[0] for _, weights in models]
        true = np.diff(np.mean([eers(np.broadcast_to(targets, own.shape), own) for own in scores], axis=(0, 2)))
        means, figures = [], []
        for row in range(2):
            folds = [
                (
                    ScoredFold(corpora.targets[study, out].astype(np.uint8), corpora.groups[out]),
                    (weights[study, row] @ corpora.clips[study, out].T).T,
                )
                for out, weights in models
            ]
            by_fold = [EER.by_tag(fold.targets, own) for fold, own in folds]
            figures.append(float(np.nanmean(by_fold, axis=0).mean()))
            means.append(centred(resampled_means(resampled_table(folds, counts, EER)), figures[-1]))
        ends = interval_of_difference(means[1] - means[0], figures[1] - figures[0])
        yield ends is not None and ends[0] <= true[0] <= ends[1]


def power(rng: np.random.Generator, studies: int) -> Iterator[Line]:
    """Real differences that are called real, beside the share that is predicted from their true size and spread."""
    sd = SD * math.sqrt(2)
    for design, size in ((Design(3), 4.0), (Design(5), 1.0), (Design(5), 2.5), (Design(10), 1.2), (Design(5, 3), 1.0)):
        found = share_with_finds(draw_model(rng, studies, 2, design, effect=size * sd), design)
        predicted = power_of(size, 1.0, design.n, design.share, ALPHA)
        yield _power_line(f"a true difference of {size:g} s called real", design, predicted, studies, model=found)
    for rows in (4, 6):
        design = Design(5)
        size = seen(design.n, design.share, ALPHA / rows)
        figures = draw_model(rng, studies, rows + 1, design, effect=size * sd)
        found = float(np.mean([compare_rows(own, design)[0].outcome == "worse" for own in figures]))
        text = f"one of {size:.2f} s beside {rows - 1} equal rows, Holm"
        yield _power_line(text, design, 0.8, studies, model=found)
    for design in (Design(5), Design(10), Design(5, 3)):
        figures = average(cross_validate(rng, studies, 2, design, noisy=True))
        differences = np.diff(figures, axis=1)[:, 0]
        size = float(differences.mean() / math.sqrt(differences.var(axis=1, ddof=1).mean()))
        predicted = power_of(size, 1.0, design.n, design.share, ALPHA)
        text = f"a true difference of {size:.1f} s called real"
        yield _power_line(text, design, predicted, studies, classifiers=share_with_finds(figures, design))


def _power_line(text: str, design: Design, predicted: float, studies: int, **found: float) -> Line:
    limits = {"low": predicted - 0.05, "high": predicted + 0.05} if "model" in found else {}
    return Line(text, str(design), f"{decimal(predicted)} predicted", studies=studies, **limits, **found)


def markdown(lines: Sequence[Line]) -> str:
    """The table of the page."""
    header = ["in simulated studies", "design", "wanted", "model", "classifiers"]
    rows = [[line.what, line.design, line.wanted, line.cell(line.model), line.cell(line.classifiers)] for line in lines]
    return markdown_table(header, rows, left=3)


def write(lines: Sequence[Line]) -> None:
    """Put the table into the page, in place of the last one."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{markdown(lines)}\n\n{END}{rest.partition(END)[2]}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate studies whose answer is known, and count wrong verdicts.")
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies per line (default 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="put the table into docs/statistics.md")
    arguments = parser.parse_args()
    rng, console = np.random.default_rng(arguments.seed), Console()
    made = (line for part in (false_positives, equivalence, coverage, power) for line in part(rng, arguments.studies))
    lines = list(track(made, "simulating", total=LINES, console=console, transient=True))
    table = Table("in simulated studies", "design", "wanted", "model", "classifiers", "")
    for line in lines:
        cells = [line.what, line.design, line.wanted, line.cell(line.model), line.cell(line.classifiers)]
        table.add_row(*cells, "off" * line.is_off)
    console.print(table)
    if arguments.write:
        write(lines)


if __name__ == "__main__":
    main()
