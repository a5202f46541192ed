"""Which trials are worth another fold: the arithmetic, and that decisions survive whatever kills a study."""

from pathlib import Path

import pytest
from helpers.made_up import make_corpus, make_fixed_study, make_study

from audiotag.metrics import METRICS
from study.ledger.ledger import Ledger
from study.ledger.partitions import record_partitions
from study.ledger.pruning import read_passed, read_pruned, write_passed, write_pruned
from study.ledger.results import is_complete, merged_folds, running_means, seed_means, study_results
from study.ledger.saved_state import pack_fold
from study.ledger.schema import Figures, FoldRecord
from study.search.asha import Rungs, cutoff, rung_folds, rungs_in_words

FIVE = make_corpus(groups=15, clips=4, tags=2, folds=5)
TAGS = ("c", "m")
EER, AP = METRICS["eer"], METRICS["ap"]


def make(root: Path, *means: list[float], metric: str = "eer") -> Ledger:
    """A study of five folds whose trials have these means of a metric in their first folds, and EERs that say less."""
    configs = [{"dropout": number / 10} for number in range(len(means))]
    ledger = make_study(root, configs, corpus=FIVE, finished=0, with_clips=False, scheduler="asha", metric=metric)
    for folder, values in zip(ledger.trials(), means, strict=True):
        for fold, value in enumerate(values):
            figures = {"eer": Figures(dict.fromkeys(TAGS, 0.5), 0.5)}
            figures |= {metric: Figures(dict.fromkeys(TAGS, value), value)}
            folder.write_fold(FoldRecord(fold, figures, 0, 1, 2.0, (), (), folder.trial), pack_fold({}, {}))
    return ledger


def keys_of(ledger: Ledger) -> list[str]:
    return [folder.key for folder in ledger.trials()]


# reference: worked by hand


@pytest.mark.parametrize(
    ("folds", "rungs"),
    [(1, []), (2, [1]), (3, [1]), (4, [1, 2]), (5, [1, 2]), (7, [1, 2]), (8, [1, 2, 4]), (10, [1, 2, 4])],
)
def test_rungs_double_as_long_as_as_many_folds_again_would_follow(folds: int, rungs: list[int]) -> None:
    assert rung_folds(folds) == rungs


def test_cutoff_separates_the_better_third() -> None:
    assert cutoff([], EER) is None
    assert cutoff([0.1, 0.3], EER) is None
    assert cutoff([0.1, 0.4, 0.3], EER) == pytest.approx(0.1 + (2 / 3) * 0.2)  # two thirds of the way from 1st to 2nd
    assert cutoff([0.4, 0.3, 0.2, 0.1], EER) == pytest.approx(0.2)
    assert cutoff([0.2] * 5, EER) == 0.2


def test_cutoff_of_a_metric_of_which_more_is_better() -> None:
    assert cutoff([0.9, 0.8], AP) is None
    assert cutoff([0.9, 0.6, 0.7], AP) == pytest.approx(0.9 - (2 / 3) * 0.2)
    assert cutoff([0.8] * 5, AP) == 0.8


def test_a_trial_below_the_cutoff_is_pruned_where_more_is_better(tmp_path: Path) -> None:
    ledger = make(tmp_path / "s", [0.9], [0.8], [0.7], [0.69], [0.95], [0.69], metric="ap")
    weak, strong, _ = ledger.trials()[-3:]
    rungs = Rungs(ledger)
    record = rungs.judge(weak.key, 1, 0.69)
    assert record is not None
    assert (record.mean, record.bound) == (0.69, pytest.approx(cutoff([0.9, 0.8, 0.7, 0.95, 0.69], AP)))
    assert record.bound > 0.69
    assert rungs.judge(strong.key, 1, 0.95) is None
    assert (read_passed(strong), read_pruned(strong)) == ((1,), None)


