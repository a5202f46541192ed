"""The device on which a network is trained: on a CPU all of this does nothing.

On a GPU the features lie in its memory where they fit, and the rest is copied there without waiting for it.
Shapes: N clips, T frames, F values per frame.
"""

import os
import platform

import numpy as np
import torch
from torch import Tensor

CONTEXT = 6e8  # bytes that CUDA itself takes per process, unknown to torch's allocator
NEARLY = 0.95  # CONTEXT is no more exact than that
FEATURES = 0.5  # of a trial's memory on a GPU that features may take; the network and its batches have the rest


class GPUError(RuntimeError):
    """A GPU, or a share of one, that cannot be used; the message is one line."""


def use_gpu(share: float) -> str:
    """Set this process up for a share of a card: a share of the memory, the same bits in each run, whole fp32.

    To be called before anything is on the card; gives the card's name for torch. With it a trial that needs more than
    its share ends with torch's OutOfMemoryError instead of taking what its neighbours need.

    Raises:
        GPUError: When CUDA does not start, or the share holds no more than CUDA itself takes.
    """
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # without it cuBLAS and cuDNN's GRU may sum in any order
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False  # convolutions with ten bits of mantissa are not fp32
    try:
        torch.cuda.init()
        torch.cuda.mem_get_info(0)  # starts CUDA on the card, for which others may have left no memory
        total = torch.cuda.get_device_properties(0).total_memory
    except (RuntimeError, AssertionError) as error:  # the latter of a torch without CUDA
        reason = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")
        raise GPUError(
            f"A trial got {share:g} GPU on {platform.node()}, but CUDA does not start there: {reason}. Mend that, or "
            "train on CPUs: --gpus-per-trial 0."
        ) from error
    if (limit := _memory_limit(share, total)) <= 0:
        raise GPUError(
            f"--gpus-per-trial is {share:g}, but that of a GPU with {total / 1e9:.1f} GB is no more than CUDA itself "
            "takes: ask for more."
        )
    torch.cuda.set_per_process_memory_fraction(limit / total, 0)
    return "cuda"


def explain_full_memory(share: float) -> str:
    """Say in a line who fills the card, after torch's OutOfMemoryError: this process, or others."""
    free, total = torch.cuda.mem_get_info()
    available = free + torch.cuda.memory_reserved()  # to this process, if it were not for its limit
    if available < NEARLY * _memory_limit(share, total):
        others = (total - available - CONTEXT) / 1e9
        return (
            f"The memory of the GPU on {platform.node()} is full: of its {total / 1e9:.1f} GB other processes hold "
            f"{others:.1f}, which leaves a trial less than its share of {share:g}. End them, or continue later."
        )
    if share >= 1:
        return f"A trial needs more than the {total / 1e9:.1f} GB of a whole GPU: choose a smaller `batch_size`."
    return (
        f"--gpus-per-trial is {share:g}, but a trial needs more than that of the GPU's {total / 1e9:.1f} GB: ask for "
        "more."
    )


def _memory_limit(share: float, total: float) -> float:
    """The bytes that torch's allocator may take of a card with `total`."""
    return min(share, 1.0) * total - CONTEXT


def place_features(features: np.ndarray, device: str) -> np.ndarray | Tensor:
    """Place features (N, T, F) where batches are cut from them: on a GPU, or where they are if they are too many."""
    if torch.device(device).type == "cpu":
        return features
    limit = torch.cuda.get_per_process_memory_fraction(0) * torch.cuda.get_device_properties(0).total_memory
    return torch.tensor(features, device=device) if features.nbytes <= FEATURES * limit else features


def to_device(values: np.ndarray, device: str | torch.device) -> Tensor:
    """Copy values of the host to a device; for a GPU without waiting for the copy."""
    tensor = torch.from_numpy(values)
    return tensor if torch.device(device).type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
