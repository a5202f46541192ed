"""Factorial studies: which trials are one, and their effects against hand computations and least squares."""

import math
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.chains import THREE, every_chain
from helpers.made_up import SMALL, analysis_of, make_corpus, make_study, with_results
from scipy.stats import t as student

from study.ledger.ledger import Ledger
from study.stats.analysis import analyse
from study.stats.factorial import Design, Factor, analyse_factorial, contrast, find_design
from study.stats.significance import ALPHA, adjust, corrected_t, holm

NONE, MIXUP = {"augmentation": "none"}, {"augmentation": "mixup", "alpha": 1.5}
CHAINS = every_chain()
STUDIES = 500


def with_dropout(*augmentations: dict[str, Any]) -> list[dict[str, Any]]:
    """Each of some augmentations without and with dropout."""
    return [{**params, "dropout": dropout} for params in augmentations for dropout in (0.0, 0.2)]


DROPOUT = with_dropout(NONE, MIXUP)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return make_study(tmp_path_factory.mktemp("studies") / "s", finished=0, corpus=make_corpus(**SMALL))


def design_of(trials: list[dict[str, Any]], reference: int = 0) -> Design | None:
    return find_design(trials, {name for params in trials for name in params}, trials[reference])


# reference


def test_effects_of_two_factors_worked_by_hand() -> None:
    """With b off a takes .20 to .15, with b on .18 to .17: -.05 and -.01, on average -.03, and a difference of +.04."""
    cells = np.array([[[0.20], [0.18]], [[0.15], [0.17]]])  # a, b, fold
    assert contrast(cells, [0]) == pytest.approx([-0.03])
    assert contrast(cells, [1]) == pytest.approx([0.0])
    assert contrast(cells, [0, 1]) == pytest.approx([0.04])


def test_effects_of_three_factors_worked_by_hand() -> None:
    """y = 3 a + 5 b + 7 c + 2 a b + 11 a b c: the interaction of all is 11, and that of a and b 2 + 11 / 2."""
    a, b, c = np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij")
    cells = (3 * a + 5 * b + 7 * c + 2 * a * b + 11 * a * b * c)[..., None]
    wanted = {(0, 1, 2): 11, (0, 1): 2 + 11 / 2, (0, 2): 11 / 2, (1, 2): 11 / 2}
    wanted |= {(0,): 3 + 2 / 2 + 11 / 4, (1,): 5 + 2 / 2 + 11 / 4, (2,): 7 + 11 / 4}
    assert {group: contrast(cells, group)[0] for group in wanted} == pytest.approx(wanted)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_effects_equal_least_squares_coefficients(k: int) -> None:
    """Of factors coded as -1 and 1, times 2 for each factor of the effect."""
    cells = np.random.default_rng(k).normal(size=(*[2] * k, 5))
    groups = [group for order in range(1, k + 1) for group in combinations(range(k), order)]
    coded = np.array(list(product((-1, 1), repeat=k)))  # (cells, k), the last factor fastest
    columns = [np.ones(2**k), *(coded[:, group].prod(axis=1) for group in groups)]
    fitted = np.linalg.lstsq(np.stack(columns, axis=1), cells.reshape(2**k, 5), rcond=None)[0]
    for group, coefficients in zip(groups, fitted[1:], strict=True):
        assert contrast(cells, group) == pytest.approx(2 ** len(group) * coefficients)


def test_effects_are_tested_over_the_folds(ledger: Ledger) -> None:
    """The t of each fold's effects with the variance of Nadeau and Bengio, from the formula; Holm over the table."""
    means = np.random.default_rng(0).uniform(0.1, 0.3, size=(8, 5))
    found = analyse_factorial(analysis_of(ledger, CHAINS, means))
    assert [factor.on for factor in found.factors] == list(THREE)
    y = {frozenset(params["augmentation"].split("+")): own for params, own in zip(CHAINS, means, strict=True)}
    by_fold = {}
    for effect in found.effects:
        group = [factor.on for factor in effect.factors]
        signs = {chain: (-1) ** sum(name not in chain for name in group) for chain in y}
        by_fold[tuple(group)] = sum(sign * y[chain] for chain, sign in signs.items()) / 2 ** (3 - len(group))
    assert [len(group) for group in by_fold] == [1, 1, 1, 2, 2, 2, 3]
    p_values = []
    for effect, values in zip(found.effects, by_fold.values(), strict=True):
        error = math.sqrt((1 / 5 + 1 / 4) * values.var(ddof=1))
        t, reach = values.mean() / error, student.ppf(0.975, 4) * error
        p_values.append(2 * student.sf(abs(t), 4))
        assert (effect.tested.difference, effect.tested.t) == pytest.approx((values.mean(), t))
        assert (effect.tested.low, effect.tested.high) == pytest.approx((values.mean() - reach, values.mean() + reach))
        assert effect.tested.p == pytest.approx(p_values[-1])
    assert [effect.adjusted for effect in found.effects] == pytest.approx(holm(p_values))


