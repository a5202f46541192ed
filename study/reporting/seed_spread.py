"""What the seeds of a study with repeats say: how far a figure moves from seed to seed, as a number and in words."""

import math
from statistics import fmean

from study.format import decimal
from study.ledger.results import has_repeats
from study.ledger.seeds import seeds_in_words
from study.stats.analysis import Findings, Row
from study.stats.significance import LEVEL


def spread(findings: Findings) -> float | None:
    """Standard deviation from seed to seed of a row's mean EER: that of all rows together (root mean square).

    None without repeats. Few seeds give each row's own one but roughly; the rows together give it better.
    """
    if not has_repeats(findings.results):
        return None
    found = [row.result.get("eer_sd_seeds") for row in findings.rows]
    defined = [deviation for deviation in found if deviation is not None]
    return math.sqrt(fmean(deviation**2 for deviation in defined)) if defined else None


def difference_spread(findings: Findings) -> float | None:
    """Standard deviation of the difference between two rows' means over R seeds, had these been other seeds.

    sqrt(2 / R) times the spread of one seed's mean. Sharing seeds may make the rows move together, and less of it.
    """
    moved = spread(findings)
    return None if moved is None else moved * math.sqrt(2 / findings.results["repeats"])


def lower_with(row: Row, baseline: Row) -> int:
    """With how many seeds a row's mean EER is below that of the baseline with the same seed."""
    pairs = zip(row.result["repeats"], baseline.result["repeats"], strict=True)
    return sum(own["eer_mean"] < other["eer_mean"] for own, other in pairs)


def caution(findings: Findings) -> str:
    """Follows an answer that calls a row better, where its lead is no larger than what seeds do."""
    moved, baseline = difference_spread(findings), findings.baseline
    if moved is None or baseline is None:
        return ""
    better = [row for row in findings.others if row.adjusted is not None and row.adjusted < LEVEL]
    leads = [baseline.mean - row.mean for row in better if row.mean < baseline.mean]
    if not leads or max(leads) > moved:
        return ""
    return f" But other seeds would move it as far (standard deviation {decimal(moved)}): that is no evidence yet."


def trust_in_seeds(findings: Findings) -> list[str]:
    """What the spread over seeds means for the differences; nothing without repeats."""
    alone, moved = spread(findings), difference_spread(findings)
    if alone is None or moved is None:
        return []
    seeds = findings.results["repeats"]
    said = (
        f"Each fold was trained with {seeds} seeds ({seeds_in_words(findings.study).partition(' ')[2]}); figures are "
        f"means over them. From seed to seed the mean EER of a row has a standard deviation of {decimal(alone)}, taken "
        "over all rows (SD seeds is each row's own, and rough); with other seeds a difference between two rows would "
        f"move by about {decimal(moved)}. Smaller differences are no evidence, whatever their p"
    )
    if findings.baseline is not None and findings.others:
        gaps = [abs(row.mean - findings.baseline.mean) for row in findings.others]
        said += f"; {_smaller(sum(gap < moved for gap in gaps), len(gaps))}"
    return [
        f"{said}.",
        "All trials share folds and, seed by seed, initial weights and batch order, so their differences are paired. "
        "The tests count folds, not trainings: more seeds make them steadier, never surer by their number.",
    ]


def _smaller(small: int, gaps: int) -> str:
    """How many of the differences from the baseline are smaller than what seeds do."""
    if gaps == 1:
        return f"the one from the baseline is {'' if small else 'not '}smaller"
    return f"of the {gaps} from the baseline {small or 'none'} {'are' if small > 1 else 'is'} smaller"