def test_a_mean_over_r_folds_is_of_the_first_r(tmp_path: Path) -> None:
    ledger = make(tmp_path / "s", [0.2, 0.4, 0.3])
    (folder,) = ledger.trials()
    assert running_means(merged_folds(folder, ledger.study), ledger.study) == pytest.approx([0.2, 0.3, 0.3])
    (folder.path / "fold_1.json").unlink()  # a gap ends it: folds 0 and 2 are not the first two
    assert running_means(merged_folds(folder, ledger.study), ledger.study) == pytest.approx([0.2])


# property


def test_a_trial_is_compared_over_the_same_folds_only(tmp_path: Path) -> None:
    """The folds differ in difficulty: .5 in the second is good here, and would be bad after the first."""
    ledger = make(tmp_path / "s", [0.1, 0.9], [0.1, 0.9], [0.1, 0.9], [0.2, 0.6])
    last = ledger.trials()[-1]
    assert Rungs(ledger).judge(last.key, 2, 0.4) is None
    assert read_passed(last) == (2,)


def test_the_first_three_trials_and_equal_means_pass(tmp_path: Path) -> None:
    ledger = make(tmp_path / "s", [], [], [], [])
    rungs = Rungs(ledger)
    assert [rungs.judge(key, 1, mean) for key, mean in zip(keys_of(ledger), (0.9, 0.2, 0.2, 0.2), strict=True)] == (
        [None] * 4
    )


def test_a_trial_above_the_cutoff_is_pruned_and_the_ledger_says_why(tmp_path: Path) -> None:
    ledger = make(tmp_path / "s", [0.1], [0.2], [0.3], [0.31])
    last = ledger.trials()[-1]
    record = Rungs(ledger).judge(last.key, 1, 0.31)
    assert record is not None
    assert record == read_pruned(last)
    assert (record.folds, record.rung, record.mean) == (1, 1, 0.31)
    assert record.bound == pytest.approx(0.1 + (2 / 3) * 0.1)
    assert record.reason == "pruned after 1 fold: mean .310, cutoff .167"


@pytest.mark.parametrize("folds", [3, 4, 5])
def test_between_rungs_nothing_is_decided(folds: int, tmp_path: Path) -> None:
    ledger = make(tmp_path / "s", [0.1] * 5, [0.1] * 5, [0.1] * 5, [0.9] * 5)
    last = ledger.trials()[-1]
    assert Rungs(ledger).judge(last.key, folds, 0.9) is None
    assert read_passed(last) == ()


def test_partitions_that_were_drawn_decide_nothing(tmp_path: Path) -> None:
    """A trial is judged after 1 and 2 folds of the corpus's own, and by these alone."""
    ledger = make(tmp_path / "s", [0.1] * 5, [0.1] * 5, [0.1] * 5, [0.1] * 5, [])
    ledger.update_study(drawn=record_partitions([FIVE["folds"][::-1]], seed=0))
    *_, last, new = ledger.trials()
    figures = {"eer": Figures(dict.fromkeys(TAGS, 0.9), 0.9)}
    for fold in range(5):
        record = FoldRecord(fold, figures, 0, 1, 2.0, (), (), last.trial)
        last.for_partition(2).write_fold(record, pack_fold({}, {}))
    rungs = Rungs(ledger)
    assert [rungs.judge(last.key, folds, 0.9) for folds in range(5, 11)] == [None] * 6
    pruned = rungs.judge(new.key, 1, 0.2)
    assert pruned is not None
    assert pruned.bound == pytest.approx(0.1)


def test_failed_trials_do_not_count_and_pruned_ones_do(tmp_path: Path) -> None:
    ledger = make(tmp_path / "s", [0.05], [0.1], [0.2], [0.3], [0.9], [0.9])
    failed, pruned, _, third, *last = ledger.trials()
    failed.write_failure("diverged")
    write_pruned(pruned, 1, 0.1, 0.05)
    rungs = Rungs(ledger)
    rungs.remove(last[1].key)
    record = rungs.judge(last[0].key, 1, 0.9)
    assert record is not None
    assert record.bound == pytest.approx(cutoff([0.1, 0.2, 0.3], EER))
    rungs.remove(last[0].key)
    rungs.remove(third.key)
    assert rungs.judge(last[1].key, 1, 0.9) is None  # two others are left


