"""Are the verdicts right as often as they say? `python benchmarks/calibration.py [--studies 1000] [--write]`

Simulates whole studies whose answer is known and hands their figures to the functions that the report uses: how often
equal rows are called different, how often intervals hold the true difference, whether power is as predicted. `--write`
puts the table into docs/statistics.md. Studies of a model and of classifiers: benchmarks/simulated_studies.py.
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
from simulated_studies import (
    GROUPS,
    OTHERS,
    SD,
    STEP,
    TAGS,
    Design,
    FixedDesign,
    average,
    cross_validate,
    cross_validate_on,
    draw_corpora,
    draw_directions,
    draw_fixed_model,
    draw_model,
    eers,
    folds_of,
    score,
    train,
)

from audiotag.metrics import METRICS
from study.format import decimal, markdown_table
from study.ledger.clips import ScoredFold
from study.search.asha import cutoff, rung_folds
from study.stats.across_corpora import compare_means
from study.stats.bootstrap import centred, draw_groups, interval_of_difference, resampled_means, resampled_table
from study.stats.comparison import Comparison, compare_figures
from study.stats.draws import draw_figures
from study.stats.fixed_split import Estimate, compare_on_test, estimate
from study.stats.interims import Looks
from study.stats.posterior import posterior_of
from study.stats.power import power_of, seen
from study.stats.significance import ALPHA, PairedTest, Untested

EER = METRICS["eer"]
PAGE = Path(__file__).parents[1] / "docs" / "statistics.md"
BEGIN, END = "<!-- calibration -->\n", "<!-- end -->\n"
LINES = 64  # of the table
FEW_DRAWS = 300  # of groups, of studies on a fixed split
MOST_DRAWN = 400  # studies whose intervals on other recordings are computed, which takes long


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


@dataclass(frozen=True, eq=False)
class Sequential:
    """A study that adds partitions until it is clear, of rows (rows, n) that are compared with the first.

    Attributes:
        parts: Each comparison at its last look.
        partitions: That each row had by then.
    """

    parts: list[Comparison]
    partitions: list[int]


def run_until_clear(figures: np.ndarray, design: Design, margin: float) -> Sequential:
    """Give the rows one partition after the other, as `study.plan.until_clear` does."""
    looks, differences = Looks(design.folds, design.partitions), figures[1:] - figures[0]
    decided = 1 - looks.nominal(ALPHA)
    partitions, left = [0] * len(differences), list(range(len(differences)))
    parts: list[Comparison] = []
    for look in range(1, design.partitions + 1):
        for place in left:
            partitions[place] = look
        had = [own[: design.folds * each] for own, each in zip(differences, partitions, strict=True)]
        parts = compare_figures(had, design.share, EER, looks)
        same = [posterior_of(own, design.share, margin, EER, decided) for own in had]
        left = [
            place
            for place in left
            if parts[place].outcome not in ("better", "worse")
            and not ((own := same[place]) is not None and own.is_same)
        ]
        if not left:
            break
    return Sequential(parts, partitions)


def until_clear(rng: np.random.Generator, studies: int) -> Iterator[Line]:
    """Studies that add partitions until they are clear: over all their looks."""
    wanted: dict[str, Any] = {"wanted": "at most .05", "studies": studies, "high": 0.05}
    for design in (Design(2, 4), Design(3, 4), Design(5, 4), Design(10, 4)):
        made = draw_model(rng, studies, 7, design), average(cross_validate(rng, studies, 7, design))
        model, own = (
            float(np.mean([finds(run_until_clear(each, design, 0.0).parts) for each in figures])) for figures in made
        )
        yield Line("any of 6 equal rows, --until-clear", str(design), model=model, classifiers=own, **wanted)
    sd = SD * math.sqrt(2)
    for design in (Design(3, 4), Design(5, 4)):
        margin = seen(design.n, design.share, ALPHA) * sd
        drawn = draw_model(rng, studies, 2, design, effect=margin)
        same = [posterior_is_same(own, design, margin) for own in drawn]
        text = "a row that differs by the margin called the same, --until-clear"
        yield Line(text, str(design), model=float(np.mean(same)), **wanted)
    for design in (Design(3, 4), Design(5, 4)):
        drawn = draw_model(rng, studies, 2, design, effect=SD)
        held = [covers(run_until_clear(each, design, 0.0).parts[0], SD) for each in drawn]
        text = "the interval at the last look holds the true difference, --until-clear"
        yield Line(text, str(design), ".92 to .98", model=float(np.mean(held)), studies=studies, low=0.92)
    design = Design(5, 4)
    for size in (1.2, 2.5, 4.0):
        runs = [run_until_clear(own, design, 0.0) for own in draw_model(rng, studies, 2, design, effect=size * sd)]
        found = float(np.mean([finds(run.parts) for run in runs]))
        predicted = Looks(design.folds, design.partitions).power(size, ALPHA)
        text = f"a true difference of {size:g} s called real, --until-clear"
        yield _power_line(text, design, predicted, studies, model=found)
        share = float(np.mean([run.partitions[0] for run in runs])) / design.partitions
        yield Line(
            f"its share of the trainings of {design.partitions} partitions", str(design), "", share, studies=studies
        )


def posterior_is_same(figures: np.ndarray, design: Design, margin: float) -> bool:
    """Whether row 1 of (2, n) is called the same as row 0 at one of the looks."""
    run = run_until_clear(figures, design, margin)
    own = (figures[1] - figures[0])[: design.folds * run.partitions[0]]
    found = posterior_of(own, design.share, margin, EER, 1 - Looks(design.folds, design.partitions).nominal(ALPHA))
    return found is not None and found.is_same


def confirmations(rng: np.random.Generator, studies: int) -> Iterator[Line]:
    """The best of 6 rows, which are all equal, trained again on new folds of the same corpus."""
    for design in (Design(3), Design(5)):
        corpora = draw_corpora(rng, studies, GROUPS, draw_directions(rng))
        chosen = average(cross_validate_on(rng, corpora, 7, design))[:, 1:].mean(axis=-1).argmin(axis=1)
        again = average(cross_validate_on(rng, corpora, 7, design, first=2))
        pairs = np.stack([again[:, 0], again[np.arange(studies), 1 + chosen]], axis=1)
        text = "the winner of 6 equal rows called different in its confirmation"
        yield Line(
            text, str(design), "at most .05", classifiers=share_with_finds(pairs, design), studies=studies, high=0.05
        )


def across(rng: np.random.Generator, studies: int) -> Iterator[Line]:
    """Rows that have no effect in general, compared over corpora with an effect on each."""
    wanted: dict[str, Any] = {"wanted": "at most .05", "studies": studies, "high": 0.05}
    design = Design(5)
    for corpora in (3, 5, 8):
        effects = 2 * SD * rng.normal(size=(studies, 6, corpora))
        noise = np.diff(draw_model(rng, effects.size, 2, design), axis=1).mean(axis=(1, 2)).reshape(effects.shape)
        model = effects + noise * rng.uniform(0.2, 3.0, (studies, 1, corpora))  # corpora differ in their precision
        figures = average(cross_validate(rng, studies * corpora, 7, design)).mean(axis=-1).reshape(studies, corpora, 7)
        own = (figures[..., 1:] - figures[..., :1]).transpose(0, 2, 1)
        shares = [
            float(np.mean([finds(compare_means(list(each), EER, 0.0)) for each in made])) for made in (model, own)
        ]
        text = "any of 6 rows without a general effect, across corpora, Holm"
        yield Line(text, f"{corpora} corpora", model=shares[0], classifiers=shares[1], **wanted)


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


def fixed_splits(rng: np.random.Generator, studies: int) -> Iterator[Line]:
    """Rows that are compared on the test clips of one fixed split, over groups of them and seeds."""
    wanted: dict[str, Any] = {"wanted": "at most .05", "studies": studies, "high": 0.05}
    for rows, text in (
        (2, "one equal row called different, fixed split"),
        (7, "any of 6 equal rows, fixed split, Holm"),
    ):
        for design in (FixedDesign(10, 3), FixedDesign(20, 3), FixedDesign(60, 3), FixedDesign(20, 5)):
            drawn = draw_fixed_model(rng, studies, rows, design, own=2.0)
            model = [finds(compare_on_test(estimate_rows(each), EER)) for each in drawn]
            own = [finds(compare_on_test(found, EER)) for found in train_once(rng, studies, rows, design)]
            yield Line(text, str(design), model=float(np.mean(model)), classifiers=float(np.mean(own)), **wanted)
    for design in (FixedDesign(20, 3), FixedDesign(60, 3), FixedDesign(20, 5)):
        drawn = draw_fixed_model(rng, studies, 2, design, own=2.0, effect=1.0)
        held = [covers(compare_on_test(estimate_rows(each), EER)[0], 1.0) for each in drawn]
        text = "the 95 % interval holds the true difference, fixed split"
        yield Line(text, str(design), ".92 to .98", float(np.mean(held)), studies=studies, low=0.92)


def estimate_rows(figures: np.ndarray) -> list[Estimate | Untested]:
    """The differences of rows (rows, seeds, groups) from the first: figures of single groups, whose mean counts."""
    counts = draw_groups(figures.shape[-1], FEW_DRAWS)
    differences = figures[1:] - figures[0]
    draws = differences.mean(axis=1) @ counts.T / counts.sum(axis=1)
    return [estimate(drawn, own.mean(axis=1), own.shape[1]) for drawn, own in zip(draws, differences, strict=True)]


def train_once(
    rng: np.random.Generator, studies: int, rows: int, design: FixedDesign
) -> Iterator[list[Estimate | Untested]]:
    """The differences of equal classifiers from the first on the test clips of a fixed split."""
    corpora = draw_corpora(rng, studies, 3 * design.groups, draw_directions(rng))
    out = corpora.groups >= 2 * design.groups
    models = [train(rng, corpora, rows, ~out, noisy=False) for _ in range(design.seeds)]
    counts, groups = draw_groups(design.groups, FEW_DRAWS), corpora.groups[out] - 2 * design.groups
    for study in range(studies):
        fold = ScoredFold(corpora.targets[study, out].astype(np.uint8), groups)
        scores = [[(own[study, row] @ corpora.clips[study, out].T).T for own in models] for row in range(rows)]
        figures = np.array([[EER.score(fold.targets, own)[1] for own in each] for each in scores])
        draws = [draw_figures([[(fold, own)] for own in each], counts, EER)[1] for each in scores]
        yield [estimate(draws[row] - draws[0], figures[row] - figures[0], design.groups) for row in range(1, rows)]


PARTS = (false_positives, equivalence, coverage, power, until_clear, confirmations, across, fixed_splits)


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate studies whose answer is known, and count wrong verdicts.")
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies per line (default 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="put the table into docs/statistics.md")
    arguments = parser.parse_args()
    rng, console = np.random.default_rng(arguments.seed), Console()
    made = (line for part in PARTS for line in part(rng, arguments.studies))
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
