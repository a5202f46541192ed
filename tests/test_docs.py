"""The pages for users and contributors: their links lead somewhere, and no option is missing from them."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from audiotag.chime_home import __main__ as chime_home
from audiotag.config import augmentation, augmentation_names
from audiotag.corpus import __main__ as corpus
from study import confirm, listen, report, run, tag

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def anchors(page: Path) -> set[str]:
    """The names under which GitHub links the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", text):
        name, _, anchor = (link[0] or link[1]).partition("#")
        if not name.startswith("https://"):
            other = (page.parent / name) if name else page
            assert other.exists(), f"{page.name} links to {name}"
            assert not anchor or anchor in anchors(other), f"{page.name} links to {name}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_fit(page: Path) -> None:
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        assert len(line) <= (160 if line.startswith("|") else 120), f"{page.name}, line {number}"


def test_every_augmentation_is_documented_with_its_hyperparameters() -> None:
    words = set(re.findall(r"`([^`]+)`", (ROOT / "docs/augmentations.md").read_text()))
    for name in augmentation_names():
        declared = augmentation(name)
        assert {name, *declared.parameters} <= words
        assert {choice for choices in declared.choices.values() for choice in choices} <= words


OPTION = re.compile(r"--[a-z][a-z0-9-]+")
COMMANDS: list[tuple[Callable[[list[str]], object], list[str], str]] = [
    (run.parse, [], "cli.md"),
    (report.parse, [], "cli.md"),
    (confirm.parse, [], "cli.md"),
    (tag.parse, [], "tagging.md"),
    (listen.parse, [], "listening.md"),
    (corpus.parse, ["check"], "data.md"),
    (corpus.parse, ["folds"], "data.md"),
    (corpus.parse, ["new"], "data.md"),
    (corpus.parse, ["get"], "data.md"),
    (chime_home.parse, [], "data.md"),
]


def options_of(parse: Callable[[list[str]], object], words: list[str], capsys: pytest.CaptureFixture[str]) -> set[str]:
    with pytest.raises(SystemExit):
        parse([*words, "--help"])
    return set(OPTION.findall(capsys.readouterr().out))


def test_every_option_is_documented_and_every_documented_option_exists(capsys: pytest.CaptureFixture[str]) -> None:
    known = {
        "--backend-store-uri",
        "--nodes",
        "--ntasks-per-node",
        "--cpus-per-task",
        "--time",
        "--signal",
    }  # MLflow, Slurm
    known |= {
        "--generate",
        "--head",
        "--min-nodes",
        "--node-manager-port",
        "--num-cpus",
        "--object-manager-port",
    }  # Ray
    known |= {"--port", "--working-dir"}
    for parse, words, page in COMMANDS:
        options = options_of(parse, words, capsys)
        known |= options
        named = set(OPTION.findall((ROOT / "docs" / page).read_text()))
        assert not options - named - {"--help"}, page
    for page in PAGES:
        assert not set(OPTION.findall(page.read_text())) - known, page.name


def test_every_room_is_in_the_layout() -> None:
    layout = (ROOT / "README.md").read_text()
    for package in ("audiotag", "study"):
        rooms = [path.parent.name for path in (ROOT / package).glob("*/__init__.py")]
        assert len(rooms) > 5
        assert not [room for room in rooms if f"  {room}/" not in layout]
