"""Studies whose answer is known, for benchmarks/calibration.py: figures of a model, and of linear classifiers.

- *model*: figures with fold effects, seed effects and the correlation between folds that Nadeau and Bengio assume, in
  steps where ties are asked for. Here the tests should err exactly as often as they say.
- *classifiers*: linear classifiers, trained and scored in cross-validation on clips of 30 recordings of their own each,
  with seven tags; a row is a way to weigh the clips of a training, pure chance. Here nobody knows the correlation.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from audiotag.metrics import CROSSING
from study.stats.significance import share_of_test

GROUPS, PER_GROUP, COLUMNS, TAGS, OTHERS = 30, 5, 8, 7, 1000  # of a corpus of classifiers; OTHERS: recordings elsewhere
NOISY = 4.0  # spread of a row's weights beyond that of the others, which makes it worse
SD, STEP = 0.02, 0.02 * math.sqrt(2)  # of figures over folds in a model; between figures with ties


@dataclass(frozen=True)
class Design:
    """So many folds, partitions and seeds."""

    folds: int
    partitions: int = 1
    seeds: int = 1

    @property
    def n(self) -> int:
        """Differences of a comparison."""
        return self.folds * self.partitions

    @property
    def share(self) -> float:
        """Test clips per training clip."""
        return share_of_test(self.folds)

    def __str__(self) -> str:
        parts = [f"{self.folds} folds", *[f"{self.partitions} partitions"] * (self.partitions > 1)]
        return ", ".join([*parts, *[f"{self.seeds} seeds"] * (self.seeds > 1)])


def draw_model(
    rng: np.random.Generator, studies: int, rows: int, design: Design, step: float = 0.0, effect: float = 0.0
) -> np.ndarray:
    """Figures (studies, rows, n), means over seeds; `effect` lies between row 1 and the others."""
    shape = (studies, rows, design.n)
    by_fold = rng.normal(size=(studies, 1, design.n))  # how hard a fold is, for all rows
    own = math.sqrt(0.5) * rng.normal(size=shape)
    own = own + math.sqrt(0.5) * rng.normal(size=(*shape, design.seeds)).mean(axis=-1)
    variance = 0.5 + 0.5 / design.seeds
    common = math.sqrt(design.share * variance) * rng.normal(size=(studies, rows, 1))  # of overlapping training sets
    figures = 0.2 + SD * (by_fold + own + common)
    figures[:, 1] += effect
    return np.round(figures / step) * step if step else figures


@dataclass(frozen=True)
class Corpora:
    """Corpora of linear classifiers, one per study: clips (studies, n, COLUMNS), targets (studies, n, TAGS)."""

    clips: np.ndarray
    targets: np.ndarray
    directions: np.ndarray

    @property
    def groups(self) -> np.ndarray:
        """The group of each clip (n,)."""
        return np.repeat(np.arange(self.clips.shape[1] // PER_GROUP), PER_GROUP)


def draw_corpora(rng: np.random.Generator, studies: int, groups: int, directions: np.ndarray) -> Corpora:
    """Clips with tags at chance, which lie in different directions, and a sound of their recording."""
    n = groups * PER_GROUP
    targets = (rng.random((studies, n, TAGS)) < 0.4).astype(np.float64)
    own = rng.normal(size=(studies, n, COLUMNS)) + 0.5 * np.repeat(
        rng.normal(size=(studies, groups, COLUMNS)), PER_GROUP, axis=1
    )
    return Corpora(0.6 * (2 * targets - 1) @ directions + own, targets, directions)


def draw_directions(rng: np.random.Generator) -> np.ndarray:
    """Where the tags lie, (TAGS, COLUMNS)."""
    return np.linalg.qr(rng.normal(size=(COLUMNS, TAGS)))[0].T


def train(rng: np.random.Generator, corpora: Corpora, rows: int, kept: np.ndarray, noisy: bool) -> np.ndarray:
    """Train rows on some clips: weights (studies, rows, TAGS, COLUMNS), class means of clips that weigh by chance."""
    signs, clips = 2 * corpora.targets[:, kept] - 1, corpora.clips[:, kept]
    studies, n = signs.shape[:2]
    weights = rng.exponential(size=(studies, rows, n))
    if noisy:
        weights[:, 1] *= rng.exponential(size=(studies, n)) ** NOISY
    products = (signs[..., None] * clips[:, :, None]).reshape(studies, n, -1)
    return (weights @ products).reshape(studies, rows, TAGS, COLUMNS)


def score(weights: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Scores (studies, rows, TAGS, n)."""
    return np.einsum("srkc,snc->srkn", weights, clips)


