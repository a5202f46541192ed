"""What a network's source says of it: the arguments and attributes of its class."""

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from audiotag.declarations.source import (
    Choices,
    DeclarationError,
    Value,
    Values,
    assigned,
    first_arguments,
    keyword_arguments,
    listed_choices,
    literal,
)
from audiotag.features.log_mel import LogMel

FIRST = ["self", "n_columns", "n_tags"]  # the first arguments of a network's `__init__`
QUICK: dict[str, Value] = {"max_epochs": 4, "patience": 4}  # the short budget of a network that declares none


@dataclass(frozen=True)
class Network:
    """A network's declaration: what its class says of it (`audiotag.models`)."""

    parameters: Values  # its hyperparameters with their defaults
    choices: Mapping[str, Choices]  # of those with a list of values (`Literal`)
    training_defaults: dict[str, Value]  # those of the training that differ for this network
    quick: Values  # a short budget for the synthetic corpus
    front_end: LogMel
    has_curves: bool  # whether it has `frame_curves`
    mixing_layers: tuple[str, ...] = ()  # after which its outputs may be mixed


def is_network(node: ast.stmt) -> bool:
    """Whether a statement defines a network: a class whose `__init__` begins with (self, n_columns, n_tags)."""
    first = _methods(node).get("__init__") if isinstance(node, ast.ClassDef) else None
    return first is not None and first_arguments(first) == FIRST


def read_network(found: ast.ClassDef, file: str, training: list[str]) -> Network:
    """Read the declaration of a class; `training` has the names of the training's own hyperparameters.

    Raises:
        DeclarationError: Where something is missing or not written out; `file` is shown.
    """
    where = f"the class `{found.name}` in {file}"
    if not is_network(found):
        missing = "" if "__init__" in _methods(found) else " be written out, even if a base class has one, and"
        raise DeclarationError(
            f"The method `__init__` of {where} must{missing} begin with (self, n_columns, n_tags, *)."
        )
    methods, attributes = _methods(found), assigned(found.body)
    parameters = keyword_arguments(methods["__init__"], where)
    return Network(
        parameters=parameters,
        choices=listed_choices(methods["__init__"]),
        training_defaults=_read_values("training_defaults", attributes, {}, training, where),
        quick=_read_values("quick", attributes, QUICK, [*training, *parameters], where),
        front_end=_read_front_end(attributes.get("front_end"), where),
        has_curves="frame_curves" in methods,
        mixing_layers=_read_layers(attributes.get("mixing_layers"), where),
    )


def _methods(found: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in found.body if isinstance(node, ast.FunctionDef)}


def _read_values(
    name: str, attributes: Mapping[str, ast.expr], default: dict[str, Value], allowed: list[str], where: str
) -> dict[str, Value]:
    """A class attribute that is a dict of hyperparameters."""
    values = literal(attributes[name]) if name in attributes else default
    if not isinstance(values, dict) or not values.keys() <= set(allowed):
        raise DeclarationError(f"The attribute `{name}` of {where} must be a dict of {', '.join(allowed)}.")
    return values


def _read_layers(node: ast.expr | None, where: str) -> tuple[str, ...]:
    """The class attribute `mixing_layers`: names of modules, as `get_submodule` takes them."""
    names = () if node is None else literal(node)
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        raise DeclarationError(f"The attribute `mixing_layers` of {where} must be a tuple of names, written out.")
    return names


def _read_front_end(node: ast.expr | None, where: str) -> LogMel:
    match node:
        case None:
            return LogMel()
        case ast.Call(func=ast.Name(id="LogMel") | ast.Attribute(attr="LogMel"), args=[], keywords=words):
            values = {str(word.arg): literal(word.value) for word in words}
            defaults: dict[str, Any] = {entry.name: entry.default for entry in fields(LogMel)}
            if all(_fits(value, defaults.get(name)) for name, value in values.items()):
                try:
                    return LogMel(**values)
                except ValueError as error:
                    raise DeclarationError(f"The attribute `front_end` of {where} cannot be: {error}") from error
    known = ", ".join(f"{entry.name} ({type(entry.default).__name__})" for entry in fields(LogMel))
    raise DeclarationError(f"The attribute `front_end` of {where} must be a LogMel(...) of {known}, written out.")


def _fits(value: Any, default: Any) -> bool:
    """Whether a front end may have a value where its default is this one: numbers are positive."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    numbers = {int: int, float: int | float}.get(type(default))
    return numbers is not None and isinstance(value, numbers) and 0 < value < math.inf
