"""Which networks and augmentations there are: the project's, a user's own, and those of installed packages by name.

A name without a colon is that of the project's or, where its code is given, of a user's own; `package.module:name` is
a function or a class of an installed package.
"""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from audiotag.declarations.augmentations import Augmentation, is_augmentation, read_augmentation
from audiotag.declarations.networks import Network, is_network, read_network
from audiotag.declarations.own_code import BETWEEN, Definition, OwnCode, load_own, read_module
from audiotag.declarations.source import DeclarationError, parse

ROOT = Path(__file__).parents[1]
NO_AUGMENTATION = "none"
CHAIN = "+"  # between the augmentations of a chain
FORMS = {"model": "class {}(nn.Module)", "augmentation": "def {}(x, y, rng, *, ...)"}  # of an own definition


@dataclass(frozen=True)
class Source:
    """A definition, and where it stands."""

    node: Definition
    tree: ast.Module
    file: str  # as it is shown
    module: str = ""  # of the project


def split_chain(name: str) -> list[str]:
    """Give the augmentations of a chain, in order; of no chain the one."""
    return name.split(CHAIN)


def network_names(code: OwnCode | None = None) -> tuple[str, ...]:
    """Give the names of all networks, sorted, then those of a user's own."""
    return (*sorted(_project("model")), *_own("model", code))


def augmentation_names(code: OwnCode | None = None) -> tuple[str, ...]:
    """Give the names of all augmentations: "none", then as their files have them, then those of a user's own."""
    return (NO_AUGMENTATION, *_project("augmentation"), *_own("augmentation", code))


@cache
def network(name: str, training: tuple[str, ...], code: OwnCode | None = None) -> Network:
    """Read a network's declaration; `training` has the names of the training's own hyperparameters.

    Raises:
        ValueError: Where there is none of that name, or its source lacks something (DeclarationError).
    """
    found = find_source("model", name, code)
    if not isinstance(found.node, ast.ClassDef):
        raise DeclarationError(f"The name `{name}` in {found.file} is no class, but a network must be one.")
    return read_network(found.node, found.file, list(training))


@cache
def augmentation(name: str, code: OwnCode | None = None) -> Augmentation:
    """Read the declaration of an augmentation, not of a chain.

    Raises:
        ValueError: Where there is none of that name, or its source lacks something (DeclarationError).
    """
    if name == NO_AUGMENTATION:
        return Augmentation()
    found = find_source("augmentation", name, code)
    if not isinstance(found.node, ast.FunctionDef):
        raise DeclarationError(f"The name `{name}` in {found.file} is no function, but an augmentation must be one.")
    return read_augmentation(found.tree, found.node, found.file)


def load(kind: str, name: str, code: OwnCode | None = None) -> Any:
    """Import the class of a network (kind "model") or the function of an augmentation."""
    found = find_source(kind, name, code)
    return getattr(import_module(found.module), found.node.name) if found.module else load_own(name, code)


def is_own(kind: str, name: str, code: OwnCode | None) -> bool:
    """Whether a name is of a user's own, or of an installed package, and not of the project."""
    return name != NO_AUGMENTATION and not find_source(kind, name, code).module


def find_source(kind: str, name: str, code: OwnCode | None = None) -> Source:
    """Find the definition of a network (kind "model") or an augmentation.

    Raises:
        ValueError: Where there is none of that name.
    """
    if BETWEEN in name:
        return _in_package(kind, name, code)
    known = network_names(code) if kind == "model" else augmentation_names(code)
    if name in (there := _project(kind)):
        return there[name]
    if code is not None and name in (own := code.definitions()):
        return Source(*own[name])
    if code is not None and (why := code.why_not(name, FORMS[kind].format(name))):
        raise ValueError(f"The value of `{kind}` is {name!r}, which {why}")
    raise ValueError(f"The value of `{kind}` is {name!r}, but must be one of {', '.join(known)}.")


def _in_package(kind: str, name: str, code: OwnCode | None) -> Source:
    module, _, attribute = name.partition(BETWEEN)
    if not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise ValueError(f"The value of `{kind}` is {name!r}, but must be 'package.module{BETWEEN}name'.")
    recorded = dict(code.modules).get(module) if code is not None else None
    tree = parse(read_module(module) if recorded is None else recorded, module)
    for node in tree.body:
        if isinstance(node, Definition) and node.name == attribute:
            return Source(node, tree, module)
    raise ValueError(
        f"The value of `{kind}` is {name!r}, but the module {module} defines no `{attribute}`: name the one that does."
    )


def _own(kind: str, code: OwnCode | None) -> list[str]:
    """The names of the networks or augmentations of a user's own.

    Raises:
        DeclarationError: Where one of them has the name of one of the project's.
    """
    is_kind: Callable[[ast.stmt], bool] = is_network if kind == "model" else is_augmentation
    definitions = {} if code is None else code.definitions()
    found = [(name, file) for name, (node, _, file) in definitions.items() if is_kind(node)]
    for name, file in found:
        if name in _project(kind) or name == NO_AUGMENTATION:
            raise _taken(kind, name, file)
    return [name for name, _ in found]


@cache
def _project(kind: str) -> dict[str, Source]:
    return read_networks(ROOT / "models") if kind == "model" else read_augmentations(ROOT / "augment")


def read_networks(folder: Path) -> dict[str, Source]:
    """List the networks in a folder: in each file the class that is named like it, without underscores."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        tree = _parse(path)
        classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
        node = next((node for node in classes if node.name.lower() == path.stem.replace("_", "")), None)
        if node is not None:
            found[path.stem] = Source(node, tree, shown(path), f"audiotag.models.{path.stem}")
    return found


def read_augmentations(folder: Path) -> dict[str, Source]:
    """List the augmentations in a folder: its public functions that `is_augmentation` is true of, by name.

    Raises:
        DeclarationError: Where two have one name.
    """
    found: dict[str, Source] = {}
    for path in sorted(folder.glob("*.py")):
        tree = _parse(path)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and is_augmentation(node):
                if node.name in found or node.name == NO_AUGMENTATION:
                    raise _taken("augmentation", node.name, shown(path))
                found[node.name] = Source(node, tree, shown(path), f"audiotag.augment.{path.stem}")
    return found


def _taken(kind: str, name: str, file: str) -> DeclarationError:
    what = "class" if kind == "model" else "function"
    return DeclarationError(f"The name of the {what} `{name}` in {file} is taken: choose another.")


def _parse(path: Path) -> ast.Module:
    return parse(path.read_text(encoding="utf-8"), shown(path))


def shown(path: Path) -> str:
    """A file as messages name it."""
    return f"{path.parent.name}/{path.name}"
