"""The sections of a study's report, one file each, in the order of the page.

A section is a function of the analysis that returns a `Section`, or None where it does not apply.
"""

from collections.abc import Callable

from study.reporting.section import Section
from study.reporting.sections.against_baseline import against_baseline
from study.reporting.sections.answer import header
from study.reporting.sections.by_parameter import by_parameter
from study.reporting.sections.confirmation import confirmation
from study.reporting.sections.cost import cost
from study.reporting.sections.errors_by_tag import errors_by_tag
from study.reporting.sections.factorial import factorial
from study.reporting.sections.further_metrics import further
from study.reporting.sections.known_labels import known_labels
from study.reporting.sections.paper_tables import cross_validation, evaluation
from study.reporting.sections.partitions import partitions
from study.reporting.sections.repeat_it import repeat_it
from study.reporting.sections.resolution import resolution
from study.reporting.sections.search import search
from study.reporting.sections.tags_against_baseline import tags_against_baseline
from study.reporting.sections.three_answers import three_answers
from study.reporting.sections.training_curves import training
from study.reporting.sections.trust import trust
from study.stats.analysis import Analysis

SECTIONS: tuple[Callable[[Analysis], Section | None], ...] = (
    header,
    confirmation,
    cross_validation,
    evaluation,
    partitions,
    against_baseline,
    three_answers,
    resolution,
    tags_against_baseline,
    factorial,
    by_parameter,
    search,
    training,
    errors_by_tag,
    further,
    known_labels,
    cost,
    trust,
    repeat_it,
)
