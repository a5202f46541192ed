"""report.html and its figures: whole, escaped, repeatable, and never at the cost of the results."""

import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study
from helpers.pages import Page

from audiotag.metrics import METRICS, Metric
from study.cli import make_console
from study.format import decimal
from study.ledger.ledger import Ledger
from study.ledger.results import study_results
from study.ledger.schema import LeftOut, PublishedRow
from study.reporting import results_files
from study.reporting.comparison import write_comparison
from study.reporting.results_files import markdown_report, write_report, write_results
from study.reporting.terminal_table import show_results

ODD = ("door/bell (far)", "<script>alert('x')</script>")


def page_of(ledger: Ledger) -> Page:
    return Page((ledger.root / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """A sampled study with strange names, of which one trial failed and one has not begun."""
    ledger = make_study(
        tmp_path_factory.mktemp("studies") / "odd",
        [{"augmentation": ("none", "mixup")[number % 2], "dropout": 0.1 + number / 100} for number in range(11)],
        corpus=make_corpus(**SMALL),
        tags=ODD,
        finished=9,
        question="Is <b>this</b> & that escaped?",
        sampler="tpe",
        ranges={"dropout": {"low": 0.1, "high": 0.5, "log": False}},
        gains=[0.0, *[0.2] * 7, 1.0],
    )
    ledger.trial("key0009").write_failure("it broke off: <TypeError> & more")
    write_results(ledger, "interrupted")
    return ledger


# reference


def test_page_is_whole_and_needs_nothing_else(odd: Ledger) -> None:
    page = page_of(odd)
    assert page.open == []
    assert page.tags.count("script") == 1
    linked = [value for name, value in page.attributes if name in ("src", "href", "xlink:href")]
    assert all(value.startswith(("data:", "#")) for value in linked)
    found = [value for name, value in page.attributes if name == "id"]
    assert {value[1:] for value in linked if value.startswith("#")} <= set(found)
    text = (odd.root / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"@import|url\(", text.partition("</style>")[0])


def test_page_has_every_section_and_escapes_names(odd: Ledger) -> None:
    page = page_of(odd)
    for part in (
        "Is <b>this</b> & that escaped?",
        "Partial: 10 of 11 trials are done",
        *("door/bell (far)", "<script>alert('x')</script>", "it broke off: <TypeError> & more"),
        *("Equal error rate, mean over the folds", "Against the baseline", "By parameter", "The search", "Training"),
        *("Errors by tag", "Cost", "How far to trust this", "Repeat it"),
        *("python study/run.py --space mixup_alpha --name odd", "0123456789abcdef", "torch 2.11.0"),
    ):
        assert part in page.text, part


def test_figures_are_images_with_words_and_files_too(odd: Ledger) -> None:
    files = sorted((odd.root / "figures").iterdir())
    names = {path.stem for path in files}
    assert {"differences", "eer-by-dropout", "optimisation-history", "parallel-coordinates"} <= names
    assert {"training-objective", "training-loss", "training-accuracy"} <= names
    assert sum(name.startswith("errors-") for name in names) == len(ODD)
    page = page_of(odd)
    drawn = [value for name, value in page.attributes if name == "role" and value == "img"]
    assert len(drawn) == len(names)
    for path in files:
        ET.parse(path)


def test_markdown_ends_with_answer_comparisons_and_limits(odd: Ledger) -> None:
    text = (odd.root / "table.md").read_text(encoding="utf-8")
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert titles[-7:] == [
        "## Answer",
        "## Against the baseline",
        "## Better, the same or worse",
        "## What this study can see",
        "## Tag by tag against the baseline",
        "## Further metrics",
        "## How far to trust this",
    ]
    assert "(trial key0009) failed" in text


# property


def test_the_same_ledger_gives_the_same_bytes(odd: Ledger) -> None:
    files = [path for path in odd.root.rglob("*") if path.suffix in (".html", ".svg", ".md")]
    before = {path: path.read_bytes() for path in files}
    (odd.root / "figures" / "old.svg").write_text("<svg/>")
    write_results(odd, "interrupted", redraw=True)
    assert {path: path.read_bytes() for path in files} == before
    assert not (odd.root / "figures" / "old.svg").exists()  # of an earlier figure


def test_a_current_report_is_left_alone(odd: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_files, "write_report", lambda *_: pytest.fail("it was drawn again"))
    write_results(odd, "interrupted")


def test_a_further_metric_has_a_column_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peak = Metric(
        "peak", "Highest probability of a clip", lambda targets, scores: scores.max(axis=0).astype(float), False, "Peak"
    )
    monkeypatch.setitem(METRICS, "peak", peak)
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL, evaluation=2), epochs=1)
    results = write_results(ledger, "finished")
    show_results(results, make_console())
    page, text, out = page_of(ledger).text, markdown_report(results), capsys.readouterr().out
    assert re.search(r"Peak\s+best in", page)
    assert page.count("Highest probability of a clip, mean over the folds") == 1  # above its own table
    assert re.search(r"\| Eval \|.* Peak \| Time \|", text)
    assert re.search(r"\| Var \|.* Peak \|", text)  # on the evaluation split
    whole = (ledger.root / "table.md").read_text()
    for trial in results.trials:
        for figures in (trial.figures["peak"], trial.evaluation["peak"]):
            texts = [*map(decimal, (*figures.by_tag.values(), figures.mean))]
            assert " ".join(texts) in page
            assert " | ".join(texts) in whole
        assert f"| {decimal(trial.figures['peak'].mean)} |" in text
    assert "mAP" in out  # the first of them; the others are in the files
    assert "Peak" not in out


