"""Rows over several corpora: the published example, what few corpora allow, and how often equal rows are called."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study, with_results
from scipy.special import ndtr, stdtr

from audiotag.metrics import METRICS
from study.stats.across_corpora import (
    MOST_CORPORA,
    common_rows,
    compare_across,
    compare_means,
    least_signed_rank,
    needed,
    signed_rank,
    t_over_corpora,
    why_not,
)
from study.stats.analysis import Analysis, analyse, fold_means
from study.stats.power import power_of
from study.stats.significance import ALPHA, PairedTest, Untested

EER, AP = METRICS["eer"], METRICS["ap"]
DEMSAR = [
    0.005,
    -0.008,
    0.017,
    0.033,
    0.006,
    -0.005,
    0.007,
    0,
    0.063,
    0,
    0.022,
    0.047,
    0.009,
    0.021,
]  # AUC
STUDIES = 1500

# reference


def test_t_worked_by_hand() -> None:
    """Mean -.02, variance .0002 over 4 corpora: standard error sqrt(.0002 / 4), 3 degrees of freedom."""
    test = t_over_corpora(np.array([-0.02, -0.04, -0.01, -0.01]))
    assert isinstance(test, PairedTest)
    assert (test.difference, test.t) == (pytest.approx(-0.02), pytest.approx(-0.02 / 0.0002**0.5 * 2))
    assert test.high == pytest.approx(-0.02 + 3.182446 * 0.0002**0.5 / 2)
    assert test.p == pytest.approx(0.066, abs=0.0005)


def test_signed_rank_of_the_published_example() -> None:
    """Demsar 2006, table 2 and section 3.1.3: the smaller sum of ranks is 12 over 14 data sets, real at .05."""
    p = signed_rank(np.array(DEMSAR))
    z = (12 - 14 * 15 / 4) / (14 * 15 * 29 / 24) ** 0.5
    assert p == pytest.approx(2 * ndtr(z), abs=0.001)
    assert p is not None
    assert p < 0.05


@pytest.mark.parametrize(
    ("values", "subsets"),
    [([1, 2, 3, 4, 5, 6], 1), ([-1, 2, 3, 4, 5, 6], 2), ([-1, -2, 3, 4, 5, 6], 5), ([0, 0, -1, -2, 3, 4, 5, 6], 7)],
)
def test_signed_rank_worked_by_hand(values: list[float], subsets: int) -> None:
    """Of 2^6 choices of signs so many have negative ranks with no larger sum; zeros take the lowest ranks away."""
    assert signed_rank(np.array(values) / 100) == pytest.approx(2 * subsets / 64)


def test_needed_is_the_first_number_with_that_power() -> None:
    values = np.array([-0.03, 0.01, -0.01, -0.03])
    (found,) = compare_means([values], EER, 0.001)
    n, sd = needed(values, found), values.std(ddof=1)
    assert n is not None
    assert power_of(values.mean(), sd, n, 0.0, ALPHA) >= 0.8 > power_of(values.mean(), sd, n - 1, 0.0, ALPHA)


# property


def draw(rng: np.random.Generator, corpora: int, folds: int, spread: float, between: float) -> tuple[Any, Any]:
    """Differences (studies, corpora) without an effect, and their standard errors squared as k folds estimate them."""
    variance = np.exp(2 * spread * rng.normal(size=(STUDIES, corpora)))
    differences = rng.normal(size=variance.shape) * np.sqrt(variance + between**2)
    return differences, variance * rng.chisquare(folds - 1, size=variance.shape) / (folds - 1)


def hartung_knapp(differences: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """The p of the random-effects mean: DerSimonian and Laird's variance, Hartung and Knapp's t."""
    n, weights = differences.shape[1], 1 / variances
    total = weights.sum(1)
    mean = (weights * differences).sum(1) / total
    q = (weights * (differences - mean[:, None]) ** 2).sum(1)
    between = np.maximum(0, (q - (n - 1)) / (total - (weights**2).sum(1) / total))
    weights = 1 / (variances + between[:, None])
    mean = (weights * differences).sum(1) / weights.sum(1)
    error = np.sqrt((weights * (differences - mean[:, None]) ** 2).sum(1) / (n - 1) / weights.sum(1))
    return 2 * stdtr(n - 1, -abs(mean / error))


@pytest.mark.parametrize(("spread", "between"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
@pytest.mark.parametrize("corpora", range(3, 9))
def test_rows_without_an_effect_are_seldom_called(corpora: int, spread: float, between: float) -> None:
    """Corpora that differ in precision by a factor of e^2 and more, and in what a row does on them, or not."""
    differences, _ = draw(np.random.default_rng(corpora), corpora, 5, spread, between)
    called = [compare_means([own], EER, 0.01)[0].outcome in ("better", "worse") for own in differences]
    assert 0.008 < np.mean(called) <= 0.06


def test_any_of_six_equal_rows_is_seldom_called() -> None:
    differences, _ = draw(np.random.default_rng(0), 4, 5, 0.5, 0.5)
    families = differences[: STUDIES // 6 * 6].reshape(-1, 6, 4)
    called = [any(part.outcome != "indistinguishable" for part in compare_means(own, EER, 0.01)) for own in families]
    assert np.mean(called) <= 0.09  # of 250: .05 and three standard errors


@pytest.mark.parametrize("folds", [3, 5])
def test_weights_by_uncertain_standard_errors_would_call_too_many(folds: int) -> None:
    """Why the mean is not Hartung and Knapp's."""
    shares = []
    for corpora in (3, 5, 8):
        p = hartung_knapp(*draw(np.random.default_rng(0), corpora, folds, 1.0, 1.0))
        shares.append(np.mean(p < ALPHA))
    assert min(shares) > 0.06


