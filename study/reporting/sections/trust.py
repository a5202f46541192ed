"""How far the figures can be trusted: the protocol, selection, seeds, and the biases that could be estimated."""

from study.format import count, decimal, seeds_in_words, signed
from study.ledger.ledger import Ledger
from study.ledger.provenance import provenance_changes
from study.reporting.section import Section, body
from study.stats.analysis import Analysis

NESTED = "Protocol nested: the held-out folds were only scored; validation clips were taken from the training folds."
PAPER = "Protocol paper: the held-out fold also chose the epoch to stop at, so its EER is optimistic."
EVALUATED = (
    "The evaluation split took no part in training, stopping or choosing, so its figures are not optimistic, unless a "
    "row is picked by them."
)
ONE_SEED = (
    "All trials share folds, initial weights and batch order, so their differences are paired. No interval covers "
    "other seeds: run the study again with --repeats 3, or with another --seed and compare the reports."
)
SEVERAL_SEEDS = (
    "All trials share folds and, seed by seed, initial weights and batch order, so their differences are paired. The "
    "tests count folds, not trainings: more seeds make differences steadier and add no degrees of freedom."
)


def trust(analysis: Analysis, ledger: Ledger) -> Section:
    """The lines of the section."""
    lines = trust_lines(analysis)
    markdown = "\n".join(f"- {line}" for line in [*analysis.missing, *lines])
    return Section("How far to trust this", body(lines=lines), markdown=markdown)


def trust_lines(analysis: Analysis) -> list[str]:
    """What limits the figures, a line per subject."""
    folds = count(len(analysis.study.folds), "fold")
    changes = "; then ".join(provenance_changes(analysis.study))
    lines = {
        f"An EER is the mean over {folds}, each held out once; it is never pooled over them.": True,
        NESTED if analysis.study.protocol == "nested" else f"{PAPER} {_stopping(analysis)}": True,
        _selection(analysis): True,
        EVALUATED: any(row.result.evaluation for row in analysis.rows),
        f"The study went on with another program ({changes}): rounding and random numbers may differ between the "
        "parts.": changes,
        _seeds(analysis): True,
        SEVERAL_SEEDS if analysis.study.has_several_seeds else ONE_SEED: True,
    }
    return [line for line, applies in lines.items() if line and applies]


def _stopping(analysis: Analysis) -> str:
    if analysis.stopping_bias is None:
        return "By how much cannot be estimated here."
    return (
        "With each fold stopped where the other folds had their best epochs on average, the best row's mean would "
        f"change by {signed(analysis.stopping_bias)}. --protocol nested avoids it."
    )


def _selection(analysis: Analysis) -> str:
    best, bias = analysis.best, analysis.selection_bias
    if best is None or bias is None:
        return ""
    pruned = " Pruned trials were judged on these folds, too; that is not in it." if analysis.pruned else ""
    return (
        f"The best of {count(len(analysis.rows), 'trial')} was chosen on the folds that score it, so its mean of "
        f"{decimal(best.mean)} is too good. Chosen on the other folds each time and scored on the one left out, it is "
        f"{decimal(best.mean + bias)}: an optimism of {signed(bias)}.{pruned}"
    )


def _seeds(analysis: Analysis) -> str:
    alone, moved, baseline = analysis.seed_sd, analysis.seed_sd_of_difference, analysis.baseline
    if alone is None or moved is None or baseline is None:
        return ""
    small = sum(abs(row.mean - baseline.mean) < moved for row in analysis.others)
    return (
        f"Each fold was trained with {seeds_in_words(analysis.study.seeds)}; figures are means over them. From seed to "
        f"seed a row's mean EER has a standard deviation of {decimal(alone)}, taken over all rows (SD seeds is each "
        f"row's own, and rough), so with other seeds a difference between two rows would move by about "
        f"{decimal(moved)}. Smaller differences are no evidence, whatever their p: {small} of {len(analysis.others)} "
        "from the baseline."
    )
