"""The searcher: what the private names of OptunaSearch that it uses hold, and what Optuna is told of a trial."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from helpers.made_up import ALPHAS, make_corpus, make_study
from helpers.searching import searcher_of
from optuna.trial import TrialState
from ray.tune.search.optuna import OptunaSearch

from search_spaces import SpaceError, load_space
from study.ledger.ledger import Ledger
from study.ledger.progress import METRIC, Report
from study.ledger.pruning import write_pruned
from study.ledger.results import study_results
from study.search.searcher import LedgerSearcher

FINISHED = {METRIC: 0.3}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    corpus = make_corpus(groups=6, clips=4, tags=2, folds=2)
    return make_study(tmp_path / "s", [], corpus=corpus, with_clips=False, settings={})


def test_optuna_search_keeps_its_study_and_its_open_trials_where_the_searcher_finds_them() -> None:
    search = OptunaSearch(space=load_space("mixup_alpha").define, metric=METRIC, mode="min")
    parameters = search.suggest("a")
    assert isinstance(search._ot_study, optuna.Study)
    (trial,) = search._ot_study.trials
    assert isinstance(search._ot_trials["a"], optuna.Trial)
    assert search._ot_trials["a"].params == trial.params == {"alpha": parameters["alpha"]}


@pytest.mark.parametrize(
    ("result", "error", "state"),
    [
        (FINISHED, False, "COMPLETE"),
        (Report(1.0, failed="the loss is not finite").to_dict(), False, "FAIL"),
        (FINISHED, True, "FAIL"),
    ],
)
def test_optuna_is_told_how_a_trial_ended(ledger: Ledger, result: dict[str, Any], error: bool, state: str) -> None:
    searcher = searcher_of(ledger)
    searcher.suggest("a")
    searcher.on_trial_complete("a", result, error)
    assert _states(searcher)[0] == state


def test_optuna_is_told_that_a_trial_was_pruned(ledger: Ledger) -> None:
    searcher = searcher_of(ledger)
    searcher.suggest("a")
    write_pruned(ledger.trials()[0], 1, 0.4, 0.3)
    searcher.on_trial_complete("a", {METRIC: 0.4})
    assert _states(searcher)[0] == "PRUNED"
    assert _states(searcher_of(ledger)).count("PRUNED") == 1  # and again after a kill


@pytest.mark.parametrize(("metric", "best"), [("eer", 0.2), ("ap", 0.4)])
def test_optuna_knows_which_figures_are_good(tmp_path: Path, metric: str, best: float) -> None:
    corpus = make_corpus(groups=6, clips=4, tags=2, folds=2)
    searcher = searcher_of(make_study(tmp_path / metric, [], corpus=corpus, settings={}, metric=metric))
    for name, mean in (("a", 0.3), ("b", 0.2), ("c", 0.4)):
        searcher.suggest(name)
        searcher.on_trial_complete(name, Report(mean, 2).to_dict())
    assert searcher._ot_study.best_value == best
    assert (searcher.metric, searcher.mode) == (METRIC, {"eer": "min", "ap": "max"}[metric])


def test_an_unfinished_trial_is_proposed_first_after_a_kill(ledger: Ledger) -> None:
    killed = searcher_of(ledger)
    ended, unfinished = killed.suggest("a"), killed.suggest("b")
    ledger.trials()[0].write_failure("made up")
    resumed = searcher_of(ledger)
    proposals = [resumed.suggest("a") for _ in range(6)]
    assert proposals[0] == unfinished
    assert ended not in proposals
    assert [row["alpha"] for row in proposals] == [0.1, 0.5, 1.0, 1.5, 2.0, 5.0]  # in the order of the space
    assert resumed.suggest("z") == "FINISHED"
    assert [folder.trial.number for folder in ledger.trials()] == list(range(7))


def test_a_trial_with_a_partition_left_is_proposed_again_and_learned_from_once_it_has_ended(tmp_path: Path) -> None:
    """Its value is the mean over the corpus's own folds, whatever the partitions give."""
    corpus = make_corpus(groups=6, clips=4, tags=2, folds=2)
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=corpus, epochs=1, partitions=2)
    for path in ledger.trials()[1].path.glob("fold_1_partition_2.*"):
        path.unlink()
    first, second = study_results(ledger, "interrupted").trials
    assert [trial.goes_on for trial in (first, second)] == [False, True]
    searcher = searcher_of(ledger)
    assert searcher._ot_study.best_value == first.mean
    assert len(searcher._ot_study.get_trials(states=[TrialState.COMPLETE])) == 1
    proposed = searcher.suggest("a")
    assert (proposed["augmentation"], proposed["alpha"]) == ("mixup", second.params["alpha"])


def test_nothing_is_proposed_while_there_is_no_slot_for_it(ledger: Ledger) -> None:
    slots = 2
    searcher = searcher_of(ledger, slots=lambda: slots)
    assert [searcher.suggest(name) is None for name in "abc"] == [False, False, True]
    slots = 3  # a node has joined
    assert [searcher.suggest(name) is None for name in "cd"] == [False, True]
    slots = 0  # all have gone
    for name in "ab":
        searcher.on_trial_complete(name, None, error=True)
        assert searcher.suggest("d") is None
    slots = 2
    assert searcher.suggest("d") is not None


def test_a_space_that_fails_for_a_proposal_ends_the_study_in_a_line(ledger: Ledger) -> None:
    """The scan draws a sample: what a rare value does wrong comes up in the search."""
    searcher = searcher_of(ledger)

    def define(trial: Any) -> None:
        raise ZeroDivisionError

    object.__setattr__(searcher._scan.space, "define", define)
    with pytest.raises(SpaceError, match="`mixup_alpha` cannot be run"):
        searcher.suggest("a")


def _states(searcher: LedgerSearcher) -> list[str]:
    return [trial.state.name for trial in searcher._ot_study.trials]
