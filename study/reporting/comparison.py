"""Several studies side by side: their rows in one table, tested against each other where that is meaningful."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile
from operator import attrgetter
from pathlib import Path

from rich.console import Console

from audiotag.config import TrialConfig
from study.cli import say
from study.format import decimal
from study.ledger.files import write_text
from study.ledger.ledger import Ledger
from study.ledger.results import is_complete, over_partitions, study_results
from study.ledger.schema import StudyRecord, TrialResult
from study.reporting.prose import answer, p_value, verdict
from study.reporting.section import Section, render
from study.reporting.sections.across_corpora import across_corpora, answer_across
from study.reporting.sections.against_baseline import INTERVAL, against_baseline, difference
from study.reporting.sections.paper_tables import cross_validation
from study.reporting.sections.resolution import resolution
from study.reporting.sections.tags_against_baseline import tags_against_baseline
from study.reporting.sections.three_answers import three_answers
from study.reporting.style import style
from study.reporting.tables import CROSS_VALIDATION, Line, Table, further_metrics, mean_of, metrics_of, range_of
from study.stats.across_corpora import GeneralRow, compare_across, why_not
from study.stats.analysis import Analysis, analyse, compare_rows, compare_tags, margin_of
from study.stats.draws import Draws
from study.stats.rows import ResultRow, choose_baseline, make_row

LONGEST_NAME = 120  # characters of a file's name
CORPORA_DIFFER = "The corpora differ, so the figures are of different things and nothing is tested."
ACROSS_CORPORA = (
    "The corpora differ, so the figures are of different things: what is tested over the corpora is each row's "
    "difference from the baseline of its own study."
)
PARTITIONS_DIFFER = "The partitions differ: differences are tested over those that all studies have."
UNTESTED = {  # differences that leave nothing to test, and the fields that show them
    CORPORA_DIFFER: attrgetter("corpus.fingerprint", "tags", "folds"),
    "The studies choose their trials by different metrics, so nothing is ranked and nothing is tested.": attrgetter(
        "metric"
    ),
    "The protocols differ: figures of `paper` are optimistic and those of `nested` are not; nothing is tested.": (
        attrgetter("protocol")
    ),
}
DIFFERENCES = UNTESTED | {
    "The seeds differ, and with them the initial weights and the order of clips.": attrgetter("seed"),
    "The repeats differ: a figure of one study is a mean over more seeds than one of another.": attrgetter("repeats"),
    PARTITIONS_DIFFER: attrgetter("drawn"),
    "The settings that no space varies differ: see each study's own report.": attrgetter("settings"),
}


def join(found: Sequence[Analysis], margin: float | None = None) -> Analysis:
    """Join all shown rows against the first study's baseline; a trial that two studies share is there once."""
    varied = list(dict.fromkeys(name for each in found for name in each.study.varied))
    shown = [row for each in found for row in each.shown]
    named = [name for name in varied if len({str(row.params.get(name)) for row in shown}) > 1] or varied
    rows: dict[str, ResultRow] = {}
    partitions = common_partitions([each.study for each in found])
    for row in shown:
        made = make_row(row.study, first_partitions(row.result, partitions, found[0].study), named)
        made.label, made.intervals = f"{made.label} ({row.study})", row.intervals
        rows.setdefault(row.key, made)
    first, merged = found[0], list(rows.values())
    study = replace(first.study, varied=(), drawn=first.study.drawn[: partitions - 1])
    baseline = rows.get(first.baseline.key) if first.baseline else choose_baseline(merged, first.study)[0]
    margin = margin_among(found, margin)
    draws = Draws(*(each.ledger for each in found))
    compare_rows(merged, baseline, study, draws, margin)
    compare_tags(merged, baseline, study, draws)
    trials = tuple(row.result for row in merged)
    return Analysis(
        first.ledger,
        replace(first.results, status="finished", trials=trials, study=study),
        scientific=named,
        rows=merged,
        baseline=baseline,
        baseline_reason=f"the baseline of {first.study.name} ({first.baseline_reason})",
        shown=merged,
        margin=margin,
    )


def common_partitions(studies: Sequence[StudyRecord]) -> int:
    """How many partitions, from the first on, divide the corpus alike in all of some studies."""
    drawn = zip(*(study.drawn for study in studies), strict=False)
    return 1 + sum(1 for _ in takewhile(lambda them: len({each.folds for each in them}) == 1, drawn))


def first_partitions(result: TrialResult, partitions: int, study: StudyRecord) -> TrialResult:
    """A trial's result with so many of its partitions at most."""
    kept = result.partitions[: partitions - 1]
    return replace(result, partitions=kept, over_partitions=over_partitions(result.folds, kept, study.tags))


