"""Questions: one file each, the file name is the `--space` name, the docstring asks the question.

A space is a module with `define(trial)`, an Optuna define-by-run function; it suggests hyperparameters
(`audiotag.config`), and returns others that are fixed. It leaves a combination out by raising `optuna.TrialPruned`.
Optional are:

SAMPLER: "exhaustive", the default: every combination, in order; or one of Optuna's: "tpe", "gp", "qmc", "random".
TRIALS: how many are sampled by default; without it every combination, where each parameter has a list of values.
BASELINE: some values of the trial that the others are compared with, such as {"augmentation": "none"}; without it a
    trial without mixing.

A space may also be a file anywhere else, `--space path/to/question.py`. It may define augmentations and networks of its
own, or import them from modules beside it (`audiotag.declarations.own_code`); trials name them like the project's.

A module whose name begins with an underscore is not a space; spaces may import it.
"""

import ast
import importlib
import importlib.util
import os
import pkgutil
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from audiotag.declarations.own_code import OwnCode, describe_error, importable, load_module, run_module
from audiotag.declarations.source import DeclarationError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")  # of a file outside this folder: it names studies, too
PROJECT = ("audiotag", "study", "search_spaces")  # packages that are no helpers of a file outside this folder
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
    helpers: dict[str, str] = field(default_factory=dict)  # texts of its own modules that it imports, by file
    path: str = ""  # of a file outside this folder

    @property
    def code(self) -> OwnCode:
        """Its source, as what may define networks and augmentations."""
        return own_code(self.name, self.source, self.helpers, self.path)

    @property
    def folder(self) -> str:
        """That of a file outside this one."""
        return os.path.dirname(self.path)

    @property
    def fingerprint(self) -> str:
        """A hash of the texts of its file and of its helpers."""
        return self.code.fingerprint


def own_code(name: str, source: str, helpers: dict[str, str], path: str) -> OwnCode:
    """Give the source of a space, as what may define networks and augmentations."""
    return OwnCode(f"{name}.py", source, tuple(sorted(helpers.items())), "" if path else __name__)


def is_path(name: str) -> bool:
    """Whether `--space` names a file, and not one of the spaces in this folder."""
    return name.endswith(".py") or "/" in name or os.sep in name


def space_names() -> list[str]:
    """The names of all spaces, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def space_name(name: str) -> str:
    """The name of the space that `--space` names."""
    return Path(name).stem if is_path(name) else name


def load_space(name: str) -> Space:
    """The space of that name, or in the file of that path. What its file prints goes to standard error.

    Raises:
        SpaceError: for an unknown name (the near ones are named), or a file that cannot be read or lacks a part.
    """
    if is_path(name):
        return _load_file(Path(name))
    if name not in space_names():
        near = [path] if Path(path := f"{name}.py").is_file() else get_close_matches(name, space_names(), 3, 0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"the spaces are {', '.join(space_names())}."
        raise SpaceError(f"Unknown space `{name}`: {hint} (--list shows all)")
    try:
        with redirect_stdout(sys.stderr):
            module = importlib.import_module(f"{__name__}.{name}")
        source, helpers = read_sources(module)
    except (Exception, SystemExit) as error:  # whatever a user's own file does wrong
        raise SpaceError(f"The space `{name}` cannot be read: {describe(error)}.") from error
    return _make_space(name, module, source, helpers)


def _load_file(path: Path) -> Space:
    """The space in a file outside this folder."""
    place = path.absolute()
    if not place.is_file() or place.suffix != ".py":
        raise SpaceError(f"There is no Python file `{path}`: name one that ends in .py, or a space (see --list).")
    if not NAME.fullmatch(place.stem):
        raise SpaceError(f"The file `{path}` must have a name of letters, digits and . _ - before its .py: rename it.")
    try:
        with redirect_stdout(sys.stderr), importable(place.resolve().parent):
            module = run_module(place.resolve(), f"space_{place.stem}")
            source, helpers = read_sources(module)
    except (Exception, SystemExit) as error:  # whatever a user's own file does wrong
        raise SpaceError(f"The space `{path}` cannot be read: {describe(error, place.resolve().parent)}.") from error
    return _make_space(place.stem, module, source, helpers, str(place))


def load_kept_space(name: str, source: str, helpers: dict[str, str], path: str) -> Space:
    """The space whose texts a study keeps; its own file is not looked at.

    Raises:
        SpaceError: As `load_space`.
    """
    try:
        module = load_module(own_code(name, source, helpers, path))
    except DeclarationError as error:
        raise SpaceError(f"The space `{name}` cannot be read: {error}") from error
    return _make_space(name, module, source, helpers, path)


def _make_space(name: str, module: Any, source: str, helpers: dict[str, str], path: str = "") -> Space:
    question = module.__doc__.strip() if isinstance(module.__doc__, str) else ""
    sampler = getattr(module, "SAMPLER", "exhaustive")
    trials = getattr(module, "TRIALS", None)
    if not question or not callable(getattr(module, "define", None)):
        raise SpaceError(
            f"The space `{name}` must have a docstring that asks its question and a function `define(trial)`; "
            "the name of a module that is not a space begins with an underscore."
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
    return Space(name, question, module.define, sampler, trials, source, baseline, helpers, path)


def describe(error: BaseException, folder: str | Path = "") -> str:
    """What went wrong in a user's own file in this folder, or in another, and in which line of it."""
    places = [Path(str(place)) for place in __path__] + ([Path(folder)] if folder else [])
    return describe_error(error, places, without=__file__)


