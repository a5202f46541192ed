"""What a trial hands over, as bytes: nothing is lost, and nothing is executed."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from study.ledger.saved_state import Training, pack_fold, pack_state, unpack_state

TRAININGS = [Training(*numbers) for numbers in ((1, 0), (1, 1), (2, 0), (1, 0, 4), (2, 0, 4))]


def test_a_state_comes_back_with_the_names_of_its_training() -> None:
    for training in TRAININGS:
        names, state = unpack_state(pack_state(training, {"x": torch.arange(3), "history": [{"loss": 0.5}]}))
        assert [other for other in TRAININGS if other.names == names] == [training]
        assert torch.equal(state.pop("x"), torch.arange(3))
        assert state == {"history": [{"loss": 0.5}]}


def test_a_fold_comes_back() -> None:
    files = pack_fold({"held_out": np.eye(2), "held_out_clips": np.array(["a", "b"])}, {"w": torch.ones(2)})
    arrays = np.load(io.BytesIO(files.scores), allow_pickle=False)
    assert arrays["held_out"].tolist() == [[1, 0], [0, 1]]
    assert arrays["held_out_clips"].tolist() == ["a", "b"]
    assert torch.load(io.BytesIO(files.weights), weights_only=True)["w"].tolist() == [1, 1]


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    file = io.BytesIO()
    torch.save({"fold": 0, "state": Evil(tmp_path / "executed")}, file)
    with pytest.raises(Exception, match=r"weights_only|Unsupported"):
        unpack_state(file.getvalue())
    assert not (tmp_path / "executed").exists()
