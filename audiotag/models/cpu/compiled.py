"""The library that is compiled from kernels.cpp and products.cpp when the package is installed. Imports no torch."""

import ctypes
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

# of both files: raised here and at the end of kernels.cpp with every change of a function's arguments or meaning
INTERFACE = 2


def find_library(folder: Path) -> ctypes.CDLL | None:
    """The library of this very interface, for this machine and Python, in a folder; None where there is none."""
    for suffix in EXTENSION_SUFFIXES:
        try:
            library = ctypes.CDLL(str(folder / f"_kernels{suffix}"))
            if library.interface() == INTERFACE:
                return library
        except (OSError, AttributeError):
            continue
    return None


LIBRARY = find_library(Path(__file__).parent)
COMPILED = LIBRARY is not None