def changed_file(name: str, source: str, helpers: dict[str, str], path: str = "") -> Path | None:
    """The first file of a space that is not, or no longer, as a text says; None where all are. Nothing is run."""
    here = [Path(str(folder)) / f"{name}.py" for folder in __path__]
    place = Path(path) if path else next((file for file in here if file.is_file()), here[0])
    beside = [
        place.parent,
        place.resolve().parent,
        *(file.parent for file in here),
    ]  # a link, say
    found = {helper: next((at for at in beside if (at / helper).is_file()), beside[0]) / helper for helper in helpers}
    for file, text in ((place, source), *((found[helper], text) for helper, text in helpers.items())):
        try:
            if read_source(file) != text:
                return file
        except (OSError, ValueError, SyntaxError):
            return file
    return None


def read_sources(module: Any) -> tuple[str, dict[str, str]]:
    """The text of a space's file, and by file those of its helpers.

    Helpers are the modules in this folder, or beside the file, that it imports, and those that they import.
    """
    path, package = Path(module.__file__), module.__package__ or ""
    source, helpers = read_source(path), dict[str, str]()
    pending = [(source, package)]
    while pending:
        for name in _imports(*pending.pop()):
            if not package and name.split(".")[0] in PROJECT:
                continue
            spec = _find(name) or (None if package else _find_beside(name, path.resolve().parent))
            if spec is None or not spec.origin or spec.origin == module.__file__ or name == __name__:
                continue
            file = Path(spec.origin)
            shown = _within(file, path.resolve().parent)  # the space's file may be a link to one elsewhere
            if shown is not None and shown not in helpers:
                helpers[shown] = read_source(file)
                pending.append((helpers[shown], spec.parent))
    return source, helpers


def _imports(source: str, package: str) -> Iterator[str]:
    """The full names of the modules that a text may import anywhere in it, with the packages that they are in."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names += [f"{module}.{alias.name}" for alias in node.names]
    for name in names:
        parts = name.split(".")
        yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _find(name: str) -> Any:
    """The spec of a module; None where there is no such module, or to find it would import a package of others."""
    if name in sys.modules:
        return getattr(sys.modules[name], "__spec__", None)
    if "." in name and not name.startswith(f"{__name__}."):
        return None
    with suppress(ImportError, ValueError):
        return importlib.util.find_spec(name)
    return None


def _find_beside(name: str, folder: Path) -> Any:
    """The spec of a module in a folder, which is not imported yet; None where there is none."""
    place = folder.joinpath(*name.split("."))
    file = next((file for file in (Path(f"{place}.py"), place / "__init__.py") if file.is_file()), None)
    return file and importlib.util.spec_from_file_location(name, file)


def _within(file: Path, more: Path | None = None) -> str | None:
    """The path of a Python source within this folder, or within another one; None where it is in neither."""
    folders = [Path(str(folder)) for folder in __path__] + ([] if more is None else [more])
    folder = next((folder for folder in folders if file.is_relative_to(folder)), None)
    if folder is None or file.suffix != ".py" or "site-packages" in file.parts:
        return None
    return file.relative_to(folder).as_posix()


def read_source(path: Path) -> str:
    """The text of a source file: UTF-8, or what its first lines declare."""
    try:
        return path.read_text(encoding="utf-8-sig")  # editors of Windows may write its mark
    except UnicodeDecodeError:
        with tokenize.open(path) as file:
            return file.read()
