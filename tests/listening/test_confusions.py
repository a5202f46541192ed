"""Which tags are taken for which, counted by hand."""

import numpy as np

from study.listening.choice import ScoredClips
from study.listening.confusions import Confusion, find_confusions


def scored(targets: list[list[int]], wrong: list[int]) -> ScoredClips:
    """Clips whose first tag is wrong in some of them, and whose others are right."""
    there = np.array(targets)
    scores = np.where(there > 0, 0.9, 0.1)
    scores[wrong, 0] = 1 - scores[wrong, 0]
    return ScoredClips(there, scores, np.full(there.shape, 0.5))


def test_a_tag_that_sets_off_false_alarms() -> None:
    """Of 10 clips without A 4 are false alarms, 3 of them with B; of the other 6 one has B."""
    targets = [[0, 1]] * 3 + [[0, 0]] + [[0, 1]] + [[0, 0]] * 5 + [[1, 0]] * 4
    (found,) = find_confusions(scored(targets, [0, 1, 2, 3]), 5)
    assert found == Confusion(0, "false alarm", 1, there=3, mistakes=4, elsewhere=1, others=6)
    assert found.excess == 3 - 4 / 6
    assert found.ratio == (3 / 4) / (1 / 6)


def test_a_tag_that_hides_another() -> None:
    """Of 6 clips with A 2 are missed, both with B, which no other clip with A has."""
    targets = [[1, 1]] * 2 + [[1, 0]] * 4 + [[0, 1], [0, 0]] * 3
    (found,) = find_confusions(scored(targets, [0, 1]), 5)
    assert (found.kind, found.there, found.mistakes, found.elsewhere, found.others) == ("missed", 2, 2, 0, 4)
    assert found.ratio is None


def test_what_is_no_more_frequent_is_left_out() -> None:
    targets = [[0, 1], [0, 0]] * 4 + [[1, 0]] * 2
    assert find_confusions(scored(targets, [0, 1, 2, 3]), 5) == []
    assert find_confusions(scored(targets, []), 5) == []


def test_the_largest_surplus_comes_first_and_the_rest_is_cut() -> None:
    targets = [[0, 1, 1]] * 3 + [[0, 1, 0]] * 2 + [[0, 0, 0]] * 5
    found = find_confusions(scored(targets, [0, 1, 2, 3, 4]), 5)
    assert [one.other for one in found] == [1, 2]
    assert find_confusions(scored(targets, [0, 1, 2, 3, 4]), 1) == found[:1]


def test_a_tag_that_is_wrong_everywhere_has_nothing_to_be_compared_with() -> None:
    assert find_confusions(scored([[0, 1]] * 4, [0, 1, 2, 3]), 5) == []


def test_clips_whose_label_is_unknown_are_not_counted() -> None:
    targets = [[0, 1]] * 3 + [[0, 0]] + [[0, 1]] + [[0, 0]] * 5 + [[1, 0]] * 4
    row = scored(targets, [0, 1, 2, 3])
    more = np.array([[np.nan, 1.0]] * 6)
    whole = ScoredClips(
        np.vstack([row.targets, more]), np.vstack([row.scores, np.full((6, 2), 0.9)]), np.full((20, 2), 0.5)
    )
    assert find_confusions(whole, 5) == find_confusions(row, 5)
