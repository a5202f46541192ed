"""Which trial of a study is applied to recordings, and the thresholds of its tags."""

from pathlib import Path

import numpy as np
import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study

from audiotag.corpus.corpus import EVALUATION
from study.format import decimal
from study.tagging.tagging import Tagged, as_data
from study.tagging.winner import WinnerError, eer_thresholds, find_winner

# reference


def test_thresholds_are_means_over_the_folds_of_held_out_clips(tmp_path: Path) -> None:
    """Of m: fold 0 is cut midway between .7 and .3 (a third is missed, a third accepted), fold 1 between .9 and .8.

    The scores of c are those of m halved; fold 2 has no clip with either tag and no part in the means.
    """
    scores = {0: ([0.9, 0.8, 0.3], [0.7, 0.2, 0.1]), 1: ([0.95, 0.9], [0.8, 0.1, 0.2, 0.3]), 2: ([], [0.5] * 6)}
    targets = np.concatenate(
        [np.repeat([[1, 1], [0, 0]], [len(there), len(not_there)], axis=0) for there, not_there in scores.values()]
    )
    corpus = {"names": np.array([f"clip {number}" for number in range(18)]), "targets": targets.astype(np.uint8)}
    corpus |= {"folds": np.repeat([0, 1, 2], 6), "groups": np.arange(18)}
    make_study(tmp_path / "s", ALPHAS[:1], corpus=corpus)
    winner = find_winner(tmp_path, "s")
    (folder,) = winner.folders
    for fold, (there, not_there) in scores.items():
        names = corpus["names"][corpus["folds"] == fold]
        values = np.array([there + not_there]).T * (0.5, 1.0)
        order = np.random.default_rng(fold).permutation(6)  # the clips of a fold lie in any order
        arrays = {"held_out": values[order].astype(np.float32), "held_out_clips": names[order]}
        np.savez(folder.path / f"fold_{fold}.npz", **arrays)
    assert eer_thresholds(winner) == pytest.approx({"c": 0.3375, "m": 0.675})


def test_the_best_finished_trial_or_another(tmp_path: Path) -> None:
    make_study(tmp_path / "s", corpus=make_corpus(**SMALL), gains=[0.1, 3.0, 0.2], finished=3)
    best = find_winner(tmp_path, "s")
    assert best.result.key == "key0001"
    assert best.unfinished == 4
    assert find_winner(tmp_path, "s", "key0002").result.key == "key0002"
    with pytest.raises(WinnerError, match="3 finished trials whose key begins with `key`"):
        find_winner(tmp_path, "s", "key")
    with pytest.raises(WinnerError, match="no finished trial whose key begins with `key0004`"):
        find_winner(tmp_path, "s", "key0004")


def test_the_winner_is_the_best_by_the_studys_metric(tmp_path: Path) -> None:
    make_study(tmp_path / "s", ALPHAS[:3], corpus=make_corpus(**SMALL), gains=[0.0, 2.0, 0.5], metric="ap")
    best = find_winner(tmp_path, "s")
    assert best.result.key == "key0001"
    assert f"mAP {decimal(best.result.figures['ap'].mean)}" in str(best)
    data = as_data(best, Tagged(), {})
    assert (data["eer_mean"], data["ap_mean"]) == tuple(best.result.figures[name].mean for name in ("eer", "ap"))


def test_models_and_thresholds_are_those_of_the_corpus_own_folds(tmp_path: Path) -> None:
    for partitions in (1, 2):
        options = {"corpus": make_corpus(**SMALL), "gains": [0.0, 2.0], "partitions": partitions}
        make_study(tmp_path / str(partitions), ALPHAS[:2], **options)
    one, two = (find_winner(tmp_path, name) for name in "12")
    assert (one.result.key, eer_thresholds(one)) == (two.result.key, eer_thresholds(two))
    assert [folder.weights_path(0).name for folder in two.folders] == ["fold_0.pt"]


# degenerate


def test_a_tag_that_no_fold_can_score_has_no_threshold(tmp_path: Path) -> None:
    corpus = make_corpus(**SMALL)
    corpus["targets"][corpus["folds"] != EVALUATION, 1] = 0
    make_study(tmp_path / "s", ALPHAS[:1], corpus=corpus)
    assert eer_thresholds(find_winner(tmp_path, "s"))["m"] is None


# malformed


def test_studies_that_cannot_be_used(tmp_path: Path) -> None:
    make_study(tmp_path / "young", ALPHAS[:1], corpus=make_corpus(**SMALL), finished=0)
    with pytest.raises(WinnerError, match="has no finished trial"):
        find_winner(tmp_path, "young")
    make_study(tmp_path / "other", ALPHAS[:1], corpus=make_corpus(**SMALL), features=[{"n_mels": 64}])
    with pytest.raises(WinnerError, match="a network or a front end that this version does not have"):
        find_winner(tmp_path, "other")
    gone = make_study(tmp_path / "gone", ALPHAS[:1], corpus=make_corpus(**SMALL)).trials()[0]
    gone.write_trial(0, {"model": "gone"})
    with pytest.raises(WinnerError, match="a network or a front end that this version does not have"):
        find_winner(tmp_path, "gone")
    make_study(tmp_path / "without", ALPHAS[:1], corpus=make_corpus(**SMALL), with_clips=False)
    with pytest.raises(WinnerError, match=r"no usable clips\.npz.*--threshold"):
        eer_thresholds(find_winner(tmp_path, "without"))
