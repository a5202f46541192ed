"""The command line of a corpus: `python -m audiotag.corpus new|folds|check PATH`, `... get NAME`."""

import argparse
import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from audiotag.audio.find import find_others
from audiotag.cli import (
    FINISHED,
    MISTAKE,
    TAG_SEPARATOR_HELP,
    Parser,
    fail,
    make_console,
    natural_width,
    parse_nonnegative,
    parse_positive,
    parse_separator,
    parse_text,
    progress_bar,
    run_command,
)
from audiotag.corpus.corpus import Corpus, read_tables
from audiotag.corpus.errors import CorpusError, count, list_first, name_first
from audiotag.corpus.get import get, list_published, published_layouts
from audiotag.corpus.labels import count_known, have_unknown
from audiotag.corpus.layouts.folder import TABLE
from audiotag.corpus.new_table import new_corpus
from audiotag.corpus.propose_folds import propose_folds
from audiotag.corpus.tables import EVALUATION, FIXED_SPLIT, NO_FOLD
from audiotag.corpus.validate import Validation, validate
from audiotag.corpus.write_table import write_table

NEW = {
    "python -m audiotag.corpus new mine": "a first table of the recordings in mine/",
    "python -m audiotag.corpus new mine --pattern '{tag}-{group}-*'": "the same, by the names of files",
}
FOLDS = {"python -m audiotag.corpus folds mine --folds 4": "propose four balanced folds"}
CHECK = {"python -m audiotag.corpus check mine": "every mistake at once"}
GET = {"python -m audiotag.corpus get esc50": "into data/esc50"}
GET_FROM = {"python -m audiotag.corpus get fsd50k big/disk --from zips/": "elsewhere, from files on this machine"}


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the options."""
    parser = Parser(
        prog="python -m audiotag.corpus",
        description="Look at a corpus before training on it.",
        examples=NEW | FOLDS | CHECK | GET,
    )
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    check = commands.add_parser(
        "check", help="clips, tags, folds, errors and warnings; exit code 2 on errors", examples=CHECK
    )
    folds = commands.add_parser("folds", help="propose folds, written to a new table", examples=FOLDS)
    new = commands.add_parser("new", help="write a first clips.csv for a folder of recordings", examples=NEW)
    for command in (check, folds, new):
        command.add_argument("path", type=parse_text, metavar="PATH", help="the corpus's folder")
        command.add_argument("--tag-separator", type=parse_separator, metavar="TEXT", help=TAG_SEPARATOR_HELP)
    new.add_argument("--pattern", type=parse_text, metavar="TEXT", help="of file names, such as '{tag}-{group}-*'")
    longest = "keep clips up to this length, as study/run.py does (default: one length, at most 10 s)"
    check.add_argument("--clip-seconds", type=parse_positive(float), metavar="S", help=longest)
    number = parse_positive(int)
    new.add_argument("--folds", type=number, metavar="N", help="propose so many folds, too (default: none)")
    folds.add_argument("--folds", type=number, default=5, metavar="N", help="how many (default 5)")
    for command in (folds, new):
        of = "of the choice of folds (default 0)"
        command.add_argument("--seed", type=parse_nonnegative(int), default=0, metavar="N", help=of)
    folds.add_argument("--output", type=parse_text, metavar="FILE", help="default: PATH/clips_with_folds.csv")
    _add_get(commands)
    return parser.parse_args(words)


def _add_get(commands: Any) -> None:
    parser = commands.add_parser(
        "get", help="download a published data set, or list those there are", examples=GET | GET_FROM
    )
    names = tuple(published_layouts())
    parser.add_argument("name", nargs="?", metavar="NAME", choices=names, help="default: list them")
    parser.add_argument("path", nargs="?", type=parse_text, metavar="PATH", help="default data/NAME")
    where = "where its files are: another address, a folder, or the only file (default: as published)"
    parser.add_argument("--from", dest="source", type=parse_text, metavar="ADDRESS|FOLDER|ARCHIVE", help=where)
    parser.add_argument("--keep", action="store_true", help="keep what was downloaded beside the folder")


def main(words: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(lambda: run(words))


def run(words: list[str] | None) -> int:
    """Run the command that is asked for."""
    arguments = parse(words)
    try:
        commands = {"check": check, "folds": fold, "new": new, "get": download}
        return commands[arguments.command](arguments, make_console())
    except CorpusError as error:
        fail(str(error), error.problems if len(error.problems) > 1 else ())


def check(arguments: argparse.Namespace, console: Console) -> int:
    """Print clips, tags, folds, errors and warnings of a corpus."""
    with progress_bar(console) as bar:
        task = bar.add_task("reading audio", total=None)
        found = validate(
            arguments.path,
            lambda done, total: bar.update(task, completed=done, total=total),
            arguments.tag_separator,
            arguments.clip_seconds,
        )
    for line in describe(found):
        console.print(line, soft_wrap=True)
    if found.usable.tags:
        console.print(tag_table(found.usable, console))
    said = (("note", found.usable.notes, ""), ("error", found.errors, "red"), ("warning", found.warnings, "yellow"))
    for kind, lines, style in said:
        for line in lines:
            console.print(f"{kind}: {line}", style=style, soft_wrap=True)
    console.print(f"{count(len(found.errors), 'error')}, {count(len(found.warnings), 'warning')}")
    return MISTAKE if found.errors else FINISHED


def describe(found: Validation) -> Iterator[str]:
    """Describe a corpus in a few lines."""
    corpus, infos, clips = found.usable, found.examination.infos, len(found.examination.audio)
    yield f"Corpus  {corpus.name} ({corpus.kind.replace('_', '-')}) in {corpus.root}"
    evaluation = f", {len(corpus.evaluation)} for evaluation" if len(corpus.evaluation) else ""
    bad = clips - len(infos)
    divided = f"{len(corpus.development)} in {len(corpus.fold_numbers)} folds"
    if corpus.has_fixed_split:
        divided = ", ".join(f"{size} {name}" for name, size in corpus.split_sizes.items())
    yield (
        f"Clips   {clips}{f', {bad} of them unusable' if bad else ''}: {divided}{evaluation}; "
        f"{len(np.unique(corpus.groups))} groups"
    )
    if not infos:
        return
    seconds = [info.seconds for info in infos]
    yield (
        f"Audio   {sum(seconds) / 60:.1f} min, {min(seconds):.2f} to {max(seconds):.2f} s per clip; "
        f"each is cut or padded to {corpus.clip_seconds:.2f} s"
    )
    for name, values in (
        ("Rates", Counter(f"{info.sample_rate} Hz" for info in infos)),
        ("Kinds", Counter(f"{info.kind}, {_channels(info.channels)}" for info in infos)),
    ):
        yield f"{name}   {'; '.join(f'{value} ({number})' for value, number in values.most_common())}"
    present = corpus.targets > 0
    silent = int((~present.any(axis=1)).sum())
    per_clip = present.sum() / len(corpus.clips)
    yield f"Tags    {len(corpus.tags)}, {per_clip:.2f} per clip; {silent} clips have none"
    if have_unknown(corpus.targets):
        known = count_known(corpus.targets)
        share = known.sum() / corpus.targets.size
        least = corpus.tags[int(known.argmin())]
        yield (
            f"Labels  {100 * share:.1f} % known, per tag in {known.min()} (`{least}`) to {known.max()} clips; the rest "
            "takes no part in training and scoring"
        )


def _channels(number: int) -> str:
    return {1: "mono", 2: "stereo"}.get(number, f"{number} channels")


def tag_table(corpus: Corpus, console: Console) -> Table:
    """Count the clips with each tag in each fold; where the terminal is too narrow, over all folds alone."""
    names = {NO_FOLD: "no fold", EVALUATION: "evaluation"}
    folds = [fold for fold in np.unique(corpus.folds).tolist() if fold >= 0]
    parts = {f"fold {fold}": corpus.folds == fold for fold in folds}
    if corpus.has_fixed_split:
        parts = {name: corpus.folds == FIXED_SPLIT[name] for name in corpus.split_sizes}
    parts |= {name: corpus.folds == fold for fold, name in names.items() if (corpus.folds == fold).any()}
    for between, gap in ((" ", 2), ("\n", 2), ("\n", 1)):
        columns = {name.replace(" ", between): part for name, part in parts.items()}
        table = _tag_table(corpus, columns, gap)
        if natural_width(table, console) <= console.width:
            return table
    table = _tag_table(corpus, {}, gap=2)
    table.caption = f"{len(parts)} folds do not fit: see them in a wider terminal, or in a file"
    return table


def _tag_table(corpus: Corpus, parts: dict[str, np.ndarray], gap: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, gap - 1, 0, 0))
    table.add_column("tag", overflow="fold")
    columns = [*parts.values(), np.ones(len(corpus.clips), dtype=bool)]
    known = [str(number) for number in count_known(corpus.targets)] if have_unknown(corpus.targets) else None
    for name in (*parts, "all", *["known"] * (known is not None)):
        table.add_column(name, justify="right", no_wrap=True)
    for place, (tag, has) in enumerate(zip(corpus.tags, corpus.targets.T > 0, strict=True)):
        table.add_row(tag, *(str(int(has[part].sum())) for part in columns), *[known[place]] if known else [])
    table.add_row("(clips)", *(str(int(part.sum())) for part in columns))
    return table


def fold(arguments: argparse.Namespace, console: Console) -> int:
    """Write a table with proposed folds and print their balance."""
    corpus, problems = read_tables(arguments.path, arguments.tag_separator)
    if problems:
        fail(f"The table of `{corpus.root}` has mistakes: correct them first.", problems)
    if corpus.layout.fixed_folds:
        fail(f"The corpus `{corpus.root}` has the official folds of its layout ({corpus.kind.replace('_', '-')}).")
    if corpus.has_fixed_split:
        fail(f"The corpus `{corpus.root}` has one fixed split: take the column `split` out of its table first.")
    output = Path(arguments.output) if arguments.output else corpus.root / "clips_with_folds.csv"
    proposed = with_folds(corpus, arguments.folds, arguments.seed)
    write_table(proposed, output, "name another with --output")
    for line in corpus.notes:
        console.print(f"note: {line}", soft_wrap=True)
    show_folds(proposed, console)
    console.print(f"Written to {output}", soft_wrap=True)
    words = shlex.join(["mv", str(output), str(corpus.root / "clips.csv")])
    console.print(f"To use these folds: {words}", soft_wrap=True)
    return FINISHED


def with_folds(corpus: Corpus, folds: int, seed: int) -> Corpus:
    """Propose folds for a corpus that can be divided."""
    if folds < 2:
        fail(f"--folds is {folds}, but must be at least 2.")
    if not len(corpus.development) or not corpus.tags:
        fail(f"The corpus `{corpus.root}` has no development clips or no tags: there is nothing to divide.")
    return replace(corpus, folds=propose_folds(corpus, folds, seed))


def show_folds(corpus: Corpus, console: Console) -> None:
    """Print the balance of proposed folds, and what spoils them."""
    console.print(tag_table(corpus, console))
    warnings = []
    if len(np.unique(corpus.groups)) == len(corpus.clips):
        warnings.append(
            "each clip is a group of its own; name in a column `group` what clips were cut from, so that "
            "pieces of one recording stay in one fold"
        )
    warnings += [f"tag `{tag}` has one class only in fold {number}" for tag, number in corpus.unscored_cells()]
    for line in warnings:
        console.print(f"warning: {line}", style="yellow", soft_wrap=True)


def new(arguments: argparse.Namespace, console: Console) -> int:
    """Write a first table for a folder of recordings."""
    corpus = new_corpus(Path(arguments.path), arguments.pattern, arguments.tag_separator)
    if arguments.folds is not None:
        corpus = with_folds(corpus, arguments.folds, arguments.seed)
    output = corpus.root / TABLE
    write_table(corpus, output, "make the folder writable")
    if corpus.fold_numbers:
        show_folds(corpus, console)
    if others := [path for path in find_others(corpus.root) if path != output]:
        names = name_first(str(path.relative_to(corpus.root)) for path in others)
        console.print(f"note: {count(len(others), 'file')} of unknown suffix left out: {names}", soft_wrap=True)
    tags = f"{count(len(corpus.tags), 'tag')}: {list_first(corpus.tags)}" if corpus.tags else "no tags yet"
    console.print(f"Written to {output}: {count(len(corpus.clips), 'recording')}, {tags}", soft_wrap=True)
    if not corpus.tags:
        what = "write the tags of each clip, separated by `;`, and into `group` what it was cut from"
        console.print(f"Next: {what}", soft_wrap=True)
    command = "check" if corpus.fold_numbers else "folds"
    console.print(f"Then: {shlex.join(['python', '-m', 'audiotag.corpus', command, arguments.path])}", soft_wrap=True)
    return FINISHED


def download(arguments: argparse.Namespace, console: Console) -> int:
    """Download a published data set, or list those that can be downloaded."""
    if arguments.name is None:
        return list_published(console)
    return get(arguments.name, arguments.path, arguments.source, arguments.keep, console)


if __name__ == "__main__":
    sys.exit(main())
