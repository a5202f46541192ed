from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audiotag.corpus.corpus import Corpus, read_tables
from audiotag.corpus.layouts.chime_home import EVALUATION, TAGS
from audiotag.corpus.splits import PROTOCOLS, VALIDATION_SHARE, FoldSplit, split_fold

FOLDS = 4
BROADBAND = TAGS.index("b")


def made_up(clips: int = 400, groups: int = 80, tags: int = 3, seed: int = 0) -> Corpus:
    """A corpus without audio: groups of different sizes that keep to a fold, and an evaluation split."""
    rng = np.random.default_rng(seed)
    group = np.sort(rng.integers(0, groups, clips))
    folds = group % (FOLDS + 1) - (group % (FOLDS + 1) == FOLDS) * (FOLDS - EVALUATION)
    rates = np.linspace(0.1, 0.6, tags)
    return Corpus(
        name="made up",
        kind="folder",
        root=Path("nowhere"),
        tags=tuple("abcdefg"[:tags]),
        clips=tuple(f"{clip}.wav" for clip in range(clips)),
        paths=tuple(Path("nowhere", f"{clip}.wav") for clip in range(clips)),
        targets=(rng.uniform(size=(clips, tags)) < rates).astype(np.float32),
        folds=folds.astype(np.int64),
        groups=np.array([f"group {number}" for number in group]),
        clip_seconds=4.0,
    )


def two_folds(*sizes: int) -> Corpus:
    """Fold 0 with one clip, fold 1 with a group of each size."""
    groups = np.repeat([f"group {number}" for number in range(len(sizes) + 1)], [1, *sizes])
    return replace(made_up(clips=len(groups)), folds=np.minimum(np.arange(len(groups)), 1), groups=groups)


@pytest.fixture(scope="module")
def chime_home(metadata: Path) -> Corpus:
    """The real lists, folds, tags and segments, without audio."""
    return read_tables(metadata)[0]


def parts(split: FoldSplit) -> tuple[set[int], set[int], set[int]]:
    return set(split.train.tolist()), set(split.validation.tolist()), set(split.held_out.tolist())


def same(first: FoldSplit, second: FoldSplit) -> bool:
    return parts(first) == parts(second)


def test_the_paper_validates_on_the_held_out_fold() -> None:
    corpus = made_up()
    for fold in range(FOLDS):
        split = split_fold(corpus, fold, "paper", seed=0)
        assert split.held_out.tolist() == np.flatnonzero(corpus.folds == fold).tolist()
        assert split.validation.tolist() == split.held_out.tolist()
        assert split.train.tolist() == [clip for clip in corpus.development if corpus.folds[clip] != fold]


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_real_folds(chime_home: Corpus, protocol: str) -> None:
    held_out = []
    for fold in range(5):
        split = split_fold(chime_home, fold, protocol, seed=0)
        train, validation, scored = parts(split)
        assert not train & (validation | scored)
        assert train | validation | scored == set(chime_home.development.tolist())
        assert chime_home.targets[split.train].sum(axis=0).min() > 0
        held_out.append(len(scored))
    assert held_out == [383, 442, 463, 271, 387]


def test_the_nested_protocol_on_the_real_folds(chime_home: Corpus) -> None:
    for fold in range(5):
        split = split_fold(chime_home, fold, "nested", seed=0)
        assert not set(chime_home.groups[split.train]) & set(chime_home.groups[split.validation])
        share = len(split.validation) / (len(split.train) + len(split.validation))
        assert share == pytest.approx(VALIDATION_SHARE, abs=0.05)
        there = chime_home.targets[split.validation].mean(axis=0)
        wanted = chime_home.targets[chime_home.development].mean(axis=0)
        np.testing.assert_allclose(there, wanted, atol=0.15)
        assert np.delete(there, BROADBAND).min() > 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fold", range(FOLDS))
def test_the_nested_parts_are_whole_groups_that_share_no_clip(fold: int, seed: int) -> None:
    corpus = made_up(seed=seed)
    split = split_fold(corpus, fold, "nested", seed)
    train, validation, held_out = parts(split)
    assert len(train) + len(validation) + len(held_out) == len(corpus.development)
    assert train | validation | held_out == set(corpus.development.tolist())
    assert held_out == set(np.flatnonzero(corpus.folds == fold).tolist())
    assert not set(corpus.groups[split.train]) & set(corpus.groups[split.validation])


@pytest.mark.parametrize("seed", range(3))
def test_the_nested_validation_set_is_a_fifth_with_the_frequencies_of_the_rest(seed: int) -> None:
    corpus = made_up(seed=seed)
    split = split_fold(corpus, 0, "nested", seed)
    rest = np.concatenate([split.train, split.validation])
    assert len(split.validation) / len(rest) == pytest.approx(VALIDATION_SHARE, abs=0.03)
    there, wanted = corpus.targets[split.validation].mean(axis=0), corpus.targets[rest].mean(axis=0)
    np.testing.assert_allclose(there, wanted, atol=0.06)


def test_the_carving_is_better_than_chance() -> None:
    corpus = made_up(seed=5)
    rng = np.random.default_rng(0)
    rest = split_fold(corpus, 0, "paper", 0).train
    wanted = corpus.targets[rest].mean(axis=0)

    def distance(clips: np.ndarray) -> float:
        return float(np.abs(corpus.targets[clips].mean(axis=0) - wanted).sum())

    fifth = round(VALIDATION_SHARE * len(rest))
    chance = np.median([distance(rng.choice(rest, fifth, replace=False)) for _ in range(200)])
    carved = [distance(split_fold(corpus, 0, "nested", seed).validation) for seed in range(5)]
    assert max(carved) < chance


def test_the_same_seed_gives_the_same_split() -> None:
    corpus = made_up()
    first = split_fold(corpus, 1, "nested", seed=3)
    assert same(first, split_fold(corpus, 1, "nested", seed=3))
    assert any(not same(first, split_fold(corpus, 1, "nested", seed)) for seed in (4, 5))
    assert same(split_fold(corpus, 1, "paper", 3), split_fold(corpus, 1, "paper", 4))


@pytest.mark.parametrize("sizes", [(1, 1), (50, 1), (1, 50)])
def test_two_groups_are_enough(sizes: tuple[int, int]) -> None:
    corpus = two_folds(*sizes)
    split = split_fold(corpus, 0, "nested", 0)
    assert len(split.train) > 0
    assert len(split.validation) > 0
    assert len(set(corpus.groups[split.train])) == len(set(corpus.groups[split.validation])) == 1


def test_of_two_groups_the_one_nearer_to_a_fifth_validates() -> None:
    assert len(split_fold(two_folds(30, 8), 0, "nested", 0).validation) == 8


def test_a_tag_that_the_training_folds_lack() -> None:
    corpus = made_up()
    corpus.targets[corpus.folds != 0, 0] = 0
    split = split_fold(corpus, 0, "nested", 0)
    clips = len(split.train) + len(split.validation)
    assert len(split.validation) == pytest.approx(VALIDATION_SHARE * clips, rel=0.2)


def test_too_few_groups() -> None:
    with pytest.raises(ValueError, match="needs at least 2 groups in the training folds: use --protocol paper"):
        split_fold(two_folds(9), 0, "nested", 0)
    assert len(split_fold(two_folds(9), 0, "paper", 0).train) == 9


def test_an_unknown_protocol() -> None:
    with pytest.raises(ValueError, match="The value of `protocol` is 'kfold', but must be one of paper, nested"):
        split_fold(made_up(), 0, "kfold", 0)
