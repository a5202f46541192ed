"""Tables as data, for the terminal, Markdown and HTML; among them the one in the paper's form.

A row per trial: the objective of each tag, their mean (Avg) and variance (Var, in 1e-3). Beside them the standard
deviation over seeds (SD seeds) and the mean over all partitions (Avg 2x5), where there are several, the mean on the
evaluation set (Eval), where the corpus has one, the mean of each further metric, and what the row took (Time, summed
over all folds). On the paper's corpus the published row follows, in a table of EERs.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from operator import attrgetter
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from audiotag.cli import natural_width
from audiotag.corpus.layouts import LAYOUTS
from audiotag.metrics import EER, METRICS, Metric
from study.format import common_params, decimal, in_every_row, label, markdown_table, short_duration, trial_name
from study.ledger.paper import published_notes
from study.ledger.schema import Figures, PublishedRow, StudyRecord, TrialResult
from study.stats.analysis import Analysis
from study.stats.rows import SHOWN_ROWS, Interval, ResultRow

SD_SEEDS = "SD seeds"
MOST_COLUMNS = 3  # of parameters on a page; with more of them one column has the trial's name
CROSS_VALIDATION, EVALUATION = "figures", "evaluation"  # fields of TrialResult
NO_FIGURES = Figures({}, None)
TITLES = {
    CROSS_VALIDATION: "{}, {}",
    EVALUATION: "{} on the evaluation set, scored by the mean of the fold models",
}
STYLES = {"best": "bold", "failed": "red", "published": "italic dim", "pruned": "dim", "ended": "dim"}  # on a terminal


@dataclass(frozen=True)
class Cell:
    """A cell of a page with more than its text: small print below it, a mark beside it."""

    text: str
    small: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Line:
    """A line of a table; `kind` decides how it looks."""

    cells: Sequence[str | Cell]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first `left` and last `right` columns are text, the others numbers.

    On a terminal that is too narrow the columns in `spare` are left out, group by group, and the text of those in
    `prose` breaks between words. The columns of single tags are `tags`, and those in `extra` leave without a word. On
    a narrow page the column `first` stands first; `names` say what columns are short for.
    """

    title: str
    header: Sequence[str]
    lines: Sequence[Line]
    left: int = 1
    right: int = 0
    spare: Sequence[Sequence[int]] = ()
    prose: Sequence[int] = ()
    tags: Sequence[int] = ()
    extra: Sequence[int] = ()
    first: int | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    def texts(self) -> list[list[str]]:
        """The cells as text alone."""
        return [[cell if isinstance(cell, str) else cell.text for cell in line.cells] for line in self.lines]

    def fit(self, console: Console, most_lines: bool = False) -> tuple[RichTable, list[int]]:
        """The table for a terminal, and the columns that do not fit there.

        Before columns are left out, they move together, and their names take several lines; with `most_lines` the
        prose, too, takes as many lines as it needs. Those in `extra` come back where others have made room.
        """
        groups: list[list[int]] = [[]]
        for group in self.spare:
            groups.append([*groups[-1], *group])
            if self.extra and not {*groups[-1]} <= {*self.extra}:
                groups.insert(-1, [number for number in groups[-1] if number not in self.extra])
        for out in groups:
            for tall, broken, gap in product((False, True)[: 1 + most_lines], (False, True), (2, 1)):
                table = self._rich(out, broken, gap)
                measured = self._rich(out, broken, gap, tall) if tall else table
                if natural_width(measured, console) <= console.width:
                    return table, out
        return table, out

    def _rich(self, out: Collection[int], broken: bool, gap: int, tall: bool = False) -> RichTable:
        table = RichTable(box=box.SIMPLE_HEAD, padding=(0, gap - 1, 0, 0))
        shown = [number for number in range(len(self.header)) if number not in out]
        for number in shown:
            is_text = number < self.left or number >= len(self.header) - self.right
            name = self.header[number].replace(" ", "\n") if broken else self.header[number]
            how: dict[str, Any] = {"overflow": "fold"} if number in self.prose else {"no_wrap": True}
            table.add_column(name, justify="left" if is_text else "right", min_width=4, **how)
        for line, texts in zip(self.lines, self.texts(), strict=True):
            cells = {number: texts[number].replace(" ", "\n") for number in self.prose} if tall else {}
            table.add_row(*(cells.get(number, texts[number]) for number in shown), style=STYLES.get(line.kind))
        return table

    def markdown(self, bold: int | None = None) -> str:
        """The table in Markdown: published lines in italics, of the best one the cell `bold` in bold."""
        rows = self.texts()
        for line, row in zip(self.lines, rows, strict=True):
            if line.kind == "published":
                row[:] = [cell and f"*{cell.replace('*', chr(92) + '*')}*" for cell in row]
            if line.kind == "best" and bold is not None:
                row[bold] = f"**{row[bold]}**"
        return markdown_table(self.header, rows, self.left, self.right)