@pytest.mark.parametrize("rung", [1, 2])
def test_rungs_are_the_same_after_a_kill(tmp_path: Path, rung: int) -> None:
    """The cutoff of one more trial shows which means a rung holds."""
    killed = make(tmp_path / "killed", [0.3, 0.1], [0.2, 0.25], [0.1, 0.3], [0.25], [])
    live = make(tmp_path / "live", [], [], [], [], [])
    keys, means = keys_of(live), {1: (0.3, 0.2, 0.1, 0.25), 2: (0.2, 0.225, 0.2)}
    rungs = Rungs(live)
    for folds, reached in means.items():
        for key, mean in zip(keys, reached, strict=False):
            rungs.judge(key, folds, mean)
    unbroken, again = rungs.judge(keys[-1], rung, 0.9), Rungs(killed).judge(keys[-1], rung, 0.9)
    assert unbroken is not None
    assert again is not None
    assert again.bound == pytest.approx(unbroken.bound)


def test_a_decision_is_made_once(tmp_path: Path) -> None:
    """A trial that passed with a mean that would not pass any more goes on after a kill; a pruned one stays so."""
    ledger = make(tmp_path / "s", [0.1], [0.1], [0.1], [0.9], [0.05])
    *_, weak, strong = ledger.trials()
    write_passed(weak, 1)
    pruned = write_pruned(strong, 1, 0.05, 0.01)
    assert Rungs(ledger).judge(weak.key, 1, 0.9) is None
    assert read_pruned(weak) is None
    assert Rungs(ledger).judge(strong.key, 1, 0.05) == pruned


def test_the_result_of_a_pruned_trial_has_its_folds_and_no_figures_to_rank_it_by(tmp_path: Path) -> None:
    """It had better folds than the two that finished."""
    ledger = make(tmp_path / "s", [0.2] * 5, [0.3] * 5, [0.1, 0.1])
    record = write_pruned(ledger.trials()[2], 2, 0.31, 0.25)
    results = study_results(ledger, "finished")
    trial = results.trials[2]
    assert [entry.status for entry in results.trials] == ["finished", "finished", "pruned"]
    assert (trial.figures["eer"], trial.evaluation) == (Figures(dict.fromkeys(TAGS), None), {})
    assert [fold.figures["eer"].mean for fold in trial.folds] == [0.1, 0.1]
    assert (trial.seconds, trial.reason, trial.pruned) == (4.0, record.reason, record)
    assert results.best is results.trials[0]
    assert is_complete(ledger)


# seeds of a fixed split


def test_on_a_fixed_split_a_trial_is_judged_after_seeds(tmp_path: Path) -> None:
    configs = [{"dropout": number / 10} for number in range(4)]
    ledger = make_fixed_study(tmp_path / "s", configs, finished=0, scheduler="asha", repeats=4)
    *first, weak = ledger.trials()
    for folder, values in zip(first, ([0.2, 0.3], [0.3, 0.1], [0.1]), strict=True):
        for part, value in zip(folder.for_seeds(ledger.study.seeds), values, strict=False):
            figures = {"eer": Figures(dict.fromkeys(TAGS, value), value)}
            part.write_fold(FoldRecord(1, figures, 0, 1, 2.0, (), (), part.trial), pack_fold({}, {}))
    records = [part.read_fold(1) for part in first[0].for_seeds(range(4))]
    assert seed_means(list(filter(None, records)), ledger.study) == pytest.approx([0.2, 0.25])
    rungs = Rungs(ledger)
    record = rungs.judge(weak.key, 1, 0.25)
    assert record is not None
    assert record.bound == pytest.approx(cutoff([0.2, 0.3, 0.1], EER))
    assert record.reason.startswith("pruned after 1 seed: mean .250")
    assert rungs.judge(first[0].key, 2, 0.25) is None  # of two trials that have come so far
    assert "after 1 and 2 of 4 seeds" in rungs_in_words(ledger.study)
