"""The driver of a study: Ray Tune, Optuna and MLflow around a ledger.

`study.load` reads a study (docs/library.md). It is imported when it is first used: the commands do not need it.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.library import Study, load, names

__all__ = ["PROJECT", "Study", "load", "names"]

PROJECT = Path(__file__).resolve().parents[1]  # the checkout: its data/, and the default mlflow.db
_OF_LIBRARY = ("Study", "load", "names")


def __getattr__(name: str) -> Any:
    if name not in _OF_LIBRARY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("study.library"), name)
