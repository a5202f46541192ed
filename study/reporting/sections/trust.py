"""How far the figures can be trusted: the protocol, selection, seeds, and the biases that could be estimated."""

from study.format import seeds_in_words
from study.ledger.provenance import provenance_changes
from study.reporting.section import Section, render_lines
from study.stats.analysis import Analysis


def trust(analysis: Analysis) -> Section:
    """A line per limit."""
    baseline, moved = analysis.baseline, analysis.seed_sd_of_difference
    gaps = [abs(row.mean - baseline.mean) for row in analysis.others] if baseline else []
    lines = render_lines(
        "sections/trust.txt",
        analysis=analysis,
        study=analysis.study,
        changes=provenance_changes(analysis.study),
        seeds=seeds_in_words(analysis.study.seeds),
        moved=moved,
        small=sum(gap < moved for gap in gaps) if moved is not None else 0,
    )
    markdown = "\n".join(f"- {line}" for line in [*analysis.missing, *lines])
    return Section("How far to trust this", lines=lines, markdown=markdown)