def test_a_report_cut_off_by_a_kill_is_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL))
    write_results(ledger, "interrupted")
    assert "Partial" in page_of(ledger).text
    with monkeypatch.context() as patch:
        patch.setattr(results_files, "write_report", killed)
        with pytest.raises(KeyboardInterrupt):
            write_results(ledger, "finished")
    write_results(ledger, "finished")
    assert "Partial" not in page_of(ledger).text


def killed(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_table_that_was_deleted_comes_back_whole(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL))
    write_results(ledger, "finished")
    table = ledger.root / "table.md"
    before = table.read_bytes()
    table.unlink()
    write_results(ledger, "finished")
    assert table.read_bytes() == before


# degenerate


def test_a_report_that_cannot_be_drawn_costs_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL))
    monkeypatch.setattr(results_files, "write_report", lambda *_: 1 / 0)
    with pytest.warns(RuntimeWarning, match="ZeroDivisionError"):
        results = write_results(ledger, "finished")
    assert ledger.read_results() == results.to_json()
    assert (ledger.root / "table.md").is_file()


@pytest.mark.parametrize(("configs", "finished"), [(ALPHAS[:1], 1), (ALPHAS[:2], 0), ([{}], 1)])
def test_small_studies(configs: list[dict[str, Any]], finished: int, tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", configs, corpus=make_corpus(**SMALL), finished=finished)
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


def test_published_rows_and_trials_left_out(tmp_path: Path) -> None:
    rows = [{"name": "cgrnn, imd", "params": {}}]
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL), left_out=rows)
    assert ledger.study.left_out == (LeftOut("cgrnn, imd", {}),)
    results = study_results(ledger, "finished")
    printed = PublishedRow({"c": 0.09, "m": 0.11}, 0.13, 0.00613, "it is odd")
    first, *others = results.trials
    write_report(ledger, replace(results, trials=(replace(first, published=printed), *others)))
    page, text = page_of(ledger).text, (ledger.root / "table.md").read_text(encoding="utf-8")
    assert "published .09 .11 .13* 6.13*" in page
    for part in ("* It is odd.", "has two channels: cgrnn, imd."):
        assert part in page
        assert part in text


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
    assert text.count("*published*") == 2 * 5  # once per table
    assert "Baseline: crnn, mixup, alpha 0 (named by the space)" in page.text
    assert page.text.count("published .17 .16 .13 7.39") == 2
    names = {path.stem for path in (ledger.root / "figures").iterdir()}
    assert {"eer-by-model", "eer-by-augmentation", "eer-by-alpha", "eer-by-schedule"} <= names
    assert "eer-by-imd" not in names  # the one system that could do without has it


def test_what_all_rows_share_stands_above_the_tables_of_a_page(odd: Ledger, tmp_path: Path) -> None:
    made = make_study(tmp_path / "s", ALPHAS[:3], corpus=make_corpus(**SMALL))
    write_results(made, "finished")
    page = page_of(made)
    assert "Mixup in every row." in page.text
    assert "in every row" not in page_of(odd).text
    assert "| augmentation | alpha |" in (made.root / "table.md").read_text(encoding="utf-8")


SEEDS = ("SD seeds", "better with", "3 of 3 seeds", "seeds 0 to 2")


def test_a_study_with_repeats_shows_its_seeds(odd: Ledger, tmp_path: Path) -> None:
    corpus = make_corpus(groups=30, clips=8, tags=2, folds=3)
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=corpus, gains=[0.0, 1.5], repeats=3)
    write_results(ledger, "finished")
    for study, repeated in ((odd, False), (ledger, True)):
        shown = page_of(study).text + (study.root / "table.md").read_text(encoding="utf-8")
        assert [part in shown for part in SEEDS] == [repeated] * len(SEEDS)


# several studies


def test_several_studies_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = make_corpus(**SMALL)
    studies = [
        make_study(tmp_path / "a", ALPHAS[:2], corpus=corpus, gains=[0.0, 1.0]),
        make_study(tmp_path / "b", ALPHAS[2:4], corpus=corpus, question="Another <one>?", prefix="other"),
    ]
    path = write_comparison(studies, tmp_path, make_console())
    assert path.name == "comparison-a+b.html"
    assert "Comparison of a, b" in capsys.readouterr().out
    page = Page(path.read_text(encoding="utf-8"))
    assert page.open == []
    for part in ("alpha 0 (a)", "alpha 1 (b)", "the baseline of a (the row without augmentation)", "Another <one>?"):
        assert part in page.text
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    assert sum(line.startswith(("| a |", "| b |")) for line in text.splitlines()) == 4
    assert "statistics" in sys.modules  # the standard library's, which no file of ours may hide


def test_studies_of_different_corpora_are_not_tested(tmp_path: Path) -> None:
    studies = [
        make_study(tmp_path / "a", ALPHAS[:2], corpus=make_corpus(**SMALL)),
        make_study(tmp_path / "b", ALPHAS[:2], corpus=make_corpus(**SMALL | {"tags": 3}), protocol="nested", seed=3),
    ]
    page = Page(write_comparison(studies, tmp_path, make_console()).read_text(encoding="utf-8"))
    for part in ("The corpora differ", "The protocols differ", "The seeds differ"):
        assert part in page.text
    assert "Baseline:" not in page.text
    (line,) = [line for line in (tmp_path / "comparison-a+b.md").read_text().splitlines() if line.startswith("| study")]
    assert "verdict" not in line
