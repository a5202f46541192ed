"""Partitions that are drawn: whole groups, balanced tags, no two alike, the same for the same seed."""

from pathlib import Path

import numpy as np
import pytest

from audiotag.corpus.corpus import Corpus, read_tables
from audiotag.corpus.errors import CorpusError
from audiotag.corpus.partitions import _deal, draw_partitions, partition_seed
from audiotag.corpus.propose_folds import imbalance
from audiotag.corpus.tables import EVALUATION


def make_corpus(groups: int = 20, clips: int = 3, folds: int = 4, evaluation: int = 2, seed: int = 0) -> Corpus:
    """Groups with habits of their own; the last ones are for evaluation. Its folds are numbered from 3."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups + evaluation), clips)
    names = tuple(f"clip {number}" for number in range(len(group)))
    return Corpus(
        name="made_up",
        kind="folder",
        root=Path("made_up"),
        tags=("x", "y", "z"),
        clips=names,
        paths=tuple(map(Path, names)),
        targets=(rng.random((len(group), 3)) < rng.random((groups + evaluation, 3))[group]).astype(np.float32),
        folds=np.where(group < groups, 3 + group % folds, EVALUATION),
        groups=np.array([f"g{number}" for number in group]),
        clip_seconds=1.0,
    )


def pairs(folds: np.ndarray) -> np.ndarray:
    """Which clips are together, (N, N)."""
    return folds[:, None] == folds


# reference


def test_a_group_goes_where_its_classes_are_rarest_worked_by_hand() -> None:
    counts = np.array([[3, 3], [0, 1], [1, 1], [0, 2]])  # with a tag, and all clips; 4 and 7 in all
    # the first opens fold 0, and the next two go to fold 1; the last finds 3 clips in fold 0 and 2 in fold 1
    assert _deal(counts, [0, 1, 2, 3], folds=2).tolist() == [0, 1, 1, 1]
    # the third finds 2 clips in fold 0 and 1 in fold 1; the last finds as many in both, and its tag only in fold 1
    assert _deal(counts, [3, 2, 1, 0], folds=2).tolist() == [0, 1, 1, 0]


def test_the_seed_of_a_partition() -> None:
    """Those of the first partition stay what they were before there were others; the numbers may never change."""
    assert [partition_seed(seed, 1) for seed in (0, 7)] == [0, 7]
    assert [partition_seed(0, partition) for partition in (2, 3)] == [3141116543, 2613022947]
    assert len({partition_seed(seed, partition) for seed in range(50) for partition in range(2, 22)}) == 1000


# property


@pytest.mark.parametrize("seed", range(3))
def test_groups_stay_whole_in_as_many_folds_and_the_evaluation_split_stays(seed: int) -> None:
    corpus = make_corpus(seed=seed)
    for folds in draw_partitions(corpus, seed, 4):
        assert set(folds.tolist()) == {EVALUATION, *corpus.fold_numbers} == {EVALUATION, 3, 4, 5, 6}
        assert np.array_equal(folds == EVALUATION, corpus.folds == EVALUATION)
        assert all(len(set(folds[corpus.groups == group])) == 1 for group in set(corpus.groups))


@pytest.mark.parametrize("seed", range(3))
def test_tags_are_better_balanced_than_by_chance(seed: int) -> None:
    corpus = make_corpus(groups=40, seed=seed)
    targets, member = corpus.targets[corpus.development] > 0, np.arange(120) // 3
    rng = np.random.default_rng(seed)
    chance = [imbalance(targets, rng.permutation(np.arange(40) % 4)[member]) for _ in range(20)]
    for folds in draw_partitions(corpus, seed, 3):
        assert imbalance(targets, folds[corpus.development]) < tuple(np.median(chance, axis=0) / 2)


def test_partitions_are_as_different_as_chance_makes_them() -> None:
    """Of two clips that are together in one partition a quarter is together in another with four folds."""
    corpus = make_corpus(groups=40, evaluation=0)
    every = [corpus.folds, *draw_partitions(corpus, 0, 6)]
    others = corpus.groups[:, None] != corpus.groups
    shares = [pairs(b)[pairs(a) & others].mean() for place, a in enumerate(every) for b in every[:place]]
    assert np.mean(shares) == pytest.approx(0.25, abs=0.05)
    assert max(shares) < 0.4


def test_the_seed_decides_and_more_partitions_keep_the_first_ones() -> None:
    corpus = make_corpus()
    few, many = draw_partitions(corpus, 0, 2), draw_partitions(corpus, 0, 4)
    assert [each.tolist() for each in many[:1]] == [each.tolist() for each in few]
    assert [each.tolist() for each in draw_partitions(corpus, 0, 4, known=few)] == [each.tolist() for each in many]
    assert draw_partitions(corpus, 1, 2)[0].tolist() != few[0].tolist()
    assert draw_partitions(corpus, 0, 1) == ()


def test_no_two_partitions_are_the_same() -> None:
    """Four groups can be divided into two folds of two in three ways, whatever the folds are called."""
    corpus = make_corpus(groups=4, clips=1, folds=2, evaluation=0)
    corpus.targets[:] = [[1, 0, 1]] * 4
    every = [corpus.folds, *draw_partitions(corpus, 0, 3)]
    assert len({pairs(folds).tobytes() for folds in every}) == 3
    with pytest.raises(CorpusError, match=r"4 groups .* into 2 folds in so many ways: ask for --partitions 3"):
        draw_partitions(corpus, 0, 4)


def test_esc10_gets_partitions_nearly_as_even_as_its_own(shared_data: Path) -> None:
    corpus, _ = read_tables(shared_data / "esc10")
    for folds in draw_partitions(corpus, 0, 4):
        counts = np.array([corpus.targets[folds == fold].sum(axis=0) for fold in corpus.fold_numbers])
        assert abs(counts - 8).max() <= 1  # of ten classes in five folds


# degenerate


def test_fewer_groups_than_folds_cannot_be_divided() -> None:
    """As in a corpus whose own folds tear its groups."""
    corpus = make_corpus(groups=2, clips=6)
    corpus.folds[:12] = 3 + np.arange(12) % 4
    with pytest.raises(CorpusError, match=r"it has 2 of them for 4 folds\. Leave out --partitions"):
        draw_partitions(corpus, 0, 2)
