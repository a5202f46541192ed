"""Studies of one question on several corpora: what the page, its Markdown and the terminal say of them together."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study, with_results
from helpers.pages import Page

from study.cli import make_console
from study.format import signed
from study.ledger.ledger import Ledger
from study.reporting.comparison import ACROSS_CORPORA, CORPORA_DIFFER, PARTITIONS_DIFFER, write_comparison
from study.reporting.sections.across_corpora import TITLE, across_corpora, answer_across, general_table, note_of
from study.reporting.style import style
from study.stats.across_corpora import GeneralRow, compare_across, compare_means, needed, signed_rank
from study.stats.analysis import Analysis, analyse
from study.stats.rows import SHOWN_ROWS

GAINS = [0.0, 1.0, 0.0]


def make(root: Path, number: int, **changes: Any) -> Ledger:
    """A study on a corpus of its own, whose second row is better than the first, its baseline."""
    corpus = make_corpus(**SMALL, seed=number) if "corpus" not in changes else changes.pop("corpus")
    name = f"corpus{number}"
    options = {"gains": GAINS, "epochs": 1, "corpus_record": {"name": name, "fingerprint": name}, **changes}
    return make_study(root / f"s{number}", ALPHAS[:3], corpus=corpus, prefix=name, **options)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Ledger]:
    root = tmp_path_factory.mktemp("studies")
    return [make(root, number, partitions=2) for number in range(3)]


def analysed(ledgers: list[Ledger]) -> list[Analysis]:
    return [analyse(each, with_results(each)) for each in ledgers]


@pytest.fixture(scope="module")
def found(three: list[Ledger]) -> list[Analysis]:
    return analysed(three)


def general(found: list[Analysis], *values: list[float], margin: float = 0.01) -> list[GeneralRow]:
    """Rows with these differences on the corpora."""
    differences = [np.array(own) for own in values]
    parts = compare_means(differences, found[0].objective, margin)
    rows = [tuple(each.others[place % 2] for each in found) for place in range(len(values))]
    return [
        GeneralRow(own, each, part, signed_rank(each), needed(each, part))
        for own, each, part in zip(rows, differences, parts, strict=True)
    ]


def test_page_markdown_and_terminal_say_the_same(
    three: list[Ledger], found: list[Analysis], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_comparison(three, tmp_path, make_console())
    page, text = Page(path.read_text(encoding="utf-8")), path.with_suffix(".md").read_text(encoding="utf-8")
    shown, rows = capsys.readouterr().out, compare_across(found, 0.01)
    answer = answer_across(rows, found, 0.01)
    assert [rows[0].comparison.outcome, rows[1].comparison.outcome] == ["better", "indistinguishable"]
    assert rows[0].label in answer
    note = note_of(rows, 3)
    for part in (answer, ACROSS_CORPORA, note):
        assert all(part in where for where in (page.text, text, shown))
    for row in rows:
        mean, own = signed(row.differences.mean()), [signed(value) for value in row.differences]
        assert all(figure in where for figure in (mean, *own) for where in (page.text, text, shown))
    assert page.open == []
    assert TITLE in page.text
    for where in (page.text, text, shown):
        assert CORPORA_DIFFER not in where
        assert PARTITIONS_DIFFER not in where  # each study is tested over its own
    assert "Rows are paired by fold" not in page.text


@pytest.mark.parametrize("change", [{"protocol": "nested"}, {"metric": "ap"}])
def test_other_protocols_or_metrics_are_not_put_together(three: list[Ledger], tmp_path: Path, change: Any) -> None:
    other = make(tmp_path, 9, **change)
    path = write_comparison([*three[:2], other], tmp_path, make_console())
    assert TITLE not in path.read_text(encoding="utf-8")
    assert CORPORA_DIFFER in path.with_suffix(".md").read_text(encoding="utf-8")


def test_it_says_why_it_does_not_put_studies_together(three: list[Ledger], tmp_path: Path) -> None:
    other = make(tmp_path, 9, baseline={"alpha": 0.1})
    text = write_comparison([three[0], other], tmp_path, make_console()).with_suffix(".md").read_text(encoding="utf-8")
    assert f"{CORPORA_DIFFER} The studies have no baseline in common" in text
    assert TITLE not in text


def test_two_corpora_are_shown_and_not_tested(found: list[Analysis]) -> None:
    two = found[:2]
    rows = compare_across(two, 0.01)
    assert {row.comparison.outcome for row in rows} == {"untested"}
    table = general_table(rows)
    assert list(table.header) == ["trial", "difference", "better on", "verdict"]
    assert not across_corpora(rows, two).groups
    assert "nothing is tested" in answer_across(rows, two, 0.01)
    assert "3 corpora" in note_of(rows, 2)


@pytest.mark.parametrize("corpora", [3, 5, 6, 8])
def test_the_signed_rank_test_is_shown_where_it_can_find_something(found: list[Analysis], corpora: int) -> None:
    many = (found * 3)[:corpora]
    rows = general(many, [-0.02 - 0.001 * place for place in range(corpora)])
    assert ("signed-rank p" in general_table(rows).header) == (corpora >= 6)
    assert ("No signed-rank test" in note_of(rows, corpora)) == (corpora < 6)


def test_answers(found: list[Analysis]) -> None:
    cases: dict[str, tuple[list[list[float]], list[str], list[str]]] = {
        "better": ([[-0.1, -0.11, -0.12], [0.1, 0.11, 0.12]], ["by more than chance, ", "1 of 2; worse: 1"], ["But"]),
        "lead": ([[-0.1, -0.05, 0.01], [0.1, -0.1, 0.2]], ["largest lead", "corpora in all"], ["the same"]),
        "behind": ([[0.1, 0.05, -0.01], [0.1, -0.1, 0.2]], ["has a better mean EER"], ["largest lead"]),
        "within": ([[-0.003, -0.0031, -0.0032]], ["But the two are the same within .01"], ["1 of 1"]),
        "alike": ([[0.002, -0.0031, -0.001]], ["The two are the same within .01"], ["But"]),
        "equal": ([[-0.01, -0.01, -0.01]], ["the difference is the same on every corpus", "largest lead"], []),
    }
    for name, (values, parts, others) in cases.items():
        text = answer_across(general(found, *values), found, 0.01)
        assert [part in text for part in parts] == [True] * len(parts), (name, text)
        assert [part in text for part in others] == [False] * len(others), (name, text)


def test_of_many_rows_the_page_has_the_best(found: list[Analysis]) -> None:
    values = [[0.01 * place + move for move in (0.0, 0.01, 0.03)] for place in range(SHOWN_ROWS + 2)]
    section = across_corpora(general(found, *values[::-1]), found)
    assert [len(table.lines) for table in section.tables] == [SHOWN_ROWS, 3 * SHOWN_ROWS]
    assert section.tables[0].texts()[-1][1] == signed(np.mean(values[0]))  # the order is that of the study
    assert section.markdown.count("\n| alpha") == 4 * (SHOWN_ROWS + 2)
    assert len(section.notes) == 2


def test_the_figure_has_every_tested_row(found: list[Analysis]) -> None:
    with style():
        section = across_corpora(general(found, [-0.1, -0.11, -0.12], [-0.01, -0.01, -0.01]), found)
    (panel,) = section.panels
    labels = [row.label for row in found[0].others]
    assert [label in panel.svg for label in labels] == [True, False]


def test_rows_that_not_all_have_are_counted(found: list[Analysis], tmp_path: Path) -> None:
    short = analysed([make(tmp_path, 5, finished=2)])[0]
    both = [found[0], short]
    section = across_corpora(compare_across(both, 0.01), both)
    assert "1 of s0" in section.intro
    assert "s5" not in section.intro
    assert "Left out" not in across_corpora(compare_across(found, 0.01), found).intro