@dataclass(frozen=True)
class FixedDesign:
    """One fixed split with so many groups of test clips, twice as many of training clips, and so many seeds."""

    groups: int
    seeds: int

    def __str__(self) -> str:
        return f"{self.groups} test groups, {self.seeds} seeds"


def draw_fixed_model(
    rng: np.random.Generator, studies: int, rows: int, design: FixedDesign, own: float, effect: float = 0.0
) -> np.ndarray:
    """Figures of single groups (studies, rows, seeds, groups); `effect` lies between row 1 and the others.

    A row does better on some groups with all seeds (`own`), with a seed on all groups, and with one on single groups.
    """
    shape = (studies, rows, design.seeds, design.groups)
    by_group, by_seed = (rng.normal(size=(*shape[:2], *part)) for part in ((1, shape[3]), (shape[2], 1)))
    figures = own * by_group + by_seed / math.sqrt(design.groups) + rng.normal(size=shape)
    figures[:, 1] += effect
    return figures


def eers(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """`audiotag.metrics.equal_error_rate` of many at once, without equal scores: (..., n) each to (...)."""
    ordered = np.take_along_axis(targets, np.argsort(-scores, axis=-1), axis=-1)
    passed = [np.cumsum(part, axis=-1) for part in (1 - ordered, ordered)]
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = (np.insert(part, 0, 0, axis=-1) / part[..., -1:] for part in passed)
    at = np.maximum((x + y >= 1 - CROSSING).argmax(axis=-1), 1)[..., None]
    (x0, x1), (y0, y1) = ([np.take_along_axis(part, at - back, axis=-1)[..., 0] for back in (1, 0)] for part in (x, y))
    return x0 + (x1 - x0) * (1 - x0 - y0) / (x1 - x0 + y1 - y0)


def folds_of(rng: np.random.Generator, design: Design, first: int = 1) -> Iterator[np.ndarray]:
    """Which clips are held out, (n,), fold after fold of each partition from `first` on; whole groups.

    Partition 1 is the corpus's own.
    """
    for partition in range(first, first + design.partitions):
        fold = np.arange(GROUPS) % design.folds
        fold = np.repeat(rng.permutation(fold) if partition > 1 else fold, PER_GROUP)
        yield from (fold == number for number in range(design.folds))


def cross_validate(
    rng: np.random.Generator, studies: int, rows: int, design: Design, noisy: bool = False
) -> np.ndarray:
    """EERs (studies, rows, n, TAGS) of classifiers on corpora of their own; with `noisy` row 1 is worse."""
    corpora = draw_corpora(rng, studies, GROUPS, draw_directions(rng))
    return cross_validate_on(rng, corpora, rows, design, noisy)


def cross_validate_on(
    rng: np.random.Generator, corpora: Corpora, rows: int, design: Design, noisy: bool = False, first: int = 1
) -> np.ndarray:
    """EERs (studies, rows, n, TAGS) of classifiers on these corpora, in partitions from `first` on."""
    found = []
    for out in folds_of(rng, design, first):
        by_seed = []
        for _ in range(design.seeds):
            scores = score(train(rng, corpora, rows, ~out, noisy), corpora.clips[:, out])
            targets = corpora.targets[:, out].transpose(0, 2, 1)[:, None]
            by_seed.append(eers(np.broadcast_to(targets, scores.shape), scores))
        found.append(np.mean(by_seed, axis=0))
    return np.stack(found, axis=2)


def average(figures: np.ndarray) -> np.ndarray:
    """Means over the tags of (studies, rows, n, TAGS)."""
    return np.nanmean(figures, axis=-1)
