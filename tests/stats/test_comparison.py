"""Comparisons with the baseline: in the objective, a second metric, by tag, and by seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study, with_results

from audiotag.metrics import METRICS
from study.ledger.results import trial_result
from study.ledger.schema import Figures
from study.stats.analysis import Analysis, analyse
from study.stats.comparison import compare_by_tag, compare_second, differences_by_seed, differences_of, second_metric
from study.stats.posterior import posterior_of
from study.stats.power import resolution_of
from study.stats.remedy import find_remedy
from study.stats.significance import Untested, corrected_t, holm, holm_levels


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    corpus = make_corpus(groups=50, clips=10, tags=4)
    ledger = make_study(
        tmp_path_factory.mktemp("studies") / "s", ALPHAS[:4], corpus=corpus, gains=[0.0, 0.1, 0.3, 1.5], margin=0.02
    )
    return analyse(ledger, with_results(ledger))


def eers(analysis: Analysis) -> np.ndarray:
    """(rows, folds)."""
    return np.array([[fold.figures["eer"].mean for fold in row.result.folds] for row in analysis.rows])


# reference


def test_each_row_has_posterior_resolution_and_remedy_of_its_differences(whole: Analysis) -> None:
    differences = (eers(whole) - eers(whole)[0])[1:]
    levels = holm_levels([corrected_t(own, 1 / 4).p for own in differences])
    assert whole.margin == 0.02
    for row, own, level in zip(whole.rows[1:], differences, levels, strict=True):
        assert row.posterior == posterior_of(own, 1 / 4, 0.02, METRICS["eer"])
        assert row.resolution == resolution_of(own, 1 / 4, level)
        assert row.remedy == find_remedy(own, 1 / 4, level, 0.02)
        assert (row.outcome == "better") == (abs(row.tested.difference) > row.resolution.called_real)


def test_another_margin_changes_the_posterior_and_nothing_else(whole: Analysis) -> None:
    wide = analyse(whole.ledger, whole.results, margin=0.5)
    assert wide.rows[1].posterior.same > 0.99
    assert (wide.rows[1].test, wide.rows[1].resolution) == (whole.rows[1].test, whole.rows[1].resolution)


def test_tags_are_tested_one_by_one_with_a_correction_over_the_tags_of_a_row(whole: Analysis) -> None:
    own, baseline = whole.rows[3].result, whole.rows[0].result
    tests = []
    for tag in whole.study.tags:
        pairs = zip(own.folds, baseline.folds, strict=True)
        figures = [[fold.figures["eer"].by_tag[tag] for fold in pair] for pair in pairs]
        tests.append(corrected_t([a - b for a, b in figures], 1 / 4))
    found = whole.rows[3].by_tag
    assert list(found) == list(whole.study.tags)
    assert [part.test for part in found.values()] == tests
    assert [part.adjusted for part in found.values()] == holm([test.p for test in tests])
    assert whole.rows[0].by_tag == {}


def test_the_second_metric_has_a_family_of_its_own(whole: Analysis) -> None:
    aps = np.array([[fold.figures["ap"].mean for fold in row.result.folds] for row in whole.rows])
    tests = [corrected_t(own - aps[0], 1 / 4) for own in aps[1:]]
    assert whole.second is METRICS["ap"]
    assert [row.second.test for row in whole.rows[1:]] == tests
    assert [row.second.adjusted for row in whole.rows[1:]] == holm([test.p for test in tests])
    assert (whole.rows[3].outcome, whole.rows[3].second.outcome) == ("better", "better")


def test_which_metric_is_the_second() -> None:
    assert second_metric(METRICS["eer"]).name == "ap"
    assert {second_metric(METRICS[name]).name for name in ("ap", "auroc", "accuracy")} == {"eer"}


def test_differences_by_seed_average_to_those_of_the_folds(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL), gains=[0.0, 0.5], repeats=3)
    found = analyse(ledger, with_results(ledger))
    own, baseline = found.rows[1].result, found.rows[0].result
    by_seed = differences_by_seed(own, baseline)
    assert by_seed.shape == (3, 3)
    first = [each.folds[0].repeats[1].figures["eer"].mean for each in (own, baseline)]
    assert by_seed[0, 1] == first[0] - first[1]
    assert by_seed.mean(axis=1) == pytest.approx(differences_of(own, baseline, "eer"))
    assert found.rows[1].remedy.seed_share is not None
    other = replace(baseline, seeds=tuple(replace(seed, seed=seed.seed + 5) for seed in baseline.seeds))
    assert differences_by_seed(own, other) is None


def test_paired_intervals_lie_around_the_difference_and_are_narrower_than_unpaired_ones(whole: Analysis) -> None:
    base = whole.baseline.intervals["mean"]
    for row in whole.rows[1:]:
        low, high = row.paired_interval
        assert low < row.mean - whole.baseline.mean < high
        own = row.intervals["mean"]
        assert high - low < np.hypot(own[1] - own[0], base[1] - base[0])
    assert whole.baseline.paired_interval is None


# degenerate


def without(trial, metric: str, tag: str | None = None):
    """A trial whose first fold lacks a figure."""
    fold = trial.folds[0]
    own = fold.figures[metric]
    figures = Figures(own.by_tag, None) if tag is None else Figures({**own.by_tag, tag: None}, own.mean)
    return replace(trial, folds=(replace(fold, figures={**fold.figures, metric: figures}), *trial.folds[1:]))


def test_a_fold_without_a_figure_is_left_out(whole: Analysis) -> None:
    own, baseline = whole.rows[3].result, whole.rows[0].result
    found = compare_by_tag(without(own, "eer", "c"), baseline, whole.study)
    kept = differences_of(own, baseline, "eer", "c")[1:]
    assert found["c"].test == corrected_t(kept, 1 / 4)
    assert found["m"].test == whole.rows[3].by_tag["m"].test


def test_a_second_metric_that_a_row_lacks_is_none_for_all(whole: Analysis) -> None:
    own, other, baseline = whole.rows[3].result, whole.rows[2].result, whole.rows[0].result
    bare = replace(own, folds=tuple(replace(fold, figures={"eer": fold.figures["eer"]}) for fold in own.folds))
    assert compare_second([bare, other], baseline, whole.study) == [None, None]


def test_two_folds_have_neither_posterior_nor_resolution(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL | {"folds": 2}), gains=[0.0, 0.5])
    row = analyse(ledger, with_results(ledger)).rows[1]
    assert isinstance(row.test, Untested)
    assert (row.posterior, row.resolution, row.remedy) == (None, None, None)
    assert {part.outcome for part in row.by_tag.values()} == {"untested"}


def test_partitions_lengthen_the_differences_and_keep_the_share_of_test_clips(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL), gains=[0.0, 0.3], partitions=3)
    row = analyse(ledger, with_results(ledger)).rows[1]
    baseline = trial_result(ledger, ledger.trials()[0])
    differences = differences_of(row.result, baseline, "eer")
    assert differences.shape == (9,)
    assert row.test == corrected_t(differences, 1 / 2)
    assert row.resolution == resolution_of(differences, 1 / 2, 0.05)
    assert row.posterior == posterior_of(differences, 1 / 2, 0.01, METRICS["eer"])
    assert row.remedy == find_remedy(differences, 1 / 2, 0.05, 0.01)
    assert row.remedy.partitions is None or row.remedy.partitions > 3
