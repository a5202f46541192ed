"""The content of the report's sections: answers, curves, importances, edges, costs, and what limits the figures."""

import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.made_up import ALPHAS, SMALL, hide_labels, make_corpus, make_study, with_results

from study.format import decimal, signed
from study.ledger.clips import read_clips
from study.ledger.pruning import write_pruned
from study.ledger.schema import Figures, Provenance, StudyResults, TrialResult
from study.reporting.conclusion import conclude
from study.reporting.prose import answer, verdict
from study.reporting.sections.against_baseline import against_baseline
from study.reporting.sections.answer import header
from study.reporting.sections.by_parameter import at_edge
from study.reporting.sections.cost import cost
from study.reporting.sections.errors_by_tag import errors_by_tag, mean_det
from study.reporting.sections.known_labels import known_labels
from study.reporting.sections.repeat_it import repeat_it
from study.reporting.sections.search import importance, importances, uncertain
from study.reporting.sections.trust import trust
from study.reporting.style import as_panel, new_axes, style, wrapped
from study.stats.analysis import Analysis, analyse
from study.stats.draws import held_out
from study.stats.rows import ResultRow
from study.stats.significance import Untested

Sampled = Callable[..., Analysis]


def analysed(root: Path, *place: Any, status: str = "finished", **changes: Any) -> Analysis:
    ledger = make_study(root, *place, **{"corpus": make_corpus(**SMALL), **changes})
    return analyse(ledger, with_results(ledger, status))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Three trials, the last one clearly the best."""
    corpus = make_corpus(groups=50, clips=10, tags=4, evaluation=10)
    return analysed(tmp_path_factory.mktemp("studies") / "s", ALPHAS[:3], corpus=corpus, gains=[0.0, 0.0, 1.5])


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """The same with three seeds."""
    corpus = make_corpus(groups=30, clips=8, tags=2, folds=3, evaluation=6)
    root = tmp_path_factory.mktemp("studies") / "thrice"
    return analysed(root, ALPHAS[:3], corpus=corpus, gains=[0.0, 0.0, 1.5], repeats=3)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Sampled:
    """Make the analysis of a study of given parameters and means, without folds."""
    ledger = make_study(tmp_path_factory.mktemp("studies") / "s", finished=0, corpus=make_corpus(**SMALL))

    def make(params: list[dict[str, Any]], means: list[float], ranges: dict[str, Any] | None = None) -> Analysis:
        names = list(dict.fromkeys(name for own in params for name in own))
        trials = [
            TrialResult(str(number), number, own, "finished", 1.0, {"eer": Figures({}, mean)})
            for number, (own, mean) in enumerate(zip(params, means, strict=True))
        ]
        rows = [ResultRow("s", trial, trial.params, trial.key) for trial in trials]
        results = StudyResults(replace(ledger.study, ranges=ranges or {}), "finished", tuple(trials))
        return Analysis(ledger, results, names, rows, rows[0], "", rows)

    return make


# the answer


def test_the_answer_names_the_better_row(whole: Analysis) -> None:
    best, baseline = whole.best, whole.baseline
    assert answer(whole) == (
        f"By more than chance, {best.label} (mean EER {decimal(best.mean)}) is better than the baseline "
        f"({baseline.label}, mean EER {decimal(baseline.mean)}). "
        "Better by more than chance: 1 of 2; worse: 0."
    )


@pytest.mark.parametrize(
    ("gains", "status", "parts"),
    [
        ([0.3], "finished", ("only finished trial",)),
        ([0.3, 0.3], "finished", ("No trial",)),
        ([1.5, 0.0], "finished", ("No trial has a better mean EER", "worse: 1.")),
        ([], "interrupted", ("No trial has finished yet.",)),
        ([0.3, 0.3], "interrupted", ("So far: No trial",)),
    ],
)
def test_answers(gains: list[float], status: str, parts: tuple[str, ...], tmp_path: Path) -> None:
    corpus = make_corpus(groups=50, clips=10, tags=2)
    found = analysed(
        tmp_path / "s", ALPHAS[: max(len(gains), 1)], finished=len(gains), gains=gains, status=status, corpus=corpus
    )
    for part in parts:
        assert part in answer(found)


def test_two_folds_are_not_tested(tmp_path: Path) -> None:
    found = analysed(tmp_path / "s", ALPHAS[:3], gains=[0.0, 0.5, 1.5], corpus=make_corpus(**SMALL | {"folds": 2}))
    assert [row.tested for row in found.rows] == [None] * 3
    assert "Nothing is tested." in answer(found)
    assert "2 folds in common" in answer(found)
    section = against_baseline(found)
    (table,) = section.tables
    assert list(table.header) == ["trial", "Avg", "difference", "verdict"]
    assert [line.cells[2] for line in table.lines] == [
        "",
        *(signed(row.mean - found.baseline.mean) for row in found.others),
    ]
    assert section.panels == []
    assert "degrees of freedom" not in section.markdown


def test_an_untested_row_stands_beside_tested_ones(whole: Analysis) -> None:
    first, second, third = whole.rows
    same = Untested(0.02, "the difference is the same in every fold")
    middle = replace(second, test=same, adjusted=None, outcome="untested")
    found = replace(whole, rows=[first, middle, third], shown=[first, middle, third], baseline=first)
    section = against_baseline(found)
    assert section.tables[0].texts()[1][2:] == ["+.020", "", "", "", "", verdict(middle)]
    assert "degrees of freedom" in section.markdown
    assert "Not tested: 1." in answer(found)


def test_a_lead_below_the_spread_over_seeds_is_no_evidence(repeated: Analysis) -> None:
    assert "no evidence" not in answer(repeated)
    rows = []
    for row in repeated.rows:
        figures = {"eer": replace(row.result.figures["eer"], sd_seeds=0.4)}
        fields = {name: value for name, value in vars(row).items() if name != "result"}
        rows.append(ResultRow(result=replace(row.result, figures=figures), **fields))
    assert "(standard deviation .327)" in answer(replace(repeated, rows=rows, baseline=rows[0]))


# what limits the figures, and what they cost


def test_the_biases_are_told(whole: Analysis) -> None:
    said = " ".join(trust(whole).lines)
    for part in (signed(whole.selection_bias), signed(whole.stopping_bias), "evaluation split", "--repeats 3"):
        assert part in said


def test_another_program_is_told(whole: Analysis) -> None:
    later = Provenance({**whole.study.versions, "torch": "9.9"})
    study = replace(whole.study, continued_with=(later,))
    mixed = replace(whole, results=replace(whole.results, study=study))
    added = set(trust(mixed).lines) - set(trust(whole).lines)
    assert ["torch 2.11.0 to 9.9" in line for line in added] == [True]


def test_a_dirty_tree_is_told(whole: Analysis) -> None:
    study = replace(whole.study, git_dirty=True, git_changes="changes-1.diff")
    dirty = replace(whole, results=replace(whole.results, study=study))
    said, clean = (repeat_it(each).html for each in (dirty, whole))
    assert "uncommitted changes" in said
    assert "changes-1.diff" in said
    assert "uncommitted" not in clean


def test_the_spread_over_seeds_is_told(repeated: Analysis) -> None:
    said = " ".join(trust(repeated).lines)
    small = sum(abs(row.mean - repeated.baseline.mean) < repeated.seed_sd_of_difference for row in repeated.others)
    for part in (decimal(repeated.seed_sd), decimal(repeated.seed_sd_of_difference), f"{small} of 2", "seeds 0 to 2"):
        assert part in said
    assert "--repeats 3" not in said
    assert cost(repeated).lines[1].startswith(f"{3 * 9 * 6} epochs in 27 fold trainings")


def test_failed_and_pruned_trials_are_counted(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:5], corpus=make_corpus(**SMALL), finished=3)
    ledger.trial("key0003").write_failure("the loss is not finite")
    write_pruned(ledger.trials()[2], 2, 0.31, 0.25)
    found = analyse(ledger, with_results(ledger))
    assert len(found.rows) == 2
    assert cost(found).lines[0] == "2 trials finished, 1 pruned, 1 failed, 1 without a result yet."
    assert cost(found).lines[2].startswith("Of these, 3 folds and ")
    for part in ("1 trial failed", "1 trial pruned"):
        assert part in header(found).html


# curves


def test_det_of_a_fold_worked_by_hand() -> None:
    """Positives .9 and .4, negatives .8, .6 and .1: half is missed up to two thirds of false alarms."""
    targets, scores = np.array([1, 1, 0, 0, 0]), np.array([0.9, 0.4, 0.8, 0.6, 0.1])
    grid, misses = mean_det([(targets, scores)])
    assert np.interp([0.01, 0.3, 0.6, 0.8], grid, misses) == pytest.approx([0.5, 0.5, 0.5, 0.0])


def test_det_is_the_mean_over_folds_that_have_both_classes() -> None:
    perfect, inverted = (np.array([1, 0]), np.array([0.9, 0.1])), (np.array([1, 0]), np.array([0.1, 0.9]))
    one_class = (np.array([1, 1]), np.array([0.1, 0.9]))
    _, misses = mean_det([perfect, inverted, one_class])
    grid, alone = mean_det([inverted])
    assert misses == pytest.approx(alone / 2)
    assert np.interp(0.5, grid, alone) == pytest.approx(1.0)
    assert [len(part) for part in mean_det([one_class])] == [0, 0]


def test_errors_of_many_tags_are_shown_of_the_worst(whole: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(errors_by_tag(whole).panels) == len(whole.study.tags)
    monkeypatch.setattr(sys.modules[errors_by_tag.__module__], "SHOWN", 1)
    section = errors_by_tag(whole)
    figures = whole.best.result.figures["eer"].by_tag
    worst = max(figures, key=lambda tag: figures[tag])
    assert [panel.name for panel in section.panels] == [f"errors-{list(whole.study.tags).index(worst)}-{worst}"]
    assert "1 of 4 tags" in section.caption


def test_errors_by_tag_take_every_seed(repeated: Analysis) -> None:
    seeds = held_out(repeated.ledger, repeated.best, read_clips(repeated.ledger.root))
    assert [len(folds) for folds in seeds] == [3, 3, 3]
    assert not np.array_equal(seeds[0][0][1], seeds[1][0][1])


# parameters


def test_importance_finds_the_parameter_that_matters(sampled: Sampled) -> None:
    rng = np.random.default_rng(0)
    rows = [{"dropout": float(rng.uniform(0, 0.5)), "alpha": float(np.exp(rng.uniform(-2, 1)))} for _ in range(60)]
    means = [0.1 + (row["dropout"] - 0.2) ** 2 + 0.001 * rng.normal() for row in rows]
    ranges = {"dropout": {"low": 0.0, "high": 0.5, "log": False}, "alpha": {"low": 0.1, "high": 3.0, "log": True}}
    found = importances(sampled(rows, means, ranges))
    assert list(found) == ["dropout", "alpha"]
    assert found["dropout"] > 0.8
    assert sum(found.values()) == pytest.approx(1)


def test_importance_from_a_single_trial_is_called_uncertain(sampled: Sampled, recwarn: pytest.WarningsRecorder) -> None:
    rows = [{"dropout": number / 40} | ({"alpha": number / 20} if number > 5 else {}) for number in range(20)]
    rows[0]["width"] = 0.1
    found = sampled(rows, [0.1 + (row["dropout"] - 0.2) ** 2 for row in rows])
    assert importances(found)["dropout"] > 0.2
    assert [panel.name for panel in importance(found)] == ["importance"]
    assert importance(sampled(rows[:19], [0.1, 0.2] * 9 + [0.3])) == []
    assert uncertain(found) == ["width"]
    assert not recwarn.list


def test_no_importance_of_few_trials_or_of_equal_ones(sampled: Sampled) -> None:
    rows = [{"dropout": number / 40} for number in range(20)]
    assert importances(sampled(rows[:3], [0.1, 0.2, 0.3])) == {}
    assert importances(sampled(rows, [0.1] * 20)) == {}


@pytest.mark.parametrize(
    ("number", "ranges", "said"),
    [
        (0, None, []),  # nothing lies below 0
        (1, {"alpha": {"low": 0.5, "high": 50.0, "log": True}}, ["alpha 0.5 lies at the lower edge of what was tried"]),
        (4, None, ["alpha 5 lies at the upper edge of what was tried"]),
        (2, None, []),
        (3, {"alpha": {"low": 0.0, "high": 2.05, "log": False}}, ["alpha 2 lies at the upper edge of what was tried"]),
        (4, {"alpha": {"low": 0.1, "high": 50.0, "log": True}}, []),
    ],
)
def test_edges(sampled: Sampled, number: int, ranges: dict[str, Any] | None, said: list[str]) -> None:
    found = sampled([{"alpha": alpha} for alpha in (0.0, 0.5, 1.0, 2.0, 5.0)], [0.2] * 5, ranges)
    assert at_edge(found, found.rows[number]) == said


def test_two_values_have_no_inside(sampled: Sampled) -> None:
    found = sampled([{"alpha": 0.0}, {"alpha": 1.5}], [0.2, 0.1])
    assert at_edge(found, found.rows[1]) == []


# names in figures


@pytest.mark.parametrize("text", ["$x$ & <y>", "a\\b", "x_{", "Tür ]]>", "%d{}"])
def test_any_name_may_stand_in_a_figure(text: str) -> None:
    with style():
        ax = new_axes(text, xlabel=text)
        ax.plot([0, 1], [0, 1], label=text)
        ax.legend()
        panel = as_panel(ax, text, text)
    drawn = "".join(ET.fromstring(panel.svg.partition("?>")[2]).itertext())
    assert drawn.count(text) >= 4  # title, label, legend, and the words for readers who cannot see it


def test_names_are_cut_between_parameters() -> None:
    assert wrapped("mixup, alpha 3.24, dropout 0.243") == "mixup, alpha 3.24,\ndropout 0.243"
    assert wrapped("alpha 1.5") == "alpha 1.5"


def test_long_names_are_cut_between_augmentations_and_words() -> None:
    assert wrapped("mixup+spec_augment+freq_mixstyle, alpha 1.5") == "mixup+spec_augment+\nfreq_mixstyle,\nalpha 1.5"
    assert wrapped("spec_augment \u00d7 freq_mixstyle") == "spec_augment \u00d7\nfreq_mixstyle"
    assert wrapped("freq_mixstyle.alpha 0.3, gain") == "freq_mixstyle.alpha\n0.3, gain"
    assert wrapped("learning_rate 1e+06") == "learning_rate 1e+06"
    assert wrapped(50 * "x") == "\n".join(["x" * 22, "x" * 22, "x" * 6])


def test_a_row_without_augmentation_has_a_name_in_sentences(tmp_path: Path) -> None:
    configs = [{"augmentation": "none"}, {"augmentation": "mixup"}]
    found = analysed(tmp_path / "s", configs, gains=[0.3, 0.3], corpus=make_corpus(**SMALL))
    assert "the baseline (no augmentation, mean EER" in answer(found)


# unknown labels


def test_on_how_many_clips_each_tag_is_judged(tmp_path: Path) -> None:
    corpus = hide_labels(make_corpus(**SMALL, evaluation=3))
    found = analysed(tmp_path / "s", ALPHAS[:2], corpus=corpus)
    judged = corpus["folds"] >= 0
    targets = corpus["targets"]
    section = known_labels(found)
    assert section is not None
    known, there = (~np.isnan(targets[judged])).sum(axis=0), (targets[judged] > 0).sum(axis=0)
    assert [line.cells[1:3] for line in section.tables[0].lines] == [
        [f"{known[0]} of 45 clips", str(there[0])],
        ["45 of 45 clips", str(there[1])],
    ]
    assert section.tables[0].lines[0].cells[3] == f"{(~np.isnan(targets[~judged, 0])).sum()} of 15 clips"
    assert f"c on {known[0]} of 45 clips, the fewest." in " ".join(conclude(found).caveats)
    assert found.missing == []
    assert all(row.intervals["c"] is not None for row in found.rows)


def test_a_tag_that_few_clips_are_known_to_lack_is_warned_of(tmp_path: Path) -> None:
    corpus = make_corpus(groups=30, clips=10, tags=2, folds=2)
    targets = corpus["targets"].astype(np.float32)
    targets[:, 0] = np.where(np.arange(300) % 150 < 130, 1, np.nan)
    targets[[0, 10, 20, 30], 0] = 0
    found = analysed(tmp_path / "s", ALPHAS[:2], corpus=corpus | {"targets": targets})
    said = "fewer than 10 clips that have them, or are known to lack them, in some fold (c 2"
    assert said in " ".join(conclude(found).caveats)


def test_a_corpus_whose_labels_are_known_has_no_such_section(whole: Analysis) -> None:
    assert known_labels(whole) is None
    assert not [line for line in conclude(whole).caveats if "unknown" in line]