def test_on_top_compares_two_trials(ledger: Ledger) -> None:
    means = np.random.default_rng(1).uniform(0.1, 0.3, size=(8, 5))
    found = analyse_factorial(analysis_of(ledger, CHAINS, means))
    by_name = {params["augmentation"]: own for params, own in zip(CHAINS, means, strict=True)}
    whole, without = by_name["mixup+spec_augment+freq_mixstyle"], ["spec_augment+freq_mixstyle"]
    without += ["mixup+freq_mixstyle", "mixup+spec_augment"]
    tests = [corrected_t(whole - by_name[name], 1 / 4) for name in without]
    for effect, test in zip(found.on_top, tests, strict=True):
        assert (effect.test.difference, effect.test.t) == pytest.approx((test.difference, test.t))
    assert [effect.adjusted for effect in found.on_top] == pytest.approx(adjust(tests))
    alone = [(by_name[name] - by_name["none"]).mean() for name in THREE]
    assert found.alone == pytest.approx(alone)


# property


@pytest.mark.parametrize("main", [0.0, -1.0])
def test_false_finds(main: float) -> None:
    """Of eight cells with a correlation of .2 between folds, without effects, or with main effects alone."""
    rng = np.random.default_rng(0)
    groups = [group for order in (1, 2, 3) for group in combinations(range(3), order)]
    number_on = np.indices((2, 2, 2)).sum(axis=0)[..., None]
    found = 0
    for _ in range(STUDIES):
        noise = math.sqrt(0.8) * rng.normal(size=(2, 2, 2, 5)) + math.sqrt(0.2) * rng.normal(size=(2, 2, 2, 1))
        tests = [corrected_t(contrast(noise + main * number_on, group), 1 / 4) for group in groups]
        none = [p for group, p in zip(groups, adjust(tests), strict=True) if len(group) > 1 or main == 0]
        found += min(none) < ALPHA
    assert found / STUDIES <= 0.06


@pytest.mark.parametrize(("metric", "gain"), [("eer", -0.05), ("ap", 0.05)])
def test_the_objective_says_what_is_better(ledger: Ledger, metric: str, gain: float) -> None:
    """The second factor undoes the first, and is good alone."""
    rng = np.random.default_rng(2)
    wanted = gain * np.array([[0, 1], [2, 1]])  # mixup, dropout
    means = 0.5 + wanted.reshape(4, 1) + 0.002 * rng.normal(size=(4, 5))
    found = analyse_factorial(analysis_of(ledger, DROPOUT, means, metric=metric))
    mixup, dropout, both = found.effects
    assert [factor.on for factor in both.factors] == ["mixup", "dropout 0.2"]
    assert (mixup.outcome, dropout.outcome, both.outcome) == ("better", "indistinguishable", "worse")
    assert [effect.outcome for effect in found.on_top] == ["indistinguishable", "worse"]
    assert found.alone == pytest.approx((2 * gain, gain), abs=0.01)


def test_the_order_of_trials_and_the_baseline_change_nothing(ledger: Ledger) -> None:
    means = np.random.default_rng(3).uniform(0.1, 0.3, size=(8, 5))
    first = analyse_factorial(analysis_of(ledger, CHAINS, means))
    order = np.random.default_rng(4).permutation(8)
    baseline = {"augmentation": "mixup+freq_mixstyle"}
    again = analyse_factorial(analysis_of(ledger, [CHAINS[at] for at in order], means[order], baseline=baseline))
    assert first.factors == again.factors
    for one, other in zip((*first.effects, *first.on_top), (*again.effects, *again.on_top), strict=True):
        assert one.test.difference == pytest.approx(other.test.difference)
        assert one.outcome == other.outcome


