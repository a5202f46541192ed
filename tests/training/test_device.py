"""The device of training, as far as a CPU can tell."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.tiny_fit import FEATURES, TARGETS, epochs, same_tensors, start

from audiotag.models.segments import Segmentation
from audiotag.training.batches import gather
from audiotag.training.device import CONTEXT, GPUError, explain_full_memory, place_features, to_device, use_gpu

START = torch.cuda.init


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A card of 24 GB; the shares of its memory that were taken."""
    taken: list[float] = []
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (24e9, 24e9))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=24e9))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda part, _: taken.append(part))
    return taken


@pytest.mark.parametrize("segments", [None, Segmentation(4, 3), Segmentation(50, 3)])
def test_batches_cut_from_a_tensor_are_those_cut_from_an_array(segments: Segmentation | None) -> None:
    index = np.array([[7, 3], [0, 6], [7, 0]]) if segments != Segmentation(50, 3) else np.array([[7, 0], [2, 0]])
    placed = gather(torch.from_numpy(FEATURES), index, segments)
    assert torch.equal(placed, gather(FEATURES, index, segments))
    assert placed.shape == (len(index), min(segments.frames if segments else 99, FEATURES.shape[1]), FEATURES.shape[2])


def test_a_fold_trains_alike_on_features_that_lie_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, placed = start(), start()
    list(epochs(plain))
    monkeypatch.setattr("audiotag.training.fit.place_features", lambda features, device: torch.tensor(features))
    list(epochs(placed))
    assert same_tensors(placed.best, plain.best)


def test_a_cpu_copies_nothing() -> None:
    assert place_features(FEATURES, "cpu") is FEATURES
    assert to_device(TARGETS, "cpu").data_ptr() == TARGETS.ctypes.data


def test_features_that_fill_a_card_stay_where_they_are(card: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda _: 2 * FEATURES.nbytes / 24e9)
    placed = place_features(FEATURES, "meta")
    assert isinstance(placed, torch.Tensor)
    assert (placed.device.type, placed.shape) == ("meta", FEATURES.shape)
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda _: 1.99 * FEATURES.nbytes / 24e9)
    assert place_features(FEATURES, "meta") is FEATURES


@pytest.mark.parametrize(("share", "fraction"), [(0.25, 0.25 - CONTEXT / 24e9), (1.0, 1 - CONTEXT / 24e9), (2.0, None)])
def test_a_trial_gets_its_share_of_the_memory(share: float, fraction: float | None, card: list[float]) -> None:
    assert use_gpu(share) == "cuda"
    assert card == [pytest.approx(fraction or 1 - CONTEXT / 24e9)]
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.allow_tf32


def test_a_share_that_cuda_itself_fills(card: list[float]) -> None:
    with pytest.raises(GPUError, match=r"^--gpus-per-trial is 0\.02, .* 24\.0 GB"):
        use_gpu(0.02)
    assert card == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA starts here")
@pytest.mark.usefixtures("card")
def test_a_card_that_cuda_does_not_start_on_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "init", START)
    with pytest.raises(GPUError, match=r"^A trial got 0\.25 GPU on .*: .*(driver|CUDA).*\. Mend .*$"):
        use_gpu(0.25)


@pytest.mark.usefixtures("card")
def test_a_card_that_others_have_filled_is_told_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later")

    monkeypatch.setattr(torch.cuda, "mem_get_info", refuse)
    with pytest.raises(GPUError, match=r"does not start there: CUDA error: out of memory\. Mend"):
        use_gpu(0.25)


@pytest.mark.parametrize(
    ("share", "free", "own", "told"),
    [
        (0.25, 17e9, 5.3e9, r"--gpus-per-trial is 0\.25, .*: ask for more\.$"),
        (1.0, 0.1e9, 23.3e9, "`batch_size`"),
        (0.25, 0.1e9, 1e9, r"of its 24\.0 GB other processes hold 22\.3,"),  # two trials on a card that is in use
        (1.0, 0.1e9, 19.3e9, r"of its 24\.0 GB other processes hold 4\.0,"),
    ],
)
def test_who_fills_the_memory_is_told(
    share: float, free: float, own: float, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, 24e9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: own)
    text = explain_full_memory(share)
    assert re.search(told, text)
    assert "\n" not in text
