"""Arrays that are mapped from a file, opened again by another process of the machine: both use the same pages."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audiotag.features.store import CacheError


@dataclass(frozen=True)
class MappedFile:
    """Where a mapped array lies in its file: the first byte, and shape and strides (bytes) of its values."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype

    def open(self) -> np.ndarray:
        """Map the array, read-only.

        Raises:
            CacheError: If the file is not there any more.
        """
        try:
            content = np.memmap(self.path, np.uint8, mode="r")
        except FileNotFoundError as error:
            remedy = "continue it with --resume, which computes them again"
            raise CacheError(f"The features in `{self.path}` were deleted while the study ran: {remedy}.") from error
        return np.ndarray(self.shape, self.dtype, content, self.offset, self.strides)


def find_mapped(array: np.ndarray) -> MappedFile | None:
    """Find the file from which an array is mapped, whole or in part; None for any other array."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        if isinstance(owner, np.memmap) and not isinstance(owner.base, np.ndarray):
            if owner.filename is None:  # of a file without a name
                return None
            offset = owner.offset + _address(array) - _address(owner)
            return MappedFile(Path(owner.filename), offset, array.shape, array.strides, array.dtype)
        owner = owner.base
    return None


def _address(array: np.ndarray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