def without_common(study: StudyRecord, trials: Sequence[TrialResult]) -> tuple[StudyRecord, str]:
    """The study as if it varied only what differs between some trials, and the rest in words."""
    common = common_params([trial.params for trial in trials], study.varied)
    return replace(study, varied=tuple(name for name in study.varied if name not in common)), in_every_row(common)


def splits(trials: Sequence[TrialResult]) -> list[str]:
    """The splits on which some trials were scored."""
    return [CROSS_VALIDATION, *[EVALUATION] * any(trial.evaluation for trial in trials)]


def metrics_of(trials: Sequence[TrialResult], split: str) -> list[Metric]:
    """The metrics of which some trial has a mean."""
    return [
        metric for name, metric in METRICS.items() if any(mean_of(trial, split, name) is not None for trial in trials)
    ]


def further_metrics(trials: Sequence[TrialResult], split: str) -> list[Metric]:
    """Those beside the objective."""
    return [metric for metric in metrics_of(trials, split) if metric is not trials[0].objective]


def mean_of(trial: TrialResult, split: str, metric: str) -> float | None:
    """A metric's mean over tags on a split; None where it does not exist."""
    return getattr(trial, split).get(metric, NO_FIGURES).mean


def paper_table(
    study: StudyRecord,
    trials: Sequence[TrialResult],
    split: str,
    analysis: Analysis | None = None,
    most: int | None = None,
    named: bool = False,
) -> Table:
    """The table in the paper's form; given an analysis with its intervals and marks, for a page.

    It has the means of at most so many metrics beside the objective. `named` rows have their names, in one column.
    """
    rows = {row.key: row for row in analysis.shown} if analysis else {}
    names = ["trial"] if named else parameter_columns(study, bool(rows))
    further = further_metrics(trials, split)[:most]
    columns = _columns(study, trials, split, rows, further)
    header = [*names, *study.tags, "Avg", "Var", *columns]
    best = analysis.best.key if analysis and analysis.best else _best_key(trials)
    lines = []
    for trial in trials:
        row = rows.get(trial.key)
        cells: list[str | Cell] = [*label(trial.params, study.varied)]
        if names == ["trial"]:
            cells = [row.label if row else trial_name(trial.params, study.varied)]
        if row and analysis and row is analysis.baseline:
            cells[-1] = Cell(str(cells[-1]), mark="baseline")
        cells += [*figure_cells(trial, split, study.tags, row=row), *(cell(trial) for cell in columns.values())]
        lines.append(Line(cells, "failed" if trial.status == "failed" else "best" if trial.key == best else ""))
        if has_published(trial, study.objective):
            lines.append(published_line(trial, study.tags, header, len(names)))
    tags = range(len(names), len(names) + len(study.tags))
    last = ("Var", "Eval", over_column(study))  # before Avg, which stays
    behind = sorted(range(len(header) - 1, tags.stop, -1), key=lambda number: header[number] in last)
    extra = [header.index(metric.mean_column, tags.stop + 1) for metric in further]
    spare = [extra, tags, *([number] for number in behind)]
    prose = [0] if named else []
    return Table(
        title_of(study, study.objective, split),
        header,
        lines,
        len(names),
        spare=spare,
        prose=prose,
        tags=tags,
        extra=extra,
        first=tags.stop,
        names=tag_names(study),
    )


