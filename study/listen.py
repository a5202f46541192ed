"""The command line: `python study/listen.py NAME` makes a page on which a study's mistakes are heard."""

import argparse
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from audiotag.cli import FINISHED, Parser, fail, parse_path, parse_positive, parse_text
from study.cli import TRUST_HELP, add_studies_option, run_command
from study.listening.options import CLIPS, LIMIT, Options

if TYPE_CHECKING:
    from rich.console import Console

    from audiotag.corpus.corpus import Corpus
    from study.ledger.schema import StudyRecord


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    what = "Hear what the winner of a study gets wrong: writes listen.html into the study's folder."
    examples = {
        "python study/listen.py mixup_alpha-20": "the study by the beginning of its name",
        "python study/listen.py mixup_alpha-20 --clips 8": "more clips of each tag",
    }
    parser = Parser(prog="study/listen.py", description=what, examples=examples)
    add = parser.add_argument
    add("name", type=parse_text, metavar="NAME", help="name of the study, or its beginning")
    clips = f"at most N misses and N false alarms per tag (default {CLIPS})"
    add("--clips", type=parse_positive(int), default=CLIPS, metavar="N", help=clips)
    limit = f"maximum size of the page in megabytes (default {LIMIT:g})"
    add("--limit", type=parse_positive(float), default=LIMIT, metavar="MB", help=limit)
    add("--link", action="store_true", help="link the corpus's files instead of embedding their sound")
    add("--corpus", type=parse_text, metavar="PATH", help="the study's corpus, where it has moved")
    add(
        "--cache",
        type=parse_path,
        metavar="DIR",
        help="folder of computed features (default ~/.cache/audiotag/features)",
    )
    add("--trust-code", action="store_true", help=TRUST_HELP)
    add_studies_option(parser)
    return parser.parse_args(words)


def listen(arguments: argparse.Namespace) -> int:
    """Write the page; return the exit code.

    Raises:
        ValueError: Of one of the project's own kinds, for a user's mistake.
    """
    from study.cli import make_console
    from study.ledger.own_code import require_trust
    from study.listening.question import ask
    from study.tagging.winner import find_winner

    winner = find_winner(arguments.studies, arguments.name)
    if winner.config.model in winner.config.kept_names:
        require_trust(winner.study, arguments.trust_code)
    question, console = ask(winner, arguments.clips), make_console()
    corpus = open_corpus_of(winner.study, winner.config.front_end.imd, arguments, console)

    from study.listening.study_page import write_study_page

    options = Options(arguments.clips, arguments.limit, arguments.link)
    with redirect_stdout(sys.stderr):  # what a network of the user's own may print
        path = write_study_page(question, corpus, options, console)
    console.print(f"Listen: {path}", soft_wrap=True)
    return FINISHED


def open_corpus_of(study: "StudyRecord", stereo: bool, arguments: argparse.Namespace, console: "Console") -> "Corpus":
    """Open the corpus of a study; one line and the end where it is gone, or is another one now.

    Raises:
        CorpusError: For one that cannot be used.
    """
    from study.plan.asked_corpus import SYNTHETIC
    from study.plan.plan import ChangedCorpusError, reopen_corpus
    from study.plan.request import Request

    place = Path(study.corpus.path)
    if arguments.corpus is None and place != SYNTHETIC and not place.exists():
        fail(f"The corpus of the study `{study.name}` is no longer at {place}: say where it is with --corpus PATH.")
    request = Request(corpus=arguments.corpus, cache=arguments.cache, studies=arguments.studies)
    try:
        return reopen_corpus(request, study, stereo, console)
    except ChangedCorpusError as error:
        fail(
            f"The corpus {error.root} is not as the study `{study.name}` had it: it was {error.was}, now it is "
            f"{error.now}. Bring back what has changed, or name another copy with --corpus PATH."
        )


def main() -> int:
    """Run the command line and return its exit code."""
    return run_command(lambda: listen(parse()))


if __name__ == "__main__":
    sys.exit(main())
