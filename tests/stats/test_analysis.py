"""study.stats.analysis and study.sentences: rows, baseline, comparisons, and what is said of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study, with_results

from study.format import signed
from study.ledger.clips import CLIPS_FILE, read_clips
from study.ledger.results import SHOWN_ROWS
from study.reporting.prose import answer, cost, markdown_findings, origin, partial, published_note, trust
from study.stats.analysis import Findings, choose_baseline, find, make_row
from study.stats.selection_bias import best_of_many
from study.stats.significance import corrected_t, holm


def found(
    root: Path, configs: list[dict[str, Any]] | None = None, status: str = "finished", **changes: Any
) -> Findings:
    ledger = make_study(root, configs, **{"corpus": make_corpus(**SMALL), **changes})
    return find(ledger, with_results(ledger, status))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    corpus = make_corpus(groups=50, clips=10, tags=4, evaluation=10)
    root = tmp_path_factory.mktemp("studies") / "whole"
    return found(root, corpus=corpus, gains=[0.0, 0.1, 0.2, 0.3, 1.5, 0.3, -0.6])


# reference


def test_each_row_is_tested_against_the_baseline(whole: Findings) -> None:
    assert whole.baseline is whole.rows[0]
    assert whole.baseline.words == "the baseline"
    eers = np.array([[fold["eer_mean"] for fold in row.result["folds"]] for row in whole.rows])
    tests = [corrected_t(row - eers[0], 1 / 4) for row in eers[1:]]
    assert [row.test for row in whole.rows[1:]] == tests
    assert [row.adjusted for row in whole.rows[1:]] == holm([test.p for test in tests])
    assert whole.selection_optimism == best_of_many(eers)


def test_intervals_lie_around_each_figure(whole: Findings) -> None:
    assert whole.missing == []
    for row in whole.shown:
        for name, figure in {**row.result["eer"], "mean": row.mean}.items():
            low, high = row.intervals[name]
            assert low < figure < high
        assert row.eval_intervals["mean"][0] <= row.result["eval_eer_mean"] <= row.eval_intervals["mean"][1]
    assert sum(row.best_share for row in whole.shown) == pytest.approx(1)
    assert whole.best.best_share > 0.9


def test_answer_names_what_is_better(whole: Findings) -> None:
    said = answer(whole)
    assert said.startswith("alpha 1.5 (mean EER .")
    assert "is better than alpha 0 (mean EER ." in said
    assert whole.best.words == "better than the baseline"


def test_trust_says_by_how_much(whole: Findings) -> None:
    said = " ".join(trust(whole))
    assert f"an optimism of {signed(whole.selection_optimism)}" in said
    assert f"would change by {signed(whole.stopping_optimism)}" in said
    assert "The evaluation split took no part" in said
    assert "Another program" not in said


def test_trust_says_when_another_program_went_on(whole: Findings) -> None:
    later = {"versions": {**whole.study["versions"], "torch": "9.9"}, "git_commit": None}
    mixed = replace(whole, study={**whole.study, "continued_with": [later]})
    assert trust(mixed)[-2] == (
        "Another program went on with the study than had begun it (torch 2.11.0 to 9.9): rounding and random numbers "
        "may differ between the parts."
    )
    assert ("went on with", "torch 2.11.0 to 9.9") in origin(mixed)


def test_markdown_has_a_line_a_trial(whole: Findings) -> None:
    text = markdown_findings(whole)
    assert sum(line.startswith("| alpha") for line in text.splitlines()) == 7
    assert "better than the baseline" in text


# the baseline


CONFIGS = [
    {"augmentation": "mixup", "alpha": 1.0, "dropout": 0.1},
    {"augmentation": "none", "dropout": 0.5},
    {"augmentation": "none", "dropout": 0.1},
    {"augmentation": "mixup", "alpha": 0.0, "dropout": 0.1},
    {"augmentation": "sample_pairing", "dropout": 0.1},
]


@pytest.mark.parametrize(
    ("places", "study", "wanted", "why"),
    [
        ([0, 1, 2], {}, 2, "the row without augmentation, and of these the nearest to the default settings"),
        ([0, 1], {}, 1, "the row without augmentation"),
        ([0, 3], {}, 3, "the row without augmentation"),
        ([4, 0], {}, 4, "the first row, because none is without augmentation"),
        ([0, 1, 2], {"baseline": {"augmentation": "none", "dropout": 0.5}}, 1, "named by the space"),
        ([0, 2], {"baseline": {"dropout": 0.5}}, 2, "the row without augmentation"),
    ],
)
def test_baseline(places: list[int], study: dict[str, Any], wanted: int, why: str) -> None:
    from audiotag.config import TrialConfig

    rows = []
    for place in places:
        params = TrialConfig.from_dict(CONFIGS[place]).to_dict()
        rows.append(make_row("s", {"key": str(place), "params": params, "eer_mean": 0.1}, ["dropout"], ["dropout"]))
    row, said = choose_baseline(rows, {"varied": ["augmentation", "alpha", "dropout"], **study})
    assert (row.key, said) == (str(wanted), why)


# degenerate


def test_one_trial_has_nothing_to_compare_with(tmp_path: Path) -> None:
    findings = found(tmp_path / "one", ALPHAS[:1])
    assert answer(findings).endswith("and there is nothing to compare it with.")
    assert findings.selection_optimism is None
    assert findings.rows[0].intervals["mean"] is not None
    assert "Against the baseline" not in markdown_findings(findings)


def test_no_trial(tmp_path: Path) -> None:
    findings = found(tmp_path / "none", finished=0, status="interrupted")
    assert answer(findings) == "So far: there is no answer yet, because no trial has finished."
    assert partial(findings).startswith("0 of 7 trials are done")
    assert cost(findings)[0] == "0 trials finished, 0 stopped early by a scheduler, 0 failed, 7 without a result yet."


def test_equal_trials_are_not_distinguishable(tmp_path: Path) -> None:
    findings = found(tmp_path / "same", [*ALPHAS[:2]], gains=[0.3, 0.3])
    assert findings.rows[1].words == "not distinguishable"
    assert answer(findings).startswith(("alpha 0.1 is not better than alpha 0 (mean EER .", "alpha 0.1 does no better"))


def test_failed_trials_are_left_out_and_counted(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "failed", ALPHAS[:3], corpus=make_corpus(**SMALL), finished=2)
    ledger.trial("key0002").write_failure("the loss is not finite")
    findings = find(ledger, with_results(ledger))
    assert len(findings.rows) == 2
    assert "1 failed" in cost(findings)[0]
    assert findings.failed[0]["reason"] == "the loss is not finite"


def test_a_study_without_its_clips_says_so(tmp_path: Path) -> None:
    findings = found(tmp_path / "old", ALPHAS[:2], with_clips=False)
    assert findings.rows[1].test is not None
    assert findings.rows[0].intervals == {}
    (line,) = findings.missing
    assert "has no clips.npz" in line


@pytest.mark.parametrize("damage", [b"", b"not a zip file", None])
def test_damaged_clips_count_as_missing(damage: bytes | None, tmp_path: Path) -> None:
    if damage is None:
        np.savez(tmp_path / CLIPS_FILE, names=np.zeros(3, "U1"), targets=np.zeros((2, 1)), folds=[0], groups=[0])
    else:
        (tmp_path / CLIPS_FILE).write_bytes(damage)
    assert read_clips(tmp_path) is None


def test_foreign_clips_cost_the_intervals_alone(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "foreign", ALPHAS[:2], corpus=make_corpus(**SMALL))
    with np.load(ledger.root / CLIPS_FILE) as arrays:
        parts = dict(arrays)
    np.savez(ledger.root / CLIPS_FILE, **parts | {"names": np.char.add("x", parts["names"])})
    findings = find(ledger, with_results(ledger))
    assert "do not fit the clips" in findings.missing[0]
    assert findings.rows[1].test is not None


def test_large_studies_show_the_best_and_the_baseline(tmp_path: Path) -> None:
    configs = [{"augmentation": "mixup", "alpha": 0.1 * number} for number in range(SHOWN_ROWS + 6)]
    findings = found(tmp_path / "large", configs, epochs=1, gains=[-2.0, *np.linspace(0.1, 1, SHOWN_ROWS + 5)])
    assert len(findings.shown) == SHOWN_ROWS + 1
    assert findings.shown[-1] is findings.baseline
    means = [row.mean for row in findings.shown[:-1]]
    assert means == sorted(row.mean for row in findings.rows)[:SHOWN_ROWS]
    assert all(row.intervals for row in findings.shown)
    assert all(row.test for row in findings.rows if row is not findings.baseline)


def test_published_rows_get_their_footnote(whole: Findings) -> None:
    assert published_note(whole) == ""
    whole.shown[0].result["published"] = {"footnote": "the cells give .121"}
    try:
        assert published_note(whole).endswith("* The cells give .121.")
    finally:
        del whole.shown[0].result["published"]
