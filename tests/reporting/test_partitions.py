"""Reports of studies with several partitions: what is of the corpus's own folds, and what of all of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study, with_results
from rich.console import Console

from study.cli import make_console
from study.format import decimal, signed
from study.ledger.ledger import Ledger
from study.ledger.results import study_results
from study.reporting.prose import answer, context, failures, folds_in_words, progress
from study.reporting.results_files import REPORT, TABLE, write_results
from study.reporting.sections.against_baseline import comparison_table, paired_over
from study.reporting.sections.partitions import count_torn_groups, partition_table, partitions
from study.reporting.tables import CROSS_VALIDATION, Table, paper_table
from study.reporting.terminal_table import show_results
from study.stats.analysis import Analysis, analyse, fold_means

GAINS = [0.0, 0.1, 0.8]
CORPUS = make_corpus(groups=30, clips=5, tags=2, folds=3)
CORPUS["targets"] = (np.random.default_rng(0).random((150, 2)) < 0.5).astype(
    np.uint8
)  # in every fold both, and neither


def make(root: Path, **changes: Any) -> Ledger:
    """Two partitions of three folds; in the second trial a fold of the second partition is missing if `lacks` it."""
    lacks = changes.pop("lacks", False)
    options: dict[str, Any] = {"corpus": CORPUS, "gains": GAINS, "partitions": 2, "epochs": 2, **changes}
    ledger = make_study(root, ALPHAS[:3], **options)
    if lacks:
        (ledger.trials()[1].path / "fold_2_partition_2.json").unlink()
    return ledger


def analysed(root: Path, **changes: Any) -> Analysis:
    ledger = make(root, **changes)
    return analyse(ledger, with_results(ledger))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analysed(tmp_path_factory.mktemp("studies") / "both")


def column(table: Table, name: str) -> list[str]:
    return [row[list(table.header).index(name)] for row in table.texts()]


def test_the_mean_over_all_partitions_stands_beside_that_of_the_corpus_own_folds(both: Analysis) -> None:
    means = fold_means(both.rows)
    table = paper_table(both.study, both.results.trials, CROSS_VALIDATION)
    assert column(table, "Avg") == [decimal(mean) for mean in means[:, :3].mean(axis=1)]
    assert column(table, "Avg 2x3") == [decimal(mean) for mean in means.mean(axis=1)]
    seconds = [trial.total_seconds for trial in both.results.trials]
    assert seconds == [2 * trial.seconds for trial in both.results.trials]


def test_differences_are_those_of_the_means_over_all_partitions(both: Analysis) -> None:
    means = fold_means(both.rows)
    table = comparison_table(both, both.rows, page=True)
    assert column(table, "Avg 2x3") == [decimal(mean) for mean in means.mean(axis=1)]
    gaps = (means - means[0]).mean(axis=1)
    assert column(table, "difference") == ["", *(signed(gap) for gap in gaps[1:])]


def test_the_test_is_described(both: Analysis) -> None:
    assert folds_in_words(both.study) == "6 folds of 2 partitions"
    said = paired_over(both.study)
    assert "sqrt(0.67 var(d)) with 5 degrees of freedom" in said  # 1/6 + 1/2
    assert "Bouckaert" in said


def test_each_partition_has_a_column(both: Analysis) -> None:
    means = fold_means(both.rows)
    table = partition_table(both, both.rows)
    assert column(table, "own folds") == [decimal(mean) for mean in means[:, :3].mean(axis=1)]
    assert column(table, "partition 2") == [decimal(mean) for mean in means[:, 3:].mean(axis=1)]
    section = partitions(both)
    assert section is not None
    assert "whole groups" in section.intro
    assert not any("harder" in note for note in section.notes)


def test_a_lead_that_is_not_real_is_the_one_that_was_tested(tmp_path: Path) -> None:
    found = analysed(tmp_path / "s", gains=[0.0, -0.1, 0.1])
    best = found.best
    assert best is not None
    assert best.tested is not None
    assert best.outcome == "indistinguishable"
    gap = decimal(abs(best.tested.difference))
    assert gap != decimal(abs(best.mean - found.rows[0].mean))
    assert f"lead of {gap} is not distinguishable from 0 over 6 folds of 2 partitions" in answer(found)


def test_a_row_that_is_ahead_over_all_partitions_alone_is_named(tmp_path: Path) -> None:
    found = analysed(tmp_path / "s", gains=[0.3, 0.0, -0.1])
    row = found.rows[1]
    assert found.best is found.baseline is found.rows[0]
    assert row.tested is not None
    ahead = replace(row, test=replace(row.tested, difference=-0.012))
    rows = [found.rows[0], ahead, found.rows[2]]
    said = answer(replace(found, rows=rows, shown=rows))
    assert said.startswith("On the corpus's own folds no trial has a better mean EER")
    assert f"Over 6 folds of 2 partitions {row.label} is ahead by .012" in said
    behind = [found.rows[0], *(replace(own, test=replace(own.tested, difference=0.01)) for own in found.rows[1:])]
    assert answer(replace(found, rows=behind, shown=behind)).startswith("No trial has a better mean EER")


def test_groups_in_several_of_the_corpus_own_folds_are_told(tmp_path: Path) -> None:
    corpus = make_corpus(**SMALL)
    torn = corpus | {"folds": np.arange(len(corpus["folds"])) % 3}
    found = analysed(tmp_path / "s", corpus=torn)
    clips = found.ledger.clips()
    section = partitions(found)
    assert clips is not None
    assert section is not None
    assert count_torn_groups(clips) == 12
    assert any(note.startswith("12 groups of the corpus lie in several") for note in section.notes)


def test_a_row_that_lacks_a_partition_has_no_mean_over_all(tmp_path: Path) -> None:
    ledger = make(tmp_path / "s", lacks=True)
    results = study_results(ledger, "interrupted")
    assert column(paper_table(ledger.study, results.trials, CROSS_VALIDATION), "Avg 2x3")[1] == ""
    assert progress(results) == "2 of 3 trials; 1 other without all partitions"
    assert context(results).startswith("Interrupted: 2 of 3 trials; 1 other without all partitions. ")
    assert column(partition_table(analyse(ledger, results), analyse(ledger, results).rows), "partition 2")[1] == ""
    ledger.trials()[1].for_partition(2).write_failure("the loss is not finite")
    again = study_results(Ledger.open(ledger.root), "finished")
    why = "failed in partition 2: the loss is not finite. Its figures are of those before."
    assert failures(again) == [f"mixup, alpha 0.1 (trial key0001) {why}"]


def test_a_study_of_one_partition_says_nothing_of_it(tmp_path: Path) -> None:
    ledger = make(tmp_path / "s", partitions=1)
    found = analyse(ledger, with_results(ledger))
    assert partitions(found) is None
    assert not any(name.startswith("Avg ") for name in paper_table(ledger.study, [], CROSS_VALIDATION).header)
    write_results(ledger, "finished", redraw=True)
    for file, heading in ((REPORT, "<h2>Partitions</h2>"), (TABLE, "## Partitions")):
        text = (ledger.root / file).read_text()
        assert heading not in text
        assert "of 1 partition" not in text


def test_every_page_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = make(tmp_path / "s", lacks=True)
    results = write_results(ledger, "interrupted", redraw=True)
    table, page = (ledger.root / TABLE).read_text(), (ledger.root / REPORT).read_text()
    assert "| partition 2 |" in table
    assert "<h2" in page
    assert "1 other without all partitions" in page
    assert str(ledger.study.drawn[0].seed) in page
    show_results(results, make_console())
    assert "Avg 2x3" in capsys.readouterr().out
    show_results(results, Console(width=60))
    assert "Avg 2x3: mean over 2 partitions" in " ".join(capsys.readouterr().out.split())
