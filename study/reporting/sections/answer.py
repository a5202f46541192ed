"""The head of the report: question, answer, what a reader must know before any figure, and the study's key facts."""

from study.format import seeds_in_words
from study.ledger.ledger import Ledger
from study.reporting.prose import answer, left_out
from study.reporting.section import Section, render
from study.stats.analysis import Analysis


def header(analysis: Analysis, ledger: Ledger) -> Section:
    """The head of the page."""
    question, _, background = analysis.study.question.partition("\n")
    text = answer(analysis)
    html = render(
        "sections/answer.html",
        analysis=analysis,
        study=analysis.study,
        question=question,
        background=" ".join(background.split()),
        answer=text,
        done=len(analysis.results.trials),
        left_out=left_out(analysis.study),
        seeds=seeds_in_words(analysis.study.seeds),
    )
    return Section("Answer", html, markdown=text, heading=False)
