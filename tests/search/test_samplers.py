"""What is proposed: by which sampler, never twice, and after an interruption as without one. Nothing is trained."""

import logging
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from helpers.made_up import make_corpus, make_study

from search_spaces import SAMPLERS, Space, load_space
from study.ledger.context import TrialSettings
from study.ledger.files import write_json
from study.ledger.ledger import Ledger
from study.search.samplers import Samplers
from study.search.searcher import LedgerSearch, make_search
from study.search.space import quiet_optuna

SAMPLED = ("tpe", "gp", "qmc", "random")
SMALL = make_corpus(groups=6, clips=4, tags=2, folds=2)


def sampled(name: str, sampler: str) -> Space:
    return replace(load_space(name), sampler=sampler)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_sampler_warns_of_being_experimental(sampler: str) -> None:
    Samplers(sampled("augmentation", sampler), 0).at(0)


def search_of(ledger: Ledger, space: Space) -> LedgerSearch:
    settings = TrialSettings(str(ledger.root), {}, "0", seed=0, protocol="paper")
    search = make_search(space, ledger, settings)
    search.set_search_properties("eer_mean", "min", {})
    return search


def empty(root: Path, **study: Any) -> Ledger:
    return make_study(root, [], corpus=SMALL, with_clips=False, **study)


def eer(parameters: dict[str, Any]) -> float:
    """A made-up objective: mixup with much alpha and little dropout is best."""
    kinds = {"mixup": 0.1, "mixup_lp": 0.15, "extrapolation": 0.15}
    alpha = abs(np.log(parameters.get("alpha", 1.0) + 0.1) - 1)
    return float(
        kinds.get(parameters.get("augmentation", "mixup"), 0.2) + 0.03 * alpha + 0.1 * parameters.get("dropout", 0)
    )


def try_out(search: LedgerSearch, trials: int, first: int = 0) -> list[dict[str, Any]]:
    """Proposals, each told its result before the next; as Ray Tune asks for them."""
    found = []
    with quiet_optuna():
        for number in range(first, first + trials):
            parameters = search.suggest(f"{number}")
            assert isinstance(parameters, dict), parameters
            found.append(parameters)
            search.on_trial_complete(f"{number}", {"eer_mean": eer(parameters)})
    return found


def distinct(rows: list[dict[str, Any]]) -> int:
    return len({tuple(sorted(row.items())) for row in rows})


@pytest.mark.parametrize("sampler", SAMPLED)
def test_a_sampler_meets_the_conditions_of_a_space_and_says_nothing(
    sampler: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        rows = try_out(search_of(empty(tmp_path / "s"), sampled("joint", sampler)), 12)
    assert distinct(rows) == 12
    for row in rows:
        assert ("alpha" in row) == (row["augmentation"] in ("mixup", "mixup_lp", "extrapolation"))
    assert len({row["augmentation"] for row in rows}) >= 3
    assert caplog.records == []
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("sampler", [*SAMPLED, "exhaustive"])
def test_a_space_with_an_end_is_tried_to_its_end_without_a_repeat(sampler: str, tmp_path: Path) -> None:
    search = search_of(empty(tmp_path / "s"), sampled("dropout", sampler))
    rows = try_out(search, 10)
    assert distinct([{**row, "augmentation": row["augmentation"]} for row in rows]) == 10
    with quiet_optuna():
        assert search.suggest("more") == "FINISHED"


@pytest.mark.parametrize("sampler", SAMPLED)
def test_trials_that_cannot_be_run_are_not_proposed(sampler: str, tmp_path: Path) -> None:
    left_out = [{"name": "", "params": {"augmentation": "none", "dropout": dropout}} for dropout in (0.0, 0.1, 0.2)]
    search = search_of(empty(tmp_path / "s", left_out=left_out), sampled("dropout", sampler))
    rows = try_out(search, 7)
    assert not [row for row in rows if row["augmentation"] == "none" and row["dropout"] < 0.3]
    with quiet_optuna():
        assert search.suggest("more") == "FINISHED"


@pytest.mark.parametrize("sampler", ["qmc", "random"])
def test_a_resumed_sequence_goes_on_where_it_was(sampler: str, tmp_path: Path) -> None:
    space = sampled("joint", sampler)
    unbroken = try_out(search_of(empty(tmp_path / "a"), space), 9)
    broken = empty(tmp_path / "b")
    first = try_out(search_of(broken, space), 5)
    for folder in broken.trials()[:3]:  # the other two had not ended when the study was killed
        folder.write_failure("made up")
    second = try_out(search_of(broken, space), 6)
    assert first + second[2:] == unbroken
    assert second[:2] == first[3:]


def test_a_sobol_sequence_fills_each_parameter_evenly_the_conditional_one_too(tmp_path: Path) -> None:
    rows = try_out(search_of(empty(tmp_path / "s"), sampled("joint", "qmc")), 32)
    dropouts = sorted(row["dropout"] for row in rows)
    assert max(high - low for low, high in pairwise(dropouts)) < 2.1 * 0.5 / 32  # a point in each of 32 strata
    samplers = Samplers(sampled("joint", "qmc"), 0)
    with quiet_optuna():
        points = [samplers.at(place)._find_sample_id(None, {}) for place in (0, 1, 7)]
    assert points == [0, 1, 7]


def test_tpe_learns_from_what_it_was_told(tmp_path: Path) -> None:
    rows = try_out(search_of(empty(tmp_path / "s"), sampled("joint", "tpe")), 40)
    early, late = ([eer(row) for row in part] for part in (rows[:10], rows[-10:]))
    assert np.mean(late) < np.mean(early) - 0.02


def test_stopped_trials_are_told_as_pruned_with_their_means(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", [{"augmentation": "none", "dropout": 0.1}], corpus=SMALL, finished=0)
    search = search_of(ledger, sampled("joint", "tpe"))
    with quiet_optuna():
        search.suggest("0")
        search.suggest("1")
        folder = ledger.trial(search._keys["1"])
        write_json(folder.path / "pruned.json", {"reason": "", "folds": 1, "rung": 1, "mean": 0.3, "bound": 0.2})
        search.on_trial_complete("1", {"eer_mean": 0.3})
    states = [trial.state.name for trial in search._study.trials]
    assert states == ["RUNNING", "PRUNED"]
    again = search_of(ledger, sampled("joint", "tpe"))
    states = [trial.state for trial in again._study.trials]
    assert states.count(optuna.trial.TrialState.PRUNED) == 1
