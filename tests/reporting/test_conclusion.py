"""What a report concludes: its details, the command that settles, the caveats, and the record that others read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study, with_results
from helpers.pages import Page
from rich.console import Console

from study.format import decimal, signed
from study.ledger.findings import FINDINGS_FILE, Findings, read_findings
from study.ledger.ledger import Ledger
from study.reporting.conclusion import (
    again_command,
    caveats,
    conclude,
    details,
    partitions_command,
    settling_command,
    subject,
)
from study.reporting.prose import answer, margin_in_words, verdict
from study.reporting.results_files import write_results
from study.reporting.sections.resolution import resolution
from study.reporting.sections.tags_against_baseline import tags_against_baseline
from study.reporting.sections.three_answers import three_answers
from study.reporting.terminal_table import show_answer
from study.stats.analysis import Analysis, analyse
from study.stats.posterior import Posterior
from study.stats.remedy import Remedy


def analysed(root: Path, gains: list[float], margin: float | None = None, **changes: Any) -> Analysis:
    corpus = changes.pop("corpus", make_corpus(groups=60, clips=8, tags=3))
    ledger = make_study(root, ALPHAS[: len(gains)], gains=gains, corpus=corpus, **changes)
    return analyse(ledger, with_results(ledger), margin)


@pytest.fixture(scope="module")
def unclear(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Two rows that lie a little below the baseline."""
    return analysed(tmp_path_factory.mktemp("studies") / "s", [0.0, 0.05, 0.1], corpus=make_corpus(clips=3))


