"""report.html and table.md: what is in them, that they need nothing else, and that drawing never costs the results."""

import re
import sys
import xml.etree.ElementTree as ET
from argparse import Namespace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study

from study import report
from study.cli import make_console
from study.ledger.ledger import Ledger
from study.report import write_results
from study.session import close

ODD = ("door/bell (far)", "<script>alert('x')</script>")
VOID = {"meta", "link", "br", "path", "use", "rect", "img"}


class Page(HTMLParser):
    """The tags of a page, its text, and whatever it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href", "xlink:href") and value]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """A sampled study with strange names, of which one trial failed and one has not begun."""
    root = tmp_path_factory.mktemp("studies") / "odd"
    configs = [{"augmentation": kind, "dropout": 0.1 + place / 100} for place, kind in enumerate(["none"] * 11)]
    ranges = {"dropout": {"low": 0.1, "high": 0.5, "log": False}}
    question = "Is <b>this</b> & that escaped?"
    ledger = make_study(
        root,
        configs,
        corpus=make_corpus(**SMALL),
        tags=ODD,
        finished=9,
        question=question,
        sampler="tpe",
        ranges=ranges,
        gains=[0.0, *[0.2] * 7, 1.0],
    )
    ledger.trial("key0009").write_failure("it broke off: <TypeError> & more")
    write_results(ledger, "interrupted")
    return ledger


def page_of(ledger: Ledger) -> Page:
    return Page((ledger.root / "report.html").read_text(encoding="utf-8"))


# reference


def test_page_is_whole_and_needs_nothing_else(odd: Ledger) -> None:
    page = page_of(odd)
    assert page.open == []
    assert "script" not in page.tags
    assert all(link.startswith(("#", "data:")) for link in page.fetched)
    text = (odd.root / "report.html").read_text(encoding="utf-8")
    style = "".join(re.findall(r"<style.*?</style>", text, flags=re.DOTALL))
    assert "@import" not in style
    assert not re.search(r"url\((?!#)", text)


def test_page_says_what_it_must(odd: Ledger) -> None:
    page = page_of(odd)
    for part in (
        "Is <b>this</b> & that escaped?",
        "Partial. 10 of 11 trials are done",
        "Equal error rate, mean over the folds",
        "door/bell (far)",
        "<script>alert('x')</script>",
        "Against the baseline",
        "By parameter",
        "The search",
        "Training",
        "Errors by tag",
        "Cost",
        "it broke off: <TypeError> & more",
        "How far to trust this",
        "an optimism of",
        "python study/run.py --space mixup_alpha --name odd",
        "0123456789abcdef",
        "torch 2.11.0",
    ):
        assert part in page.text, part


def test_figures_are_drawn_and_are_files_too(odd: Ledger) -> None:
    names = {path.stem for path in (odd.root / "figures").iterdir()}
    assert {"differences", "eer-by-dropout", "optimisation-history", "importance", "parallel-coordinates"} <= names
    assert sum(name.startswith("training-loss") for name in names) > 0
    assert sum(name.startswith("errors-") for name in names) == len(ODD)
    assert page_of(odd).tags.count("svg") == len(names)
    for path in (odd.root / "figures").iterdir():
        ET.parse(path)


def test_ids_are_there_once(odd: Ledger) -> None:
    text = (odd.root / "report.html").read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)


def test_table_has_the_findings(odd: Ledger) -> None:
    text = (odd.root / "table.md").read_text(encoding="utf-8")
    assert "## Against the baseline" in text
    assert "## How far to trust this" in text
    assert "Trial key0009 failed" in text


# property


def test_the_same_ledger_gives_the_same_bytes(odd: Ledger) -> None:
    files = [path for path in odd.root.rglob("*") if path.suffix in (".html", ".svg", ".md")]
    before = {path: path.read_bytes() for path in files}
    (odd.root / "figures" / "old.svg").write_text("<svg/>")
    write_results(odd, "interrupted", redraw=True)
    assert {path: path.read_bytes() for path in files} == before
    assert not (odd.root / "figures" / "old.svg").exists()  # of a figure that is no more


def test_a_current_report_is_left_alone(odd: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "write_report", lambda *_: pytest.fail("it was drawn again"))
    write_results(odd, "interrupted")


# degenerate


def test_a_report_that_cannot_be_drawn_costs_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL))
    monkeypatch.setattr(report, "write_report", lambda *_: 1 / 0)
    with pytest.warns(RuntimeWarning, match=r"could not be drawn \(ZeroDivisionError: division by zero\); its results"):
        results = write_results(ledger, "finished")
    assert ledger.results() == results
    assert (ledger.root / "table.md").is_file()


@pytest.mark.parametrize(("trials", "finished"), [(1, 1), (2, 0)])
def test_small_studies(trials: int, finished: int, tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:trials], corpus=make_corpus(**SMALL), finished=finished)
    write_results(ledger, "finished" if finished else "interrupted")
    page = page_of(ledger)
    assert page.open == []
    assert "Against the baseline" not in page.text


def test_an_earlier_study_without_clips(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL), with_clips=False)
    write_results(ledger, "finished")
    page = page_of(ledger)
    assert "has no clips.npz" in page.text
    assert "Errors by tag" not in page.text
    assert "Against the baseline" in page.text


def test_published_rows_stand_below_their_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL))
    results = report.study_results(ledger, "finished")
    printed = {"eer": {"c": 0.09, "m": 0.11}, "eer_mean": 0.13, "eer_var_classes": 0.00613, "footnote": "it is odd"}
    results["trials"][0]["published"] = printed
    report.write_report(ledger, results)
    assert "published .09 .11 .13* 6.13*" in page_of(ledger).text
    assert "* It is odd." in page_of(ledger).text


def test_rows_that_were_left_out_are_named(tmp_path: Path) -> None:
    left_out = [{"name": "cgrnn, imd", "params": {}}, {"name": "att_loc, imd", "params": {}}]
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL), left_out=left_out)
    write_results(ledger, "finished")
    said = "Left out, because the corpus has no stereo recordings: cgrnn, imd; att_loc, imd."
    assert said in page_of(ledger).text
    assert said in (ledger.root / "table.md").read_text(encoding="utf-8")


SYSTEMS = [
    {"model": "dae_dnn"},
    {"model": "cgrnn", "imd": True},
    {"augmentation": "mixup"},
    {"augmentation": "mixup", "alpha": 1.5},
    {"augmentation": "sample_pairing"},
    {"augmentation": "sample_pairing", "schedule": "intermittent"},
]


def test_every_system_on_the_papers_corpus(tmp_path: Path) -> None:
    ledger = make_study(
        tmp_path / "s",
        SYSTEMS,
        corpus=make_corpus(**SMALL, evaluation=3),
        kind="chime_home",
        baseline={"model": "crnn", "augmentation": "mixup", "alpha": 0.0},
    )
    write_results(ledger, "finished")
    text, page = (ledger.root / "table.md").read_text(encoding="utf-8"), page_of(ledger)
    assert text.count("*published*") == 2 * 5  # once a table
    assert "* The cells of mixup 0 give a mean of .121" in text
    assert "The baseline is crnn, mixup, alpha 0 : named by the space" in page.text
    assert page.text.count("published .17 .16 .13 7.39") == 2
    assert "crnn: max_epochs 6" in page.text
    names = {path.stem for path in (ledger.root / "figures").iterdir()}
    assert {"eer-by-model", "eer-by-augmentation", "eer-by-alpha", "eer-by-schedule"} <= names
    assert "eer-by-imd" not in names  # the one system that could do without has it


# the end of a session, and the command


def test_an_interrupted_session_ends_with_a_partial_report(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:3], corpus=make_corpus(**SMALL), finished=2)
    closed: list[str] = []
    tracker = SimpleNamespace(
        close=lambda status, timeout: closed.append((ledger.root / "report.html").read_text()[:9])
    )
    view = SimpleNamespace(close=lambda: closed.append("optuna.db"))
    arguments = Namespace(studies=tmp_path, tracking_uri=None)
    close(ledger, tracker, view, "interrupted", arguments, make_console())  # type: ignore[arg-type]
    assert closed == ["optuna.db", "<!DOCTYPE"]  # the report was there for MLflow
    assert "Partial. 2 of 3 trials are done" in page_of(ledger).text
    assert ledger.results()["status"] == "interrupted"


def command(monkeypatch: pytest.MonkeyPatch, uri: str, folder: Path, *names: str) -> int:
    words = ["study/report.py", *names, "--studies", str(folder), "--tracking-uri", uri]
    monkeypatch.setattr("sys.argv", words)
    return report.main()


def test_several_studies_are_compared(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, corpus = tmp_path / "studies", make_corpus(**SMALL)
    make_study(folder / "a", ALPHAS[:2], corpus=corpus, gains=[0.0, 1.0])
    make_study(folder / "b", ALPHAS[2:4], corpus=corpus, question="Another <one>?", prefix="other")
    assert command(monkeypatch, uri, folder, "a", "b") == 0
    out = capsys.readouterr().out
    assert "Comparison of a, b" in out
    page = Page((folder / "comparison-a+b.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert "alpha 0 (a)" in page.text
    assert "alpha 1 (b)" in page.text
    assert "the baseline of a (the row without augmentation)" in page.text
    assert "Another <one>?" in page.text
    text = (folder / "comparison-a+b.md").read_text(encoding="utf-8")
    assert sum(line.startswith(("| a |", "| b |")) for line in text.splitlines()) == 4
    assert (folder / "a" / "report.html").is_file()
    assert "statistics" in sys.modules  # the standard library's, which no file of ours may hide


def test_studies_of_different_corpora_are_not_tested(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "studies"
    make_study(folder / "a", ALPHAS[:2], corpus=make_corpus(**SMALL))
    other: dict[str, Any] = {"protocol": "nested", "seed": 3}
    make_study(folder / "b", ALPHAS[:2], corpus=make_corpus(**SMALL | {"tags": 3}), **other)
    assert command(monkeypatch, uri, folder, "a", "b") == 0
    page = Page((folder / "comparison-a+b.html").read_text(encoding="utf-8"))
    assert "The corpora differ" in page.text
    assert "The protocols differ" in page.text
    assert "The seeds differ" in page.text
    assert "All rows" not in page.text