def metric_table(
    study: StudyRecord, trials: Sequence[TrialResult], split: str, metric: Metric, page: bool = False
) -> Table:
    """One metric alone: the figure of each tag, their mean and variance."""
    names = parameter_columns(study, page)
    header, lines = [*names, *study.tags, metric.mean_column, "Var"], []
    for trial in trials:
        cells = label(trial.params, study.varied) if names != ["trial"] else [trial_name(trial.params, study.varied)]
        lines.append(Line([*cells, *figure_cells(trial, split, study.tags, metric)]))
        if has_published(trial, metric):
            lines.append(published_line(trial, study.tags, header, len(names)))
    mean = len(names) + len(study.tags)
    return Table(title_of(study, metric, split), header, lines, len(names), first=mean, names=tag_names(study))


def tag_names(study: StudyRecord) -> dict[str, str]:
    """What the tags of a study are short for, as far as its layout says it."""
    layout = LAYOUTS.get(study.corpus.kind)
    names = {} if layout is None else layout.tag_names
    return {tag: names[tag] for tag in study.tags if tag in names}


def tags_in_words(study: StudyRecord) -> str:
    """What the tags of a study are short for: "Tags: c (child speech), ..."; nothing where they are not."""
    names = ", ".join(f"{tag} ({name})" for tag, name in tag_names(study).items())
    return f"Tags: {names}." if names else ""


def title_of(study: StudyRecord, metric: Metric, split: str) -> str:
    """The title of a table of a metric."""
    return TITLES[split].format(metric.title, figures_in_words(study))


def parameter_columns(study: StudyRecord, page: bool) -> Sequence[str]:
    """The columns that tell trials from each other: their parameters, or on a page, of many, their names."""
    return study.varied if not page or 0 < len(study.varied) <= MOST_COLUMNS else ["trial"]


def figures_in_words(study: StudyRecord) -> str:
    """What a row's figures are of."""
    if not study.has_fixed_split:
        return "mean over the folds"
    return "mean over the seeds on the test clips" if study.has_several_seeds else "on the test clips"


def over_column(study: StudyRecord) -> str:
    """The column of the mean over the folds of all partitions: "Avg 2x5"."""
    return f"Avg {len(study.partitions)}x{len(study.folds)}"


def over_in_words(study: StudyRecord) -> str:
    """What stands in the column of the mean over all partitions."""
    return "the mean over the folds of all partitions" + ", of rows that have them all" * study.is_until_clear


def over_mean(trial: TrialResult, study: StudyRecord) -> float | None:
    """The mean of the objective over the folds of all partitions; None where the trial lacks one."""
    over = trial.over_partitions
    return None if over is None or over.partitions < len(study.partitions) else over.figures[study.metric].mean


def _columns(
    study: StudyRecord,
    trials: Sequence[TrialResult],
    split: str,
    rows: Mapping[str, ResultRow],
    further: Sequence[Metric],
) -> dict[str, Callable[[TrialResult], str]]:
    """The columns behind Var, as functions from a trial to its cell; `rows` on a page."""
    first = split == CROSS_VALIDATION
    columns: dict[str, Callable[[TrialResult], str]] = {}
    if first and study.has_several_seeds:
        columns[SD_SEEDS] = lambda trial: decimal(trial.figures[study.metric].sd_seeds)
    if first and study.has_several_partitions:
        columns[over_column(study)] = lambda trial: decimal(over_mean(trial, study))
    if first and not rows and EVALUATION in splits(trials):
        columns["Eval"] = lambda trial: decimal(mean_of(trial, EVALUATION, study.metric))
    for metric in further:
        columns[metric.mean_column] = lambda trial, name=metric.name: decimal(mean_of(trial, split, name))  # type: ignore[misc]
    if first and not rows:
        columns["Time"] = lambda trial: short_duration(trial.total_seconds)
    if first and any(row.best_share for row in rows.values()):
        columns["best in"] = lambda trial: f"{100 * (rows[trial.key].best_share or 0):.0f}\u00a0%"  # on one line
    return columns


