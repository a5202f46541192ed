"""What the report of a study says of its confirmation: the sentence, the section, and the figures for MLflow."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.made_up import ALPHAS, make_corpus, make_study, with_results

from study.format import decimal, probability, signed
from study.ledger.confirmation import confirmation_folder
from study.ledger.findings import read_findings
from study.ledger.ledger import Ledger
from study.ledger.results import study_results
from study.ledger.saved_state import pack_fold
from study.ledger.schema import ConfirmedTrial, Confirms, DrawnPartition
from study.reporting.conclusion import conclude, settling_command
from study.reporting.confirmation import confirmation_in_words, confirmed_figures
from study.reporting.prose import context, p_value
from study.reporting.results_files import REPORT, TABLE, write_results
from study.reporting.sections.answer import header
from study.reporting.sections.confirmation import confirmation
from study.stats.analysis import Analysis, analyse
from study.stats.posterior import posterior_of
from study.stats.significance import corrected_t
from study.tracking.metric_names import finding_values

AGAIN = make_corpus(seed=1, groups=40, clips=5, tags=2, folds=5)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A study whose third trial is the best."""
    return make_study(tmp_path / "s", ALPHAS[:3], corpus=AGAIN, gains=[0.0, 0.1, 0.9])


def confirm(ledger: Ledger, gains: tuple[float, ...] = (0.0, 0.6), key: str = "key0002", **options: Any) -> Ledger:
    """The confirmation of two trials of a study; with fewer gains as many of them are finished."""
    trials = {folder.key: folder.trial.config for folder in ledger.trials()}
    winner, baseline = (ConfirmedTrial(name, trials[name]) for name in (key, "key0000"))
    folds = DrawnPartition(7, " ".join(map(str, AGAIN["folds"].tolist())))
    of = Confirms("s", ledger.study.id, winner, baseline, folds)
    configs = [ALPHAS[0], ALPHAS[int(key[-1])]]
    options = {"corpus": AGAIN, "gains": [*gains], "finished": len(gains), "prefix": "again", "seed": 7} | options
    found = make_study(confirmation_folder(ledger.root), configs, **options)
    found.update_study(confirms=of)
    return found


def analysed(ledger: Ledger) -> Analysis:
    return analyse(ledger, with_results(ledger))


def test_the_sentence_has_the_figures_of_the_single_comparison(ledger: Ledger) -> None:
    again = study_results(confirm(ledger), "finished").trials
    analysis = analysed(ledger)
    by_fold = np.array([[fold.figures["eer"].mean for fold in trial.folds] for trial in again])
    differences = by_fold[1] - by_fold[0]
    test = corrected_t(differences, 1 / 4)
    found = posterior_of(differences, 1 / 4, analysis.margin, analysis.objective)
    better, same, worse = (probability(p) for p in (found.better, found.same, found.worse))
    assert analysis.best.key == "key0002"
    sentence = confirmation_in_words(analysis)
    assert sentence.startswith(
        "To quote: trained again on folds and seeds that had no part in the choice, alpha 0.5 has a mean EER of "
        f"{decimal(by_fold[1].mean())} against {decimal(by_fold[0].mean())} of the baseline: difference "
        f"{signed(differences.mean())}, 95 % interval {signed(test.low)} to {signed(test.high)}, p {p_value(test.p)}; "
        f"P(better) {better}, P(the same within .01) {same}, P(worse) {worse}; "
    )
    figures = confirmed_figures(analysis)
    assert figures.keys() == {"key0000", "key0002"}
    winner = figures["key0002"]
    assert (winner.mean, winner.difference) == pytest.approx((by_fold[1].mean(), differences.mean()))
    assert (winner.difference_low, winner.difference_high, winner.p) == pytest.approx((test.low, test.high, test.p))
    assert (winner.p_better, winner.p_same, winner.p_worse) == (found.better, found.same, found.worse)
    assert (figures["key0000"].mean, figures["key0000"].difference) == (pytest.approx(by_fold[0].mean()), None)


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ((0.0, 2.5), "better by more than chance."),
        ((2.5, 0.0), "worse by more than chance."),
    ],
)
def test_the_verdict(gains: tuple[float, float], verdict: str, ledger: Ledger) -> None:
    confirm(ledger, gains)
    assert confirmation_in_words(analysed(ledger)).endswith(f"; {verdict}")


