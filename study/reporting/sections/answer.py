"""The head of the report: question, answer, what a reader must know before any figure, and the study's key facts."""

from study.format import clips_in_words, seeds_in_words
from study.reporting.conclusion import conclude
from study.reporting.prose import left_out
from study.reporting.section import Section, render
from study.stats.analysis import Analysis


def header(analysis: Analysis) -> Section:
    """The head of the page."""
    study, found = analysis.study, conclude(analysis)
    corpus = study.corpus
    divided = clips_in_words(corpus.development_clips, len(study.folds), corpus.split)
    words = {"divided": divided, "left_out": left_out(study), "seeds": seeds_in_words(study.seeds)}
    html = render("sections/answer.html", analysis=analysis, study=study, found=found, **words)
    return Section("Answer", html, markdown=found.markdown)
