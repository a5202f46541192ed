"""What computes on a CPU: the loops in cpu/, where they are compiled, or torch's own operations. Imports no torch.

The library is compiled from kernels.cpp and products.cpp when the package is installed. Without it, or without the
whole folder cpu/, the networks are the same to rounding, and slower.
"""

import ctypes
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

# of both files: raised here and in kernels.cpp with every change of a function's arguments or meaning
INTERFACE = 3
THREADS = 2  # the compiled convolution uses one; with more than two, torch shares out twice the work and is faster


class ConvolutionError(ValueError):
    """A convolution that this machine cannot compute; the message is one line."""


def find_library(folder: Path) -> ctypes.CDLL | None:
    """Load the library of this very interface, for this machine and Python, from a folder; None where there is none."""
    for suffix in EXTENSION_SUFFIXES:
        try:
            library = ctypes.CDLL(str(folder / f"_kernels{suffix}"))
            if library.interface() == INTERFACE:
                return library
        except (OSError, AttributeError):
            continue
    return None


LIBRARY = find_library(Path(__file__).parent / "cpu")
COMPILED = LIBRARY is not None
LANES: int = LIBRARY.most_lanes() if LIBRARY else 0  # values that a product takes at once; 0: products.cpp cannot run


def fastest_convolution(threads: float = 1) -> str:
    """Choose what a new study's trials on this machine's CPU compute convolutions with, given the threads of each."""
    return "winograd" if LANES and threads <= THREADS else "direct"


def check_convolution(name: str | None, device: str) -> None:
    """Raise ConvolutionError for "winograd" on a GPU, where the loops are not compiled or the CPU cannot run them."""
    if name == "winograd" and (not LANES or device != "cpu"):
        why = "audiotag's loops are not compiled for this CPU" if device == "cpu" else f"it does not run on {device}"
        raise ConvolutionError(
            f"The value of `convolution` is 'winograd', but must be 'direct', because {why}: start a study of its own "
            "here, or compile the loops (`make install`)."
        )