def test_trials_without_a_test(ledger: Ledger) -> None:
    """Both have the same scores, but for the noise of their own: without it they are equal in every fold."""
    found = confirm(ledger)
    records = [found.trials()[0].read_fold(fold) for fold in found.study.folds]
    for record in records:
        copied = replace(record, trial=found.trials()[1].trial)
        found.trials()[1].write_fold(
            copied, pack_fold(found.trials()[0].read_scores(record.fold, "held_out", "held_out_clips"), {})
        )
    assert "not tested (equal in every fold)" in confirmation_in_words(analysed(ledger))


def test_report_table_and_findings_have_it(ledger: Ledger) -> None:
    write_results(ledger, "finished")
    assert "confirmed" not in (ledger.root / TABLE).read_text()
    assert read_findings(ledger).confirmation is None
    confirm(ledger)
    write_results(ledger, "finished", redraw=True)
    sentence = confirmation_in_words(analysed(ledger))
    table, page, found = (ledger.root / TABLE).read_text(), (ledger.root / REPORT).read_text(), read_findings(ledger)
    assert "## Confirmation" in table
    assert sentence in table
    assert sentence in page.replace("&lt;", "<").replace("&gt;", ">")
    assert found.confirmation == sentence
    assert sentence in found.markdown
    assert {trial.key for trial in found.trials if trial.confirmed is not None} == {"key0000", "key0002"}


def test_the_section_puts_both_means_side_by_side(ledger: Ledger) -> None:
    again = study_results(confirm(ledger), "finished").trials
    analysis = analysed(ledger)
    rows = confirmation(analysis).tables[0].texts()
    best, baseline = analysis.best, analysis.baseline
    assert [row[1:] for row in rows] == [
        [decimal(best.mean), decimal(again[1].mean)],
        [decimal(baseline.mean), decimal(again[0].mean)],
        [signed(best.mean - baseline.mean), signed(again[1].mean - again[0].mean)],
    ]


def test_one_that_has_no_result_yet(ledger: Ledger) -> None:
    confirm(ledger, (0.1,))
    analysis = analysed(ledger)
    sentence = confirmation_in_words(analysis)
    assert sentence.startswith("A confirmation of alpha 0.5 has begun; it goes on with `python study/confirm.py s ")
    assert confirmed_figures(analysis) == {}
    assert confirmation(analysis) is None


def test_one_with_a_failed_training(ledger: Ledger) -> None:
    confirm(ledger).trials()[1].write_failure("the loss is not finite")
    analysis = analysed(ledger)
    assert "has no result, because a training failed: the loss is not finite." in confirmation_in_words(analysis)
    assert confirmed_figures(analysis) == {}


def test_one_of_a_row_that_is_no_longer_chosen_is_not_shown(ledger: Ledger) -> None:
    confirm(ledger, key="key0001")
    analysis = analysed(ledger)
    assert (confirmation_in_words(analysis), confirmation(analysis), confirmed_figures(analysis)) == (None, None, {})


def test_one_that_cannot_be_read_is_not_shown(ledger: Ledger) -> None:
    (confirm(ledger).root / "study.json").write_text("{")
    with pytest.warns(UserWarning, match="cannot be read"):
        assert confirmation_in_words(analysed(ledger)) is None


def test_mlflow_gets_its_figures_apart(ledger: Ledger) -> None:
    confirm(ledger)
    own = {trial.key: finding_values(trial, "eer") for trial in conclude(analysed(ledger)).trials}
    names = {name for name in own["key0002"] if name.startswith("confirmed/")}
    assert names == {"confirmed/eer_mean", "confirmed/difference", "confirmed/difference_low"} | {
        f"confirmed/{name}" for name in ("difference_high", "p", "p_better", "p_same", "p_worse")
    }
    assert not [name for name in own["key0001"] if name.startswith("confirmed/")]
    assert own["key0002"]["confirmed/eer_mean"] != own["key0002"]["vs_baseline/difference"]


def test_the_report_of_the_confirmation_offers_no_more_partitions_and_corrects_for_no_choice(ledger: Ledger) -> None:
    again = analysed(confirm(ledger, (0.0, 0.05)))
    assert again.selection_bias is None
    assert settling_command(again) is None
    assert "partitions" not in " ".join(conclude(again).details)
    found = conclude(again).answer + context(again.results) + str(header(again).html)
    assert "Cross-validation chose" not in found
    assert "that cross-validation chose" not in found
    assert "Confirmation of s, on folds drawn for it." in found
    assert "s, on folds drawn for it</li>" in found
    assert analysed(ledger).selection_bias is not None
