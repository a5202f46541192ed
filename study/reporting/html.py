"""The report as one HTML page that needs nothing else: no network, no fonts, no scripts."""

from pathlib import Path
from typing import Any

from study.format import decimal, signed
from study.ledger.clips import read_clips
from study.ledger.ledger import Ledger
from study.ledger.results import CROSS_VALIDATION, EVALUATION, has_evaluation, has_repeats
from study.reporting.figures import by_parameter, differences, errors_by_tag, training
from study.reporting.prose import (
    answer,
    capitalised,
    cost,
    facts,
    notes,
    origin,
    partial,
    published_note,
    seeds_lower,
    table_note,
    test_note,
    trust,
)
from study.reporting.search_figures import at_edge, importance, optimisation_history, parallel_coordinates
from study.reporting.style import Panel, style
from study.reporting.tables import SD_SEEDS, TITLES
from study.stats.analysis import Findings

SECTIONS = ("differences", "parameters", "search", "training", "errors")  # with figures
TEMPLATES = Path(__file__).parent / "templates"
PARAMETERS_NOTE = "Each point is a fold, each bar or large mark a trial's mean over its folds."
SEARCH_NOTE = (
    "Trials in the order of their numbers; importance by PED-ANOVA over all finished trials "
    "(which parameter tells the good ones from the rest, not by how much); in colour, the best tenth."
)
TRAINING_NOTE = (
    "Means over the folds, as long as more than half of them still train. Training figures are of mixed samples with "
    "dropout, so they may lie above those of validation."
)
ERRORS_NOTE = (
    "Misses against false alarms of the best row and the baseline, on the axes of a DET plot, means over the folds; "
    "where a curve meets the dotted line lies its equal error rate, up to averaging. The EERs are those of the table."
)
EVALUATION_NOTE = (
    "Clips that no fold trained on, scored by the mean probability of the fold models; nothing is selected on them. "
    "In bold, the row that cross-validation chose. Intervals as above."
)

SEEDS_NOTE = " Each fold was trained with several seeds; {} their means."  # after the notes above

Figures = dict[str, list[Panel]]


def draw(findings: Findings, ledger: Ledger) -> Figures:
    """All figures of a study, by section; those of sections that do not apply are empty."""
    figures: Figures = {section: [] for section in SECTIONS}
    if not findings.rows:
        return figures
    clips = None if findings.missing else read_clips(ledger.root)
    with style():
        figures["differences"] = differences(findings)
        figures["parameters"] = by_parameter(findings)
        figures["training"] = training(findings, ledger)
        if clips is not None:
            figures["errors"] = errors_by_tag(findings, ledger, clips)
        if findings.study.get("sampler", "exhaustive") != "exhaustive":
            drawn = (optimisation_history(findings), importance(findings), parallel_coordinates(findings))
            figures["search"] = [panel for panels in drawn for panel in panels]
    return figures


def study_page(findings: Findings, figures: Figures) -> str:
    """report.html of a study."""
    question, _, background = findings.study["question"].partition("\n")
    repeated = has_repeats(findings.results)
    comparisons = [row for row in findings.shown if row is not findings.baseline] if findings.baseline else []
    return render(
        "study.html",
        title=f"{findings.study['study']}: {question}",
        question=question,
        background=" ".join(background.split()),
        f=findings,
        study=findings.study,
        figures=figures,
        answer=capitalised(answer(findings)),
        partial=partial(findings),
        notes=notes(findings),
        facts=facts(findings),
        tables=tables(findings),
        published_note=published_note(findings),
        comparisons=comparisons,
        test_note=test_note(findings),
        lower_with=(lambda row: seeds_lower(row, findings)) if repeated else None,
        parameters_note=PARAMETERS_NOTE + SEEDS_NOTE.format("points are") * repeated,
        edges=edges(findings),
        search_note=SEARCH_NOTE,
        training_note=TRAINING_NOTE + SEEDS_NOTE.format("curves are also") * repeated,
        errors_note=ERRORS_NOTE + SEEDS_NOTE.format("curves are also") * repeated,
        cost=cost(findings),
        trust=trust(findings),
        origin=origin(findings),
        name_of=lambda trial: trial["key"] + ": " + _params(trial, findings),
    )


def render(template: str, **content: Any) -> str:
    """A template filled in; whatever comes from users is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.globals |= {
        "css": (TEMPLATES / "style.css").read_text(encoding="utf-8"),
        "decimal": decimal,
        "signed": signed,
        "thousandths": lambda value: "" if value is None else f"{1e3 * value:.2f}",
        "percent": lambda value: "" if value is None else f"{100 * value:.0f} %",
        "two": lambda value: "" if value is None else f"{value:.2f}".removeprefix("0"),
        "p_value": lambda value: "" if value is None else "< .001" if value < 1e-3 else decimal(value),
    }
    return environment.get_template(template).render(content)


def tables(findings: Findings) -> list[dict[str, Any]]:
    """The tables in the paper's form: cross-validation, and evaluation where the corpus has such a split."""
    if not findings.rows:
        return []
    first = {
        "prefix": CROSS_VALIDATION,
        "title": TITLES[CROSS_VALIDATION],
        "intervals": "intervals",
        "best": findings.best,
        "shares": any(row.best_share is not None for row in findings.shown),
        "sd_seeds": SD_SEEDS if has_repeats(findings.results) else None,
        "caption": table_note(findings),
    }
    if not has_evaluation(findings.results):
        return [first]
    second = first | {"prefix": EVALUATION, "title": TITLES[EVALUATION], "intervals": "eval_intervals"}
    return [first, second | {"shares": False, "sd_seeds": None, "caption": EVALUATION_NOTE}]


def edges(findings: Findings) -> list[str]:
    """Whether the best row lies at the edge of what was tried."""
    best = findings.best
    if best is None or not findings.scientific or len(findings.rows) < 3:
        return []
    found = at_edge(findings, best)
    if found:
        return [f"The best trial's {line}: the best may lie beyond." for line in found]
    return ["The best trial lies at no edge of what was tried."]


def _params(trial: dict[str, Any], findings: Findings) -> str:
    return ", ".join(f"{name} {trial['params'].get(name)}" for name in findings.study["varied"])