def figure_cells(
    trial: TrialResult,
    split: str,
    tags: Sequence[str],
    metric: Metric | None = None,
    row: ResultRow | None = None,
) -> list[str | Cell]:
    """A metric's figure of each tag, their mean and variance, empty where there is none.

    The metric is the objective, with the intervals of the row if one is given, or another one.
    """
    found = getattr(trial, split).get((metric or trial.objective).name, NO_FIGURES)
    texts = [*(decimal(found.by_tag.get(tag)) for tag in tags), decimal(found.mean)]
    held = {} if row is None else row.intervals if split == CROSS_VALIDATION else row.eval_intervals
    small = [range_of(held.get(name), "\u2013") for name in (*tags, "mean")]
    cells = [Cell(text, own) if own else text for text, own in zip(texts, small, strict=True)]
    return [*cells, thousandths(found.var_classes)]


def range_of(interval: Interval, between: str = " to ") -> str:
    """An interval as text."""
    return "" if interval is None else f"{decimal(interval[0])}{between}{decimal(interval[1])}"


def thousandths(variance: float | None) -> str:
    """A variance over tags, times 1000."""
    return "" if variance is None else f"{1e3 * variance:.2f}"


def has_published(trial: TrialResult, metric: Metric) -> bool:
    """Whether the paper has figures of a metric for a trial."""
    return trial.published is not None and metric.name == EER


def published_line(trial: TrialResult, tags: Sequence[str], header: Sequence[str], left: int) -> Line:
    """The line below a trial's own with the paper's figures."""
    assert trial.published is not None, "others have no such line"
    names, cells = ["published", *[""] * left][:left], published_cells(trial.published, tags)
    return Line([*names, *cells, *[""] * (len(header) - left - len(cells))], "published")


def published_cells(row: PublishedRow, tags: Sequence[str]) -> list[str | Cell]:
    """The paper's own figures: two places, an asterisk where they are in doubt."""
    doubt = "*" if row.footnote else ""
    means = [f"{decimal(row.eer_mean, 2)}{doubt}", f"{thousandths(row.eer_var_classes)}{doubt}"]
    return [*(decimal(row.eer.get(tag), 2) for tag in tags), *means]


def _best_key(trials: Sequence[TrialResult]) -> str | None:
    """The trial that cross-validation chooses; the evaluation split chooses none."""
    scored = [trial for trial in trials if trial.mean is not None]
    return min(scored, key=attrgetter("rank")).key if scored else None


def footnotes(trials: Sequence[TrialResult], metric: Metric | None = None) -> list[str]:
    """The notes below a table with published rows, of the objective or another metric."""
    shown = [trial.published for trial in trials if has_published(trial, metric or trial.objective)]
    return published_notes([row for row in shown if row is not None])


def best_trials(trials: Sequence[TrialResult]) -> Sequence[TrialResult]:
    """All trials, or of many the best ones, best first."""
    if len(trials) <= SHOWN_ROWS + 1:
        return trials
    scored = [trial for trial in trials if trial.mean is not None]
    return sorted(scored, key=attrgetter("rank"))[:SHOWN_ROWS]


def pruned_title(study: StudyRecord) -> str:
    """The title of the table of pruned trials."""
    units = "seeds" if study.has_fixed_split else "folds"
    return f"Pruned after fewer {units} than the rows above: not to be compared with them"


def pruned_table(study: StudyRecord, trials: Sequence[TrialResult]) -> Table:
    """Pruned trials: their parameters, when, and their training time."""
    lines = [
        Line([*label(trial.params, study.varied), trial.reason or "", short_duration(trial.seconds)], "pruned")
        for trial in trials
    ]
    reason = len(study.varied)
    return Table(
        pruned_title(study), [*study.varied, "", "Time"], lines, left=reason + 1, spare=[[reason + 1]], prose=[reason]
    )