def test_four_factors_have_no_interactions_of_three(ledger: Ledger) -> None:
    configs = with_dropout(*CHAINS)
    means = np.random.default_rng(5).uniform(0.1, 0.3, size=(16, 5))
    found = analyse_factorial(analysis_of(ledger, configs, means))
    assert [len(effect.factors) for effect in found.effects] == [1] * 4 + [2] * 6
    assert len(found.on_top) == 4


# designs


MODELS = [
    {"model": model, "learning_rate": rate, "imd": imd}
    for model, rate in (("cgrnn", 1e-3), ("att_loc", 1e-4))
    for imd in (False, True)
]
ALPHAS_IN_CHAINS = [
    {"augmentation": "mixup", "alpha": 0.5},
    {"augmentation": "mixup", "alpha": 1.5},
    {"augmentation": "mixup+freq_mixstyle", "mixup.alpha": 0.5, "freq_mixstyle.alpha": 0.3},
    {"augmentation": "mixup+freq_mixstyle", "mixup.alpha": 1.5, "freq_mixstyle.alpha": 0.3},
]
UNKNOWN = [NONE, {"augmentation": "gone", "strength": 2}, MIXUP, {"augmentation": "mixup+gone", "strength": 2}]
UNKNOWN[3] |= {"alpha": 1.5}


@pytest.mark.parametrize(
    ("trials", "reference", "wanted"),
    [
        (CHAINS, 0, [("mixup", ""), ("spec_augment", ""), ("freq_mixstyle", "")]),
        (CHAINS[::-1], 0, [("mixup", ""), ("spec_augment", ""), ("freq_mixstyle", "")]),
        (DROPOUT, 0, [("mixup", ""), ("dropout 0.2", "dropout 0")]),
        (DROPOUT, 3, [("mixup", ""), ("dropout 0", "dropout 0.2")]),
        # all have mixup
        (with_dropout(MIXUP, MIXUP | {"augmentation": "mixup+gain"}), 0, [("gain", ""), ("dropout 0.2", "dropout 0")]),
        (with_dropout(MIXUP | {"alpha": 0.0}, MIXUP), 0, [("alpha 1.5", "alpha 0"), ("dropout 0.2", "dropout 0")]),
        (ALPHAS_IN_CHAINS, 0, [("freq_mixstyle", ""), ("mixup.alpha 1.5", "mixup.alpha 0.5")]),
        # what changes together
        (
            with_dropout(NONE, MIXUP | {"augmentation": "mixup+gain"}),
            0,
            [("mixup+gain", ""), ("dropout 0.2", "dropout 0")],
        ),
        (with_dropout(MIXUP, {"augmentation": "gain"}), 0, [("gain", "mixup"), ("dropout 0.2", "dropout 0")]),
        (MODELS, 1, [("att_loc, learning_rate 0.0001", "cgrnn, learning_rate 0.001"), ("imd", "")]),
        (UNKNOWN, 0, [("mixup", ""), ("gone", "")]),
    ],
)
def test_factors(trials: list[dict[str, Any]], reference: int, wanted: list[tuple[str, str]]) -> None:
    design = design_of(trials, reference)
    assert sorted((factor.on, factor.off) for factor in design.factors) == sorted(wanted)
    assert len(set(design.cells)) == len(trials)


def test_cells_say_what_is_on() -> None:
    design = design_of(CHAINS, 5)
    assert [factor.on for factor in design.factors] == ["mixup", "spec_augment", "freq_mixstyle"]
    chains = [params["augmentation"].split("+") for params in CHAINS]
    assert list(design.cells) == [tuple(name in chain for name in THREE) for chain in chains]
    assert [dropout for _, dropout in design_of(DROPOUT, 3).cells] == [True, False, True, False]


SIX: dict[str, dict[str, Any]] = {"mixup": {}, "gain": {}, "noise": {}, "cutmix": {}, "time_roll": {}, "mix": {}}
ONE_BY_ONE = [{"augmentation": name} for name in ("none", "mixup", "gain", "noise")]
SECOND_ORDER = [*CHAINS[:-1], {"augmentation": "spec_augment+mixup", "alpha": 1.5}]


