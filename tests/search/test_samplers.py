"""Proposals: by which sampler, never twice, and after an interruption as without one. Nothing is trained."""

import logging
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from helpers.made_up import make_corpus, make_study
from helpers.searching import searcher_of

from search_spaces import SAMPLERS, Space, load_space
from study.ledger.ledger import Ledger
from study.ledger.progress import METRIC
from study.search.samplers import Samplers
from study.search.searcher import LedgerSearcher
from study.search.space import quiet_optuna

SAMPLED = ("tpe", "gp", "qmc", "random")
SMALL = make_corpus(groups=6, clips=4, tags=2, folds=2)


def sampled(name: str, sampler: str) -> Space:
    return replace(load_space(name), sampler=sampler)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_sampler_warns_of_being_experimental(sampler: str) -> None:
    Samplers(sampled("augmentation", sampler), 0).at(0)


def empty(root: Path, **study: Any) -> Ledger:
    return make_study(root, [], corpus=SMALL, with_clips=False, settings={}, **study)


def eer(parameters: dict[str, Any]) -> float:
    """A made-up objective: mixup with much alpha and little dropout is best."""
    kinds = {"mixup": 0.1, "mixup_lp": 0.15, "extrapolation": 0.15}
    alpha = abs(np.log(parameters.get("alpha", 1.0) + 0.1) - 1)
    return float(
        kinds.get(parameters.get("augmentation", "mixup"), 0.2) + 0.03 * alpha + 0.1 * parameters.get("dropout", 0)
    )


def try_out(search: LedgerSearcher, trials: int, first: int = 0) -> list[dict[str, Any]]:
    """Proposals, each told its result before the next; as Ray Tune asks for them."""
    found = []
    with quiet_optuna():
        for number in range(first, first + trials):
            parameters = search.suggest(f"{number}")
            assert isinstance(parameters, dict), parameters
            found.append(parameters)
            search.on_trial_complete(f"{number}", {METRIC: eer(parameters)})
    return found


def distinct(rows: list[dict[str, Any]]) -> int:
    return len({tuple(sorted(row.items())) for row in rows})


@pytest.mark.parametrize("sampler", SAMPLED)
def test_a_sampler_meets_the_conditions_of_a_space_and_says_nothing(
    sampler: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        rows = try_out(searcher_of(empty(tmp_path / "s"), sampled("joint", sampler)), 12)
    assert distinct(rows) == 12
    for row in rows:
        assert ("alpha" in row) == (row["augmentation"] in ("mixup", "mixup_lp", "extrapolation"))
    assert len({row["augmentation"] for row in rows}) >= 3
    assert caplog.records == []
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("sampler", [*SAMPLED, "exhaustive"])
def test_a_space_with_an_end_is_tried_to_its_end_without_a_repeat(sampler: str, tmp_path: Path) -> None:
    search = searcher_of(empty(tmp_path / "s"), sampled("dropout", sampler))
    rows = try_out(search, 10)
    assert distinct([{**row, "augmentation": row["augmentation"]} for row in rows]) == 10
    with quiet_optuna():
        assert search.suggest("more") == "FINISHED"


@pytest.mark.parametrize("sampler", SAMPLED)
def test_trials_that_cannot_be_run_are_not_proposed(sampler: str, tmp_path: Path) -> None:
    left_out = [{"name": "", "params": {"augmentation": "none", "dropout": dropout}} for dropout in (0.0, 0.1, 0.2)]
    search = searcher_of(empty(tmp_path / "s", left_out=left_out), sampled("dropout", sampler))
    rows = try_out(search, 7)
    assert not [row for row in rows if row["augmentation"] == "none" and row["dropout"] < 0.3]
    with quiet_optuna():
        assert search.suggest("more") == "FINISHED"


def half(trial: Any) -> None:
    """Leaves half of its plane out, and one combination of its choices."""
    augmentation = trial.suggest_categorical("augmentation", ["mixup", "mixup_lp"])
    alpha, dropout = trial.suggest_float("alpha", 0.1, 0.9), trial.suggest_float("dropout", 0.1, 0.9)
    if alpha + dropout > 1 or (augmentation == "mixup" and trial.suggest_categorical("batch_size", [22, 44]) == 22):
        raise optuna.TrialPruned


def few(trial: Any) -> None:
    """Has 4 of 64 combinations."""
    names = ("batch_size", "patience", "max_epochs")
    if sum(trial.suggest_int(name, 1, 4) for name in names) > 4:
        raise optuna.TrialPruned


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLED)
def test_what_a_space_leaves_out_is_not_proposed(sampler: str, tmp_path: Path) -> None:
    search = searcher_of(empty(tmp_path / "s"), replace(load_space("joint"), sampler=sampler, define=half))
    rows = try_out(search, 14)
    assert distinct(rows) == 14
    assert all(row["alpha"] + row["dropout"] <= 1 for row in rows)
    assert all(row.get("batch_size") != 22 for row in rows)
    assert len({row["augmentation"] for row in rows}) == 2
    assert {trial.state.name for trial in search._ot_study.trials} <= {"COMPLETE", "FAIL"}


