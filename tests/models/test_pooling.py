"""The pooling over frames of the networks with attention and localisation, by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from audiotag.models.att_loc import ATTLOC
from audiotag.models.crnn import CRNN

both_networks = pytest.mark.parametrize(("kind", "columns"), [(CRNN, 8), (ATTLOC, 40)])


@pytest.fixture
def of_frames(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Make a network whose frames have these probabilities of tags and localisations, (B, T, K) each."""

    def make(kind: type, columns: int, *frames: Tensor) -> Any:
        model = kind(columns, frames[0].shape[2])
        monkeypatch.setattr(model, "frames", lambda x: frames)
        return model

    return make


@both_networks
def test_by_hand(kind: type, columns: int, of_frames: Callable[..., Any]) -> None:
    tagging = torch.tensor([[[0.2, 0.5], [0.8, 0.5], [0.4, 0.1]]])  # 1 clip, 3 frames, 2 tags
    localisation = torch.tensor([[[0.25, 0.75], [0.75, 0.25], [0.5, 0.5]]])
    model = of_frames(kind, columns, tagging, localisation)
    expected = [(0.05 + 0.6 + 0.2) / 1.5, (0.375 + 0.125 + 0.05) / 1.5]
    torch.testing.assert_close(model(torch.zeros(1, 3, columns)), torch.tensor([expected]))
    torch.testing.assert_close(model.frame_curves(torch.zeros(1, 3, columns)), tagging * localisation)


@both_networks
def test_the_localisations_of_a_frame_sum_to_1(kind: type, columns: int) -> None:
    _, localisation = kind(columns, 4).frames(torch.randn(2, 12, columns))
    torch.testing.assert_close(localisation.sum(dim=2), torch.ones(2, 12))


@both_networks
def test_a_tag_that_is_located_nowhere_has_probability_0(
    kind: type, columns: int, of_frames: Callable[..., Any]
) -> None:
    model = of_frames(kind, columns, torch.ones(1, 3, 2), torch.tensor([[[0.0, 1.0]] * 3]))
    assert model(torch.zeros(1, 3, columns)).tolist() == [[0.0, 1.0]]


@both_networks
def test_with_one_tag_it_is_a_mean_over_frames(kind: type, columns: int) -> None:
    model, x = kind(columns, 1).eval(), torch.randn(3, 12, columns)
    torch.testing.assert_close(model(x), model.frame_curves(x).mean(dim=1))
