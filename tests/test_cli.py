"""The parser of all commands: mistyped options, and examples in the help."""

import os
import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from audiotag.chime_home import __main__ as chime_home
from audiotag.cli import Parser
from audiotag.corpus import __main__ as corpus
from study import confirm, listen, report, run, tag

PARSERS: list[tuple[str, Callable[[list[str]], Any], list[str]]] = [
    ("study/run.py", run.parse, []),
    ("study/report.py", report.parse, []),
    ("study/confirm.py", confirm.parse, []),
    ("study/listen.py", listen.parse, []),
    ("study/tag.py", tag.parse, []),
    *(("-m audiotag.corpus", corpus.parse, words) for words in ([], ["check"], ["folds"], ["new"], ["get"])),
    ("-m audiotag.chime_home", chime_home.parse, []),
]


METRICS = "is not allowed: it must be eer, ap or auroc"


def mistake(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    parser = Parser(prog="p")
    commands = parser.add_subparsers(dest="command", parser_class=Parser)
    show = commands.add_parser("show")
    show.add_argument("path", nargs="+")
    show.add_argument("--studies", "-s")
    show.add_argument("--space", type=int)
    show.add_argument("--metric", choices=("eer", "ap", "auroc"))
    with pytest.raises(SystemExit) as end:
        parser.parse_args(words)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("error: ").removesuffix(" (--help shows all options)")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--stduies", "x", "a"], "there is no option --stduies: did you mean --studies?"),
        (["a", "--spaced=3"], "there is no option --spaced: did you mean --space?"),
        (["--studis"], "there is no option --studis: did you mean --studies?"),  # before the path that is missing
        (["a", "--qqq"], "there is no option --qqq"),
        (["a", "--space", "x"], "argument --space: invalid int value: 'x'"),
        (["a", "--s=x"], "ambiguous option: --s=x could match --studies, --space"),
        (["a", "--metric", "err"], f"argument --metric: 'err' {METRICS}; did you mean eer?"),
        (["a", "--metric", "AP"], f"argument --metric: 'AP' {METRICS}; did you mean ap?"),
        (["a", "--metric", "loss"], f"argument --metric: 'loss' {METRICS}"),
        ([], "the following arguments are required: path"),
    ],
)
def test_a_mistyped_option(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert mistake(["show", *words], capsys) == line


def test_a_mistyped_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert corpus.parse(["check", "folds"]).command == "check"
    with pytest.raises(SystemExit):
        corpus.parse(["chekc", "x"])
    assert "'chekc' is not allowed: it must be check, folds, new or get; did you mean check?" in capsys.readouterr().err


def test_an_option_may_be_cut_off_and_words_behind_two_dashes_are_none() -> None:
    parser = Parser(prog="p")
    parser.add_argument("--studies")
    parser.add_argument("paths", nargs="*")
    found = parser.parse_args(["--stud", "x", "--", "--stduies"])
    assert (found.studies, found.paths) == ("x", ["--stduies"])


@pytest.mark.parametrize("columns", ["80", "200"])
@pytest.mark.parametrize(
    ("command", "parse", "words"),
    PARSERS,
    ids=lambda value: value if isinstance(value, str) else " ".join(value) if isinstance(value, list) else "",
)
def test_the_examples_of_each_command_can_be_parsed_and_fit(
    command: str,
    parse: Callable[[list[str]], Any],
    words: list[str],
    columns: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(os.environ, "COLUMNS", columns)
    with pytest.raises(SystemExit):
        parse([*words, "--help"])
    lines = capsys.readouterr().out.partition("\nexamples:\n")[2].splitlines()
    assert max(map(len, lines)) < int(columns)
    shown = [line for line in lines if line.lstrip().startswith("python ")]
    assert shown
    for line in shown:
        first, *rest = shlex.split(re.split(" {2,}", line.strip())[0])
        assert (first, " ".join(rest[: command.count(" ") + 1])) == ("python", command)
        parse(rest[command.count(" ") + 1 :])