@pytest.mark.parametrize("sampler", [*SAMPLED, "exhaustive"])
def test_a_space_that_leaves_most_out_is_tried_to_its_end(sampler: str, tmp_path: Path) -> None:
    search = searcher_of(empty(tmp_path / "s"), replace(load_space("joint"), sampler=sampler, define=few))
    rows = try_out(search, 4)
    assert distinct(rows) == 4
    with quiet_optuna():
        assert search.suggest("more") == "FINISHED"


@pytest.mark.parametrize("name", ["joint", "half"])
@pytest.mark.parametrize("sampler", ["qmc", "random"])
def test_a_resumed_sequence_goes_on_where_it_was(sampler: str, name: str, tmp_path: Path) -> None:
    space = sampled("joint", sampler) if name == "joint" else replace(load_space("joint"), sampler=sampler, define=half)
    unbroken = try_out(searcher_of(empty(tmp_path / "a"), space), 9)
    broken = empty(tmp_path / "b")
    first = try_out(searcher_of(broken, space), 5)
    for folder in broken.trials()[:3]:  # the other two had not ended when the study was killed
        folder.write_failure("made up")
    second = try_out(searcher_of(broken, space), 6)
    assert first + second[2:] == unbroken
    assert second[:2] == first[3:]


def conditional(trial: Any) -> None:
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    trial.suggest_float("rate", 0.0, 0.5)
    trial.suggest_int("units", 8, 512, log=True)
    trial.suggest_int("layers", 1, 7, step=2)
    if kind != "a":
        trial.suggest_float("alpha", 0.1, 5)


SEQUENCE = {  # of seed 17, from the first version of this sampler on: a resumed study goes on in it
    0: {"kind": "c", "rate": 0.384172587, "units": 19, "layers": 1, "alpha": 3.762334502},
    1: {"kind": "a", "rate": 0.223632136, "units": 77, "layers": 7},
    5: {"kind": "b", "rate": 0.000828723, "units": 11, "layers": 3, "alpha": 1.273272737},
    12: {"kind": "b", "rate": 0.439118941, "units": 28, "layers": 7, "alpha": 0.96779329},
}


@pytest.mark.parametrize("position", SEQUENCE)
def test_a_point_of_the_sobol_sequence_depends_on_seed_and_position_alone(position: int) -> None:
    samplers = Samplers(replace(load_space("joint"), sampler="qmc", define=conditional), 17)
    for study in (optuna.create_study(), optuna.create_study()):
        study.sampler = samplers.at(position)
        trial = study.ask()
        conditional(trial)
        wanted = SEQUENCE[position]
        assert trial.params["kind"] == wanted["kind"]
        numbers = {name: value for name, value in trial.params.items() if name != "kind"}
        assert numbers == pytest.approx({name: wanted[name] for name in wanted if name != "kind"}, abs=1e-8)


def test_a_sobol_sequence_fills_each_parameter_evenly(tmp_path: Path) -> None:
    rows = try_out(searcher_of(empty(tmp_path / "s"), sampled("joint", "qmc")), 32)
    dropouts = sorted(row["dropout"] for row in rows)
    assert max(high - low for low, high in pairwise(dropouts)) < 2.1 * 0.5 / 32  # a point in each of 32 strata


def test_tpe_learns_from_what_it_was_told(tmp_path: Path) -> None:
    rows = try_out(searcher_of(empty(tmp_path / "s"), sampled("joint", "tpe")), 40)
    early, late = ([eer(row) for row in part] for part in (rows[:10], rows[-10:]))
    assert np.mean(late) < np.mean(early) - 0.02
