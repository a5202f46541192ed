"""Blocks of frames: which there are, how they are cut, and that a clip's score is the mean over its blocks."""

import numpy as np
import pytest
import torch
from torch import Tensor

from audiotag.models import segments as blocks
from audiotag.models.segments import Framing, block_curves, mean_over_blocks, padded
from audiotag.training.batches import cut, units_of

FEATURES = np.arange(3 * 10 * 2, dtype=np.float32).reshape(3, 10, 2)  # (N, T, F)


def last_and_sum(part: Tensor) -> Tensor:
    """A stand-in for a network: of blocks (B, L, C) the last frame's first value and the sum of all."""
    return torch.stack([part[:, -1, 0], part.sum(dim=(1, 2))], dim=1)


# --- reference ---


@pytest.mark.parametrize(
    ("frames", "length", "hop", "starts"),
    [
        (249, 33, 10, [*range(0, 217, 10)]),  # CGRNN in training: 22 blocks
        (249, 33, 1, [*range(217)]),  # in scoring
        (399, 97, 7, [*range(0, 303, 7)]),  # DAE-DNN in training: 44 blocks of 91 codes
        (399, 97, 1, [*range(303)]),
        (5, 5, 3, [0]),
        (4, 5, 3, [0]),  # a clip shorter than a block is one
    ],
)
def test_first_frames(frames: int, length: int, hop: int, starts: list[int]) -> None:
    assert list(Framing(length, hop).starts(frames)) == starts


def test_units_by_hand() -> None:
    clips = np.array([2, 0])
    assert units_of(clips, 10, Framing(4, 3)).tolist() == [[2, 0], [2, 3], [2, 6], [0, 0], [0, 3], [0, 6]]
    assert units_of(clips, 10, None).tolist() == [[2, 0], [0, 0]]
    np.testing.assert_array_equal(cut(FEATURES, np.array([[2, 3], [0, 6]]), Framing(4, 3))[0], FEATURES[2, 3:7])
    np.testing.assert_array_equal(cut(FEATURES, np.array([[2, 3], [0, 6]]), Framing(4, 3))[1], FEATURES[0, 6:10])
    np.testing.assert_array_equal(cut(FEATURES, np.array([[1, 0], [0, 0]]), None), FEATURES[[1, 0]])


def test_a_clip_scores_the_mean_of_its_blocks() -> None:
    encoded = torch.from_numpy(FEATURES).square()  # a ramp would have the same mean over half of the blocks
    expected = [torch.stack([last_and_sum(encoded[n : n + 1, t : t + 4])[0] for t in range(7)]) for n in range(3)]
    torch.testing.assert_close(mean_over_blocks(encoded, 4, last_and_sum), torch.stack(expected).mean(dim=1))
    torch.testing.assert_close(block_curves(encoded, 4, last_and_sum), torch.stack(expected))


# --- property ---


@pytest.mark.parametrize("at_once", [1, 7, 15, 1000])
def test_the_blocks_of_a_clip_are_scored_together_in_any_number(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = mean_over_blocks(torch.from_numpy(FEATURES), 4, last_and_sum)
    monkeypatch.setattr(blocks, "AT_ONCE", at_once)
    seen = []

    def spy(part: Tensor) -> Tensor:
        seen.append(len(part))
        return last_and_sum(part)

    torch.testing.assert_close(mean_over_blocks(torch.from_numpy(FEATURES), 4, spy), expected)
    assert sum(seen) == 21
    assert max(seen) <= max(at_once, 7)


# --- degenerate ---


def test_short_clips_are_padded_behind() -> None:
    x = torch.ones(2, 3, 4)
    assert padded(x, 5)[:, 3:].abs().sum() == 0
    assert torch.equal(padded(x, 5)[:, :3], x)
    assert torch.equal(padded(x, 2), x)
    assert cut(FEATURES, np.array([[1, 0]]), Framing(12, 3)).shape == (1, 10, 2)
