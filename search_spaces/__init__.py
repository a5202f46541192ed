"""Questions: one file each, the file name is the `--space` name, the docstring asks the question.

A space is a module with `define(trial)`, an Optuna define-by-run function; it suggests hyperparameters
(`audiotag.config`), and returns others that are fixed. Optional are:

SAMPLER: "exhaustive", the default: every combination, in order; or one of Optuna's: "tpe", "gp", "qmc", "random".
TRIALS: how many are sampled by default; without it every combination, where each parameter has a list of values.
BASELINE: some values of the trial that the others are compared with, such as {"augmentation": "none"}; without it a
    trial without mixing.
"""

import hashlib
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

SAMPLERS = ("tpe", "gp", "qmc", "random", "exhaustive")


class SpaceError(ValueError):
    """A search space that does not exist or does not hold what a space must; one line for the user."""


@dataclass(frozen=True)
class Space:
    """A search space, read from its file."""

    name: str
    question: str  # the docstring
    define: Callable[[Any], dict[str, Any] | None]
    sampler: str
    trials: int | None  # sampled by default; None: as many as there are combinations
    source: str  # the file's text
    baseline: dict[str, Any] | None = None  # values of the trial that the others are compared with

    @property
    def fingerprint(self) -> str:
        """A hash of the file's text."""
        return hashlib.sha256(self.source.encode()).hexdigest()[:16]


def space_names() -> list[str]:
    """The names of all spaces, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_space(name: str) -> Space:
    """The space of that name.

    Raises:
        SpaceError: for an unknown name (the near ones are named), or a file that lacks a part.
    """
    if name not in space_names():
        near = get_close_matches(name, space_names(), n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"the spaces are {', '.join(space_names())}."
        raise SpaceError(f"Unknown space `{name}`: {hint} (--list shows all)")
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except Exception as error:  # whatever a user's own file does wrong
        raise SpaceError(f"The space `{name}` cannot be read: {error}.") from error
    question = (module.__doc__ or "").strip()
    sampler = getattr(module, "SAMPLER", "exhaustive")
    trials = getattr(module, "TRIALS", None)
    if not question or not callable(getattr(module, "define", None)):
        raise SpaceError(
            f"The space `{name}` must have a docstring that asks its question and a function `define(trial)`."
        )
    if sampler not in SAMPLERS:
        raise SpaceError(f"The space `{name}` has SAMPLER {sampler!r}, but must have one of {', '.join(SAMPLERS)}.")
    if trials is not None and not (isinstance(trials, int) and trials > 0):
        raise SpaceError(f"The space `{name}` has TRIALS {trials!r}, but must have a number above 0, or none.")
    baseline = getattr(module, "BASELINE", None)
    if baseline is not None and not (isinstance(baseline, dict) and baseline):
        raise SpaceError(
            f"The space `{name}` has BASELINE {baseline!r}, but must have hyperparameters with values: "
            'BASELINE = {"augmentation": "none"}.'
        )
    assert module.__file__ is not None
    source = Path(module.__file__).read_text(encoding="utf-8")
    return Space(name, question, module.define, sampler, trials, source, baseline)
