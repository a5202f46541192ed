"""Published data sets onto the disk, each in the layout in which it is read."""

import shlex
import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import DownloadColumn, TransferSpeedColumn
from rich.table import Table

from audiotag.cli import FINISHED, INTERRUPTED, fail, progress_bar
from audiotag.corpus.corpus import Corpus, to_corpus
from audiotag.corpus.errors import CorpusError, count
from audiotag.corpus.layouts import LAYOUTS
from audiotag.corpus.layouts.layout import Layout
from audiotag.downloads.install import Check, install
from audiotag.downloads.published import Published
from audiotag.downloads.transfer import FetchError, Report
from audiotag.files import size_of

STEP = 5  # percent, from one line of a log file to the next
UNKNOWN = "unknown"


def published_layouts() -> dict[str, Published]:
    """The data sets that can be downloaded, by the names of their layouts."""
    return {name: layout.published for name, layout in LAYOUTS.items() if layout.published is not None}


def list_published(console: Console) -> int:
    """Print the data sets that can be downloaded."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("NAME", no_wrap=True)
    for column in ("download", "on disk"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("data set", no_wrap=True)
    table.add_column("licence")
    for name, published in published_layouts().items():
        sizes = in_gigabytes(published.size), in_gigabytes(published.unpacked)
        table.add_row(name, *sizes, published.title, published.licence)
    console.print(table)
    console.print("Download one: python -m audiotag.corpus get NAME [PATH]", soft_wrap=True)
    return FINISHED


def in_gigabytes(size: int | None) -> str:
    """Write a size in bytes."""
    return UNKNOWN if size is None else f"{size / 1e9:.1f} GB"


def get(name: str, path: str | None, source: str | None, keep: bool, console: Console) -> int:
    """Download a data set by the name of its layout."""
    folder = Path(path or f"data/{name}")
    code = fetch(name, published_layouts()[name], folder, source, keep, console)
    if code == FINISHED:
        words = ["python", "study/run.py", "--space", "augmentation", "--corpus", str(folder)]
        console.print(f"Then: {shlex.join(words)}", soft_wrap=True)
    return code


def fetch(name: str, published: Published, target: Path, source: str | None, keep: bool, console: Console) -> int:
    """Tell a data set's licence and size, bring it to a folder, and return the exit code."""
    for line in _describe(published, target, source):
        console.print(line)
    try:
        with progress_bar(console, DownloadColumn(), TransferSpeedColumn()) as bar:
            task, say = bar.add_task(""), _lines(console)

            def report(step: str, done: int, total: int | None) -> None:
                bar.update(task, description=step, completed=done, total=total)
                say(step, done, total)

            check = published.problems or _layout_check(LAYOUTS[name])
            installed = install(target, published, check, source=source, keep=keep, report=report)
    except FetchError as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("Interrupted. Run the same command again: it goes on from there.", file=sys.stderr)
        return INTERRUPTED
    corpus = to_corpus(LAYOUTS[name], LAYOUTS[name].read(target))
    state = "complete" if installed else "complete already"
    console.print(f"{published.title} is {state} in {target}: {_parts_of(corpus)}.", soft_wrap=True)
    return FINISHED


def _describe(published: Published, target: Path, source: str | None) -> list[str]:
    """What a user is told before a download begins."""
    unpacked = "" if published.unpacked is None else f", {in_gigabytes(published.unpacked)} when unpacked"
    return [
        f"Corpus   {published.title} ({published.authors}), {published.page}",
        f"Licence  {published.licence}",
        f"From     {source or _folder_of(published)}, {count(len(published.files), 'file')}, "
        f"{'size unknown' if published.size is None else in_gigabytes(published.size)}",
        f"Into     {target}{unpacked}",
    ]


def _folder_of(published: Published) -> str:
    """The address of the only file, or that of the folder of several ones."""
    first = published.files[0].address
    return first if len(published.files) == 1 else first.rpartition("/")[0] + "/"


def _layout_check(layout: Layout) -> Check:
    """Make the check that all tables can be read and every recording that they name is there."""

    def check(folder: Path) -> list[str]:
        if not layout.detect(folder):
            return [f"`{folder}` has no {layout.files}"]
        try:
            listing = layout.read(folder)
        except CorpusError as error:
            return list(error.problems)
        absent = [row.path for row in listing.rows if not size_of(row.path)]
        return [*listing.problems, *(f"`{path}` is missing or empty" for path in absent)]

    return check


def _parts_of(corpus: Corpus) -> str:
    if corpus.has_fixed_split:
        return ", ".join(f"{size} {part}" for part, size in corpus.split_sizes.items()) + " clips"
    evaluation = f", {len(corpus.evaluation)} for evaluation" if len(corpus.evaluation) else ""
    return f"{len(corpus.development)} clips in {len(corpus.fold_numbers)} folds{evaluation}"


def _lines(console: Console) -> Report:
    """Make a report that prints a line every few percent where there is no terminal for a bar."""
    said: set[tuple[str, int]] = set()

    def say(step: str, done: int, total: int | None) -> None:
        mark = step, 100 * done // total // STEP if total else done // (200 << 20)
        if not console.is_terminal and mark not in said:
            said.add(mark)
            of = f" of {total / 1e6:.0f}" if total else ""
            console.print(f"{done / 1e6:.0f}{of} MB {step}", soft_wrap=True)

    return say
