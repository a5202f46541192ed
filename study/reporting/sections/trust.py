"""How far the figures can be trusted: the protocol, selection, seeds, and the biases that could be estimated."""

from study.format import seeds_in_words
from study.ledger.ledger import Ledger
from study.ledger.provenance import provenance_changes
from study.reporting.section import Section, body, render_lines
from study.stats.analysis import Analysis


def trust(analysis: Analysis, ledger: Ledger) -> Section:
    """A line per limit."""
    lines = trust_lines(analysis)
    markdown = "\n".join(f"- {line}" for line in [*analysis.missing, *lines])
    return Section("How far to trust this", body(lines=lines), markdown=markdown)


def trust_lines(analysis: Analysis) -> list[str]:
    """What limits the figures."""
    baseline, moved = analysis.baseline, analysis.seed_sd_of_difference
    gaps = [abs(row.mean - baseline.mean) for row in analysis.others] if baseline else []
    return render_lines(
        "sections/trust.txt",
        analysis=analysis,
        study=analysis.study,
        folds=len(analysis.study.folds),
        evaluated=any(row.result.evaluation for row in analysis.rows),
        changes=provenance_changes(analysis.study),
        seeds=seeds_in_words(analysis.study.seeds),
        moved=moved,
        small=sum(gap < moved for gap in gaps) if moved is not None else 0,
    )