@pytest.fixture(scope="module")
def clear(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analysed(tmp_path_factory.mktemp("studies") / "s", [0.0, 0.0, 1.5])


def with_row(analysis: Analysis, **changes: Any) -> Analysis:
    """The analysis with another last row."""
    rows = [*analysis.rows[:-1], replace(analysis.rows[-1], **changes)]
    return replace(analysis, rows=rows, shown=rows, baseline=rows[0])


# the answer's details


def test_an_open_row_is_told_what_was_seen_and_what_would_see_it(unclear: Analysis) -> None:
    row = subject(unclear)
    assert (row, row.outcome) == (unclear.best, "indistinguishable")
    first, second, third = list(details(unclear))[:3]
    for part in (signed(row.tested.low), f"P(better) {decimal(row.posterior.better, 2)}", "within .01"):
        assert part in first
    assert decimal(row.resolution.called_real) in second
    assert decimal(row.resolution.seen) in second
    assert decimal(abs(row.tested.difference)) in third


def test_a_better_row_needs_no_remedy(clear: Analysis) -> None:
    found = list(details(clear))
    assert settling_command(clear) is None
    assert not any("called real from" in line for line in found)
    assert any(line.startswith("By tag") and "better in" in line for line in found)


@pytest.mark.parametrize(
    ("remedy", "parts", "command"),
    [
        (Remedy(3), ("3 partitions",), "--partitions 3"),
        (Remedy(None), ("more recordings",), None),
        (Remedy(3, 4, 0.8), ("3 partitions",), "--partitions 3"),
        (Remedy(3, 2, 0.8), ("2 seeds", "80 %"), "--repeats 2"),
        (Remedy(None, 9, 0.8), ("9 seeds",), "--repeats 9"),
    ],
)
def test_the_cheaper_remedy_comes_with_its_command(
    unclear: Analysis, remedy: Remedy, parts: tuple[str, ...], command: str | None
) -> None:
    found = replace(with_row(unclear, remedy=remedy), margin=0.001)
    line = list(details(found))[2]
    assert all(part in line for part in parts)
    said = settling_command(found)
    assert said is None if command is None else said.endswith(command) or f"{command} " in said


@pytest.mark.parametrize(("alike", "command"), [(6, "--partitions 6"), (None, None)])
def test_a_row_within_the_margin_is_told_what_would_call_it_the_same(
    unclear: Analysis, alike: int | None, command: str | None
) -> None:
    row = unclear.rows[-1]
    found = replace(with_row(unclear, remedy=Remedy(None, alike=alike)), margin=abs(row.tested.difference) + 0.001)
    line = list(details(found))[2]
    assert "lies within the margin" in line
    assert ("6 partitions" in line) == (alike == 6)
    said = settling_command(found)
    assert said is None if command is None else f"{command} " in said
    (table,) = resolution(found).tables
    assert table.texts()[-1][5:] == ["", "6" if alike else "over 20"]


def test_a_row_that_is_the_same_is_settled(unclear: Analysis) -> None:
    found = with_row(unclear, posterior=Posterior(0.01, 0.97, 0.02), remedy=Remedy(3))
    assert "the same, with a probability of .97" in answer(found)
    assert settling_command(found) is None
    assert verdict(found.rows[-1]) == "the same within the margin"


def test_a_better_row_within_the_margin_or_worse_in_the_second_metric_is_no_plain_win(clear: Analysis) -> None:
    assert "But" not in answer(clear)
    small = with_row(clear, posterior=Posterior(0.02, 0.97, 0.01))
    assert "But the two are the same within .01" in answer(small)
    assert verdict(small.rows[-1]).startswith("better than the baseline, but")
    torn = with_row(clear, second=replace(clear.rows[-1].second, outcome="worse"))
    assert "But its mAP is worse" in answer(torn)
    assert any(line.startswith("In mAP") for line in details(torn))


def test_a_chosen_row_that_is_not_the_better_one_is_named(unclear: Analysis) -> None:
    rows = [unclear.rows[0], replace(unclear.rows[1], outcome="better"), unclear.rows[2]]
    found = replace(unclear, rows=rows, shown=rows, baseline=rows[0])
    assert f"Cross-validation chose {rows[2].label}" in answer(found)
    assert subject(found) is rows[1]


def test_a_baseline_that_wins_is_compared_with_the_best_of_the_others(tmp_path: Path) -> None:
    found = analysed(tmp_path / "s", [1.5, 0.0, 0.2])
    assert subject(found) is found.rows[2]
    assert found.best is found.baseline


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ledger = make_study(tmp_path / "studies" / "s", ALPHAS[:1], corpus=make_corpus(**SMALL))
    assert partitions_command(ledger, 3) == "python study/run.py --resume s --partitions 3"
    monkeypatch.chdir("/")
    assert partitions_command(ledger, 3).endswith(f"--studies {tmp_path / 'studies'}")
    study = replace(ledger.study, command="python study/run.py --space own.py --name 'a b' --repeats 2 --seed 3")
    assert again_command(study, "--repeats", 6) == "python study/run.py --space own.py --seed 3 --repeats 6"


@pytest.mark.parametrize(("margin", "words"), [(0.01, ".01"), (0.025, ".025"), (0.1, ".1"), (0.0, "0"), (2.0, "2")])
def test_margins_in_words(margin: float, words: str) -> None:
    assert margin_in_words(margin) == words


# caveats


@pytest.mark.parametrize(
    ("changes", "part", "said"),
    [
        ({"kind": "synthetic"}, "synthetic", True),
        ({}, "synthetic", False),
        ({"corpus": make_corpus(**SMALL)}, "12 groups", True),
        ({"corpus": make_corpus(groups=60, clips=8, tags=1)}, "groups", False),
        ({"corpus": make_corpus(groups=60, clips=8, tags=1)}, "clips in some fold", False),
        ({"corpus": make_corpus(groups=40, clips=2, tags=2)}, "of 2 tags", True),
        ({}, "6 of 6 trainings reached the epoch limit", True),
    ],
)
def test_caveats(changes: dict[str, Any], part: str, said: bool, tmp_path: Path) -> None:
    changes = {"corpus": make_corpus(groups=60, clips=8, tags=3, folds=3), **changes}
    found = analysed(tmp_path / "s", [0.0, 0.0], **changes)
    assert (part in " ".join(caveats(found))) == said


def test_trainings_that_stopped_by_themselves_are_no_caveat(tmp_path: Path) -> None:
    found = analysed(tmp_path / "s", [0.0, 0.0])
    trials = [replace(own, params={**own.params, "max_epochs": 99}) for own in found.results.trials]
    found = replace(found, results=replace(found.results, trials=tuple(trials)))
    assert "epoch limit" not in " ".join(caveats(found))


# the record


def test_all_that_reads_the_findings_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:3], gains=[0.0, 0.05, 1.5], corpus=make_corpus(**SMALL))
    results = write_results(ledger, "finished")
    found = read_findings(ledger)
    analysis = analyse(ledger, results)
    assert found == conclude(analysis)
    page, table = Page((ledger.root / "report.html").read_text()), (ledger.root / "table.md").read_text()
    for line in (found.answer, *found.details, *found.caveats):
        assert line in page.text
        assert line in table
    row, entry = analysis.rows[2], found.trials[2]
    assert (entry.key, entry.low, entry.high) == (row.key, *row.intervals["mean"])
    assert (entry.difference, entry.difference_low, entry.p_holm) == (row.test.difference, row.tested.low, row.adjusted)
    assert entry.p_better + entry.p_same + entry.p_worse == pytest.approx(1)
    assert entry.by_tag == {tag: part.outcome for tag, part in row.by_tag.items()}
    assert (found.trials[0].difference, found.trials[0].outcome) == (None, None)


