"""Reports of studies on one fixed split: what is tested, what is said of it, and that no word is of folds."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.made_up import ALPHAS, hide_labels, make_fixed_corpus, make_fixed_study, with_results
from rich.console import Console

from audiotag.metrics import METRICS
from study.ledger.ledger import Ledger
from study.reporting.comparison import join, write_comparison
from study.reporting.conclusion import conclude, settling_command
from study.reporting.prose import answer, context
from study.reporting.sections import SECTIONS
from study.reporting.sensitivity import design_line
from study.stats.analysis import Analysis, analyse
from study.stats.draws import Draws
from study.stats.significance import PairedTest, Untested

FOLDS = re.compile(r"\bfolds?\b|cross-validation|corrected", re.IGNORECASE)


def analysed(ledger: Ledger) -> Analysis:
    return analyse(ledger, with_results(ledger))


@pytest.fixture(scope="module")
def better(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Three trials, the last one clearly the best."""
    root = tmp_path_factory.mktemp("studies") / "s"
    return analysed(make_fixed_study(root, ALPHAS[:3], gains=[0.0, 0.0, 1.5]))


# --- reference ---


def test_rows_are_tested_over_seeds_and_test_recordings(better: Analysis) -> None:
    clear, equal = better.rows[2], better.rows[1]
    assert (clear.outcome, equal.outcome) == ("better", "indistinguishable")
    assert isinstance(clear.test, PairedTest)
    seeds = [[own.figures["eer"].mean for own in row.result.folds[0].repeats] for row in (clear, better.rows[0])]
    differences = np.subtract(*seeds)
    assert clear.test.difference == pytest.approx(differences.mean())
    assert clear.resolution is not None
    assert clear.resolution.sd > differences.std(ddof=1) / np.sqrt(3)  # recordings add to it
    assert clear.posterior is not None
    assert clear.second is not None
    assert isinstance(clear.second.test, PairedTest)
    assert set(clear.by_tag) == set(better.study.tags)
    assert "better" in {part.outcome for part in clear.by_tag.values()}


def test_draws_are_of_groups_of_test_clips_alone(tmp_path: Path) -> None:
    """With other training clips, and other labels of theirs, the same is concluded."""
    corpus = make_fixed_corpus()
    other = corpus | {"targets": np.where((corpus["folds"] < 0)[:, None], 1 - corpus["targets"], corpus["targets"])}
    found = [
        analysed(make_fixed_study(tmp_path / name, ALPHAS[:2], corpus=each, prefix="k"))
        for name, each in (("one", corpus), ("two", other))
    ]
    assert found[0].rows[1].test == found[1].rows[1].test
    assert found[0].rows[1].paired_interval == found[1].rows[1].paired_interval
    ledger = found[0].ledger
    clips, counts = ledger.clips(), Draws(ledger).counts
    assert clips is not None
    tested = np.unique(clips.groups[clips.folds == 1])
    assert (counts.sum(axis=1) == len(tested)).all()
    assert np.flatnonzero(counts.any(axis=0)).tolist() == tested.tolist()


def test_unknown_labels_are_left_out(tmp_path: Path) -> None:
    found = analysed(make_fixed_study(tmp_path / "s", ALPHAS[:2], corpus=hide_labels(make_fixed_corpus())))
    assert found.rows[1].tested is not None
    assert "c" in found.rows[1].by_tag


# --- words ---


def test_no_word_is_of_folds(better: Analysis) -> None:
    for make in SECTIONS:
        section = make(better)
        if section is not None and section.title != "Repeat it":
            shown = " ".join(
                [section.title, section.intro, section.caption, section.markdown, *section.notes, *section.lines]
            )
            shown += " ".join(word for table in section.tables for word in (table.title, *table.header))
            assert not FOLDS.search(shown), (section.title, FOLDS.search(shown))
    found = conclude(better)
    assert not FOLDS.search(" ".join([found.answer, *found.details, *found.caveats, context(better.results)]))
    assert "144 train, 48 validation and 48 test clips" in context(better.results)
    assert "better than the baseline" in answer(better)


def test_seeds_are_what_may_settle_it(tmp_path: Path) -> None:
    found = analysed(make_fixed_study(tmp_path / "s", ALPHAS[:2], gains=[0.0, 0.1]))
    row = found.rows[1]
    assert row.outcome == "indistinguishable"
    assert row.remedy is not None
    assert row.remedy.partitions is None
    command = settling_command(found)
    assert command is None or "--repeats" in command
    assert not re.search("partition", " ".join(conclude(found).details))


# --- degenerate ---


@pytest.mark.parametrize("repeats", [1, 2])
def test_too_few_seeds_are_not_tested(tmp_path: Path, repeats: int) -> None:
    found = analysed(make_fixed_study(tmp_path / "s", ALPHAS[:2], repeats=repeats, gains=[0.0, 1.5]))
    row = found.rows[1]
    assert isinstance(row.test, Untested)
    assert row.test.reason == f"{repeats} seed{'s' * (repeats > 1)}, of 3 that a test needs"
    assert row.test.difference == pytest.approx(row.mean - found.rows[0].mean)
    assert all(part.outcome == "untested" for part in row.by_tag.values())
    assert row.paired_interval is not None  # of these very networks
    assert "is not tested" in answer(found)
    assert f"no difference is tested with {repeats} seed" in design_line(found.study)


def test_without_its_clips_nothing_is_tested(tmp_path: Path) -> None:
    found = analysed(make_fixed_study(tmp_path / "s", ALPHAS[:2], with_clips=False))
    assert isinstance(found.rows[1].test, Untested)
    assert found.rows[1].test.reason == "no clips.npz"


# --- several studies ---


def test_studies_on_the_same_split_are_tested_together(tmp_path: Path) -> None:
    ledgers = [
        make_fixed_study(tmp_path / name, [config], gains=[gain], prefix=name, varied=["alpha"])
        for name, config, gain in (("a", ALPHAS[0], 0.0), ("b", ALPHAS[3], 1.5))
    ]
    joined = join([analysed(each) for each in ledgers])
    assert [row.outcome for row in joined.rows] == [None, "better"]
    page = write_comparison(ledgers, tmp_path, Console(quiet=True))
    assert "better than the baseline" in page.read_text()


def test_results_are_plain(better: Analysis) -> None:
    """results.json has the same fields; only what needs several folds is null."""
    content = json.loads((better.ledger.root / "results.json").read_text())
    assert content["protocol"] == "split"
    assert [trial["eer_var_folds"] for trial in content["trials"]] == [None] * 3
    assert all(trial["eer_sd_seeds"] > 0 and len(trial["folds"]) == 1 for trial in content["trials"])
    assert set(METRICS) <= set(content["trials"][0])
