"""The head of the report: question, answer, what a reader must know before any figure, and the study's key facts."""

from study.format import count, seeds_in_words
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
        study=analysis.study,
        question=question,
        background=" ".join(background.split()),
        done=len(analysis.results.trials) if analysis.results.status != "finished" else None,
        answer=text,
        notes=notes(analysis),
        facts=facts(analysis),
    )
    return Section("Answer", html, markdown=text, heading=False)


def notes(analysis: Analysis) -> list[str]:
    """What a reader must know before any figure."""
    failed, pruned = len(analysis.failed), len(analysis.pruned)
    said = {
        "A synthetic corpus: these figures show that the study works and say nothing about real recordings.": (
            analysis.study.corpus.kind == "synthetic"
        ),
        left_out(analysis.study): bool(analysis.study.left_out),
        f"{count(failed, 'trial')} failed: left out.": failed,
        f"{count(pruned, 'trial')} pruned after too few folds to be compared: left out of tables, statistics and "
        "figures, and listed below.": pruned,
    }
    return [text for text, applies in said.items() if applies]


def facts(analysis: Analysis) -> dict[str, str]:
    """What the figures are of."""
    study, corpus = analysis.study, analysis.study.corpus
    clips = f"{corpus.name}, {corpus.development_clips} clips in {len(study.folds)} folds"
    seeds, _, numbers = seeds_in_words(study.seeds).partition(" ")
    return {
        "corpus": clips + (f" and {corpus.evaluation_clips} for evaluation" if corpus.evaluation_clips else ""),
        "trials": f"{len(analysis.results.trials)} of {study.trials}",
        "protocol": study.protocol,
        seeds: numbers,
        "begun": study.created[:10],
    }