@pytest.mark.parametrize(
    "trials",
    [
        [],
        [NONE],
        [NONE, MIXUP],
        CHAINS[:-1],
        DROPOUT[:3],
        SECOND_ORDER,
        ONE_BY_ONE,
        [{"dropout": dropout} for dropout in (0.0, 0.1, 0.2, 0.3)],
        [*CHAINS[:-1], CHAINS[-1] | {"mixup.alpha": 0.5}],
        [NONE, *({"augmentation": "mixup", "alpha": alpha} for alpha in (0.5, 1.5)), {"augmentation": "gain"}],
        [params for params in CHAINS if params["augmentation"].count("+") != 1][:4],
        every_chain(SIX),
    ],
    ids=[
        "none",
        "one",
        "one factor",
        "a cell is missing",
        "one of four is missing",
        "two orders of a chain in one cell",
        "one by one",
        "four values",
        "another alpha in a chain",
        "two alphas beside none",
        "half of the cells",
        "six factors",
    ],
)
def test_no_design(trials: list[dict[str, Any]]) -> None:
    assert (design_of(trials) if trials else find_design([], [], {})) is None


def test_another_alpha_in_a_chain_counts_where_the_space_does_not_set_it() -> None:
    trials = [*CHAINS[:-1], CHAINS[-1] | {"mixup.alpha": 0.0}]
    assert find_design(CHAINS, {"augmentation", "alpha"}, CHAINS[0]) is not None
    assert find_design(trials, {"augmentation", "alpha"}, CHAINS[0]) is None


# degenerate


def test_a_failed_trial_is_named_and_nothing_is_computed(ledger: Ledger) -> None:
    found = analyse_factorial(analysis_of(ledger, CHAINS, np.full((8, 5), 0.2), failed=[6]))
    assert [trial.key for trial in found.unfinished] == ["key6"]
    assert found.factors == tuple(Factor(name, "") for name in THREE)
    assert found.effects == found.on_top == ()


@pytest.mark.parametrize(
    ("configs", "failed"),
    [(CHAINS, range(8)), (ONE_BY_ONE, []), (ONE_BY_ONE, [1]), (CHAINS[:-1], []), (CHAINS[:-1], [1])],
)
def test_other_studies_have_no_effects(ledger: Ledger, configs: list[dict[str, Any]], failed: list[int]) -> None:
    assert analyse_factorial(analysis_of(ledger, configs, np.full((len(configs), 5), 0.2), failed=failed)) is None


def test_a_failed_trial_beside_a_design_costs_nothing(ledger: Ledger) -> None:
    means = np.random.default_rng(6).uniform(size=(5, 5))
    found = analyse_factorial(
        analysis_of(ledger, [*DROPOUT, {"augmentation": "gain", "dropout": 0.0}], means, failed=[4])
    )
    assert len(found.effects) == 3


def test_two_folds_and_equal_folds_are_not_tested(ledger: Ledger) -> None:
    rng = np.random.default_rng(7)
    found = analyse_factorial(analysis_of(ledger, DROPOUT, rng.uniform(size=(4, 2))))
    assert {effect.outcome for effect in (*found.effects, *found.on_top)} == {"untested"}
    same = rng.uniform(size=4)[:, None] + rng.uniform(size=5)
    found = analyse_factorial(analysis_of(ledger, DROPOUT, same))
    assert {effect.outcome for effect in found.effects} == {"untested"}
    assert found.effects[0].test.difference == pytest.approx((same[2:] - same[:2]).mean())


def test_a_fold_without_a_figure_is_left_out(ledger: Ledger) -> None:
    means = np.random.default_rng(8).uniform(size=(4, 5))
    part = analyse_factorial(analysis_of(ledger, DROPOUT, np.where(np.arange(5) == 2, np.nan, means)))
    means[2, 2] = np.nan
    whole = analyse_factorial(analysis_of(ledger, DROPOUT, means))
    assert [effect.test for effect in whole.effects] == [effect.test for effect in part.effects]
    by_fold = (means[2] + means[3] - means[0] - means[1]) / 2
    assert whole.effects[0].test.p == pytest.approx(corrected_t(by_fold[~np.isnan(by_fold)], 1 / 4).p)


def test_with_repeats_a_fold_is_its_mean_over_seeds(tmp_path: Path) -> None:
    made = make_study(tmp_path / "s", DROPOUT, corpus=make_corpus(**SMALL), gains=[0.0, 0.1, 0.5, 1.0], repeats=2)
    found = analyse(made, with_results(made))
    own = [[[seed.figures["eer"].mean for seed in fold.repeats] for fold in row.result.folds] for row in found.rows]
    means = np.array(own).mean(axis=2)
    effect = analyse_factorial(found).effects[2]
    assert effect.test.t == pytest.approx(corrected_t(means[3] - means[2] - means[1] + means[0], 1 / 2).t)