def file_name(names: Sequence[str]) -> str:
    """The comparison's file name without suffix; long lists end in a hash."""
    name = "comparison-" + "+".join(names)
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def write_comparison(ledgers: Sequence[Ledger], folder: Path, console: Console, margin: float | None = None) -> Path:
    """Write comparison-A+B.html and .md beside the studies, show the table, and return the page's path."""
    statuses = ["finished" if is_complete(each) else "interrupted" for each in ledgers]
    found = [analyse(each, study_results(each, status), margin) for each, status in zip(ledgers, statuses, strict=True)]
    different = [text for text, part in DIFFERENCES.items() if len({str(part(each.study)) for each in found}) > 1]
    different += other_code(found)
    untested = UNTESTED.keys() & set(different)
    tested = not untested
    parts = [join(found, margin)] if tested else [join([each], margin) for each in found]
    answers = [answer(part) for part in parts if tested]
    general: list[GeneralRow] = []
    if untested == {CORPORA_DIFFER}:
        general, different = over_corpora(found, different, margin)
        answers = [answer_across(general, found, margin_among(found, margin))] if general else []
    names = [ledger.root.name for ledger in ledgers]
    title, path = f"Comparison of {', '.join(names)}", folder / f"{file_name(names)}.html"
    table = rows_table([row for part in parts for row in part.shown], tested)
    sections = [Section("The studies", tables=[studies_table(found)])]
    makers = [cross_validation, *[against_baseline, three_answers, resolution, tags_against_baseline] * tested]
    with style():
        across = [across_corpora(general, found)] * bool(general)
        sections += across
        sections += [section for part in parts for make in makers if (section := make(part)) is not None]
    page = render(
        "comparison.html", title=title, answers=answers, paired=tested, different=different, sections=sections
    )
    more = [section.markdown for section in across]
    text = "\n\n".join([f"# {title}", *answers, table.markdown(), *more, *different]) + "\n"
    write_text(path, page)
    write_text(path.with_suffix(".md"), text)
    say(console, f"\n{title}")
    console.print(table.fit(console)[0])
    for section in across:
        show_across(section, answers, console)
    for line in different:
        say(console, line)
    return path


def over_corpora(
    found: Sequence[Analysis], different: Sequence[str], margin: float | None
) -> tuple[list[GeneralRow], list[str]]:
    """Compare studies that differ in their corpora; return the rows, if any, and what to say of the differences."""
    if (reason := why_not(found)) is not None:
        return [], [f"{line} {reason}" if line == CORPORA_DIFFER else line for line in different]
    general = compare_across(found, margin_among(found, margin))
    lines = [ACROSS_CORPORA if line == CORPORA_DIFFER else line for line in different]
    return general, [line for line in lines if line != PARTITIONS_DIFFER]  # each study is tested over its own


def margin_among(found: Sequence[Analysis], margin: float | None) -> float:
    """The margin that was asked for, or else that of the first study."""
    return margin_of(found[0].study) if margin is None else margin


def show_across(section: Section, answers: Sequence[str], console: Console) -> None:
    """Print what several corpora say together."""
    for table in section.tables:
        say(console, table.title)
        console.print(table.fit(console)[0])
    for line in [*section.notes, *answers]:
        say(console, line)


def other_code(found: Sequence[Analysis]) -> list[str]:
    """Say which names of a user's own networks and augmentations are defined by other files in one study than another.

    Rows of one name are of different code then, or of the same in a file that differs elsewhere.
    """
    sources: dict[str, set[str]] = {}
    for each in found:
        for trial in each.results.trials:
            with suppress(ValueError):  # of what this version does not have
                config = TrialConfig.from_dict(trial.params, each.study.code)
                for name in config.own_names:
                    sources.setdefault(name, set()).add(each.study.code.fingerprint_of([name]))
    names = " and ".join(f"`{name}`" for name, texts in sources.items() if len(texts) > 1)
    return [f"The files that define {names} differ: rows of one name may be of different code."] if names else []


def studies_table(found: Sequence[Analysis]) -> Table:
    """The studies, with their answers."""
    header = ["study", "corpus", "protocol", "seed", "trials", "question", "answer"]
    lines = []
    for each in found:
        study = each.study
        trials = f"{len(each.results.trials)} of {study.trials}"
        facts = [study.name, study.corpus.name, study.protocol, str(study.seed), trials]
        lines.append(Line([*facts, study.question.splitlines()[0], answer(each)]))
    return Table("The studies", header, lines, left=3, right=2)


def rows_table(rows: Sequence[ResultRow], tested: bool) -> Table:
    """Rows of studies, and their tests; of studies with different objectives each metric in a column of its own."""
    results = [row.result for row in rows]
    shared = len({result.objective.name for result in results}) <= 1
    further = (further_metrics if shared else metrics_of)(results, CROSS_VALIDATION)
    header = ["study", "trial", *["Avg", INTERVAL] * shared, *[metric.mean_column for metric in further]]
    lines = []
    for row in rows:
        cells = [row.study, row.label.removesuffix(f" ({row.study})")]
        cells += [decimal(row.mean), range_of(row.intervals.get("mean"))] * shared
        cells += [decimal(mean_of(row.result, CROSS_VALIDATION, metric.name)) for metric in further]
        lines.append(Line([*cells, *[difference(row), p_value(row.adjusted), verdict(row)] * tested]))
    full = [*header, *["difference", "Holm p", "verdict"] * tested]
    first = 4 if shared else 3  # column behind the objective, or the first metric
    spare = [[*range(first, len(header))], *[[first - 1]] * shared]
    prose = [1, *[len(full) - 1] * tested]
    return Table("Rows", full, lines, left=2, right=int(tested), spare=spare, prose=prose)