def test_findings_of_earlier_results_are_gone_before_new_ones_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL))
    write_results(ledger, "interrupted")
    assert read_findings(ledger) is not None
    monkeypatch.setattr("study.reporting.results_files.write_report", lambda *_: 1 / 0)
    with pytest.warns(RuntimeWarning, match="could not be drawn"):
        write_results(ledger, "finished")
    assert read_findings(ledger) is None


def test_a_report_without_findings_is_written_again(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL))
    write_results(ledger, "finished")
    (ledger.root / FINDINGS_FILE).unlink()
    write_results(ledger, "finished")
    assert read_findings(ledger) is not None


def test_another_margin_is_said_to_be_another(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL), margin=0.02)
    for margin, said in ((None, False), (0.5, True)):
        write_results(ledger, "finished", redraw=True, margin=margin)
        assert ("was chosen with this report" in (ledger.root / "report.html").read_text()) == said
        assert read_findings(ledger).margin == (margin or 0.02)


def test_markdown_has_all_of_it() -> None:
    found = Findings("Yes.", ("a: b.",), "python x", ("c.",))
    assert found.markdown == "Yes.\n\n- a: b.\n- To settle it: `python x`\n- Caution: c."
    assert Findings("No.").markdown == "No."


# sections


def test_a_line_per_comparison(unclear: Analysis) -> None:
    (table,) = resolution(unclear).tables
    row = unclear.rows[1]
    wanted = [
        signed(row.tested.difference),
        *(decimal(getattr(row.resolution, n)) for n in ("sd", "called_real", "seen")),
    ]
    assert table.texts()[0][:5] == [row.label, *wanted]
    (table,) = three_answers(unclear).tables
    assert [line[0] for line in table.texts()] == [row.label for row in unclear.others]
    assert table.texts()[0][1] == decimal(row.posterior.better, 2)


def test_tags_are_marked_where_they_are_decided(clear: Analysis) -> None:
    (table,) = tags_against_baseline(clear).tables
    tag, part = next((tag, part) for tag, part in clear.rows[2].by_tag.items() if part.outcome == "better")
    cell = table.lines[1].cells[1 + clear.study.tags.index(tag)]
    assert (cell.text, cell.mark) == (signed(part.test.difference), "better")
    assert f"{signed(part.test.difference)} better" in tags_against_baseline(clear).markdown


def test_without_tests_there_are_no_such_sections(tmp_path: Path) -> None:
    found = analysed(tmp_path / "s", [0.0, 0.5], corpus=make_corpus(**SMALL | {"folds": 2}))
    assert resolution(found) is three_answers(found) is tags_against_baseline(found) is None
    assert list(details(found)) == []
    alone = analysed(tmp_path / "alone", [0.0])
    assert conclude(alone).command is None
    assert subject(alone) is None


def test_the_terminal_ends_with_the_answer_and_a_command_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    command = f"python study/run.py --resume {'long' * 20}"
    found = Findings("Yes, " * 30 + "end.", ("a: [b].",), command, ("c.",))
    show_answer(found, Console(width=80, force_terminal=True, color_system=None))
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "long" in line] == [f"- To settle it: {command}"]
    assert lines[-1] == "- Caution: c."
    assert "- a: [b]." in lines
    assert max(len(line) for line in lines if "long" not in line) <= 80


def test_ledgers_without_findings_have_none(tmp_path: Path) -> None:
    ledger: Ledger = make_study(tmp_path / "s", ALPHAS[:1], corpus=make_corpus(**SMALL))
    assert read_findings(ledger) is None
