"""The device on which a network is trained: on a CPU all of this does nothing.

On a GPU the features lie in its memory, and the rest is copied there without waiting for it.
Shapes: N clips, T frames, F values per frame.
"""

import os

import numpy as np
import torch
from torch import Tensor

CONTEXT = 6e8  # bytes that CUDA itself takes per process, unknown to torch's allocator


class GPUShareError(ValueError):
    """A share of a GPU that is too small for anything."""


def use_gpu(share: float) -> None:
    """Set this process up for a share of a card: a share of the memory, the same bits in each run, whole fp32.

    To be called before anything is on the card. With it a trial that needs more than its share ends with torch's
    OutOfMemoryError instead of taking what its neighbours need.

    Raises:
        GPUShareError: When the share holds no more than CUDA itself takes.
    """
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # without it cuBLAS and cuDNN's GRU may sum in any order
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False  # convolutions with ten bits of mantissa are not fp32
    total = torch.cuda.get_device_properties(0).total_memory
    fraction = min(share, 1.0) - CONTEXT / total
    if fraction <= 0:
        raise GPUShareError(f"{share:g} of a GPU with {total / 1e9:.1f} GB is no more than CUDA itself takes")
    torch.cuda.set_per_process_memory_fraction(fraction, 0)


def place_features(features: np.ndarray, device: str) -> np.ndarray | Tensor:
    """Place features (N, T, F) where batches are cut from them: in shared memory as they are, or on a GPU."""
    return features if torch.device(device).type == "cpu" else torch.tensor(features, device=device)


def to_device(values: np.ndarray, device: str | torch.device) -> Tensor:
    """Copy values of the host to a device; for a GPU without waiting for the copy."""
    tensor = torch.from_numpy(values)
    return tensor if torch.device(device).type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