# degenerate


def test_few_corpora() -> None:
    two, three = t_over_corpora(np.array([-0.1, -0.2])), t_over_corpora(np.array([-0.1, -0.1, -0.1]))
    assert isinstance(two, Untested)
    assert isinstance(three, Untested)
    assert two.difference == pytest.approx(-0.15)
    assert two.reason != three.reason
    for n in range(2, 6):
        assert signed_rank(np.arange(1.0, n + 1)) is None
        assert least_signed_rank(n) > ALPHA
    assert least_signed_rank(6) < ALPHA
    assert signed_rank(np.zeros(7)) is None


def test_what_is_not_needed() -> None:
    found = {}
    cases = {"real": [-0.1, -0.11, -0.12, -0.1], "far": [-0.1, 0.1, 0.1, -0.1001], "two": [0.1, 0.2]}
    for name, values in cases.items():
        (part,) = compare_means([np.array(values)], EER, 0.01)
        found[name] = needed(np.array(values), part), part.outcome
    assert found == {"real": (None, "better"), "far": (None, "indistinguishable"), "two": (None, "untested")}
    assert MOST_CORPORA > 4


def test_the_metric_says_what_is_better() -> None:
    values = [np.array([0.1, 0.11, 0.12, 0.1])]
    assert [compare_means(values, metric, 0.01)[0].outcome for metric in (EER, AP)] == ["worse", "better"]


# studies


def analysed(root: Path, name: str, configs: list[dict[str, Any]], seed: int = 0, **changes: Any) -> Analysis:
    record = {"name": name, "fingerprint": changes.pop("fingerprint", name)}
    corpus = make_corpus(**SMALL, seed=seed)
    ledger = make_study(
        root / name, configs, corpus=corpus, epochs=1, prefix=name, **{"corpus_record": record, **changes}
    )
    return analyse(ledger, with_results(ledger))


def test_rows_are_matched_by_their_hyperparameters(tmp_path: Path) -> None:
    one = analysed(tmp_path, "one", ALPHAS[:4])
    two = analysed(tmp_path, "two", [ALPHAS[place] for place in (3, 0, 5, 1)], 1, partitions=2)
    assert why_not([one, two]) is None
    assert [[row.params["alpha"] for row in own] for own in common_rows([one, two])] == [[0.1, 0.1], [1.0, 1.0]]
    first, second = compare_across([one, two], 0.01)
    means = [fold_means(each.rows).mean(axis=1) for each in (one, two)]  # two's over both partitions
    assert first.differences == pytest.approx([means[0][1] - means[0][0], means[1][3] - means[1][1]])
    assert second.differences == pytest.approx([means[0][3] - means[0][0], means[1][0] - means[1][1]])
    assert first.better_on == (first.differences < 0).sum()
    assert first.label == "alpha 0.1"


def test_studies_that_say_nothing_across_corpora(tmp_path: Path) -> None:
    one = analysed(tmp_path, "one", ALPHAS[:2])
    others = {
        "same": analysed(tmp_path, "same", ALPHAS[:2], fingerprint="one"),
        "apart": analysed(tmp_path, "apart", [ALPHAS[0], ALPHAS[3]]),
        "baseline": analysed(tmp_path, "baseline", ALPHAS[:2], baseline={"alpha": 0.1}),
        "empty": analysed(tmp_path, "empty", ALPHAS[:2], finished=0),
    }
    reasons = {name: why_not([one, other]) for name, other in others.items()}
    assert None not in reasons.values()
    assert reasons["baseline"] == reasons["empty"] == why_not([others["empty"], one])
    assert len(set(reasons.values())) == 3
