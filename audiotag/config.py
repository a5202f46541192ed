"""The hyperparameters of one trial, and which there are.

A network is a class in a file of its own in models/, an augmentation a function in augment/. Their keyword-only
arguments are hyperparameters; the defaults stand in their signatures and nowhere else. This module reads both from the
source files: importing them would import torch, 1.5 s that the driver of a study can do without.
"""

import ast
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from audiotag.features.log_mel import LogMel

Value = bool | int | float | str
Values = Mapping[str, Value]
Choices = tuple[str, ...]

ROOT = Path(__file__).parent
NO_AUGMENTATION = "none"
BATCH = ["x", "y", "rng"]  # the first arguments of an augmentation
SCHEDULES = ("always", "intermittent")
OPTIMIZERS = ("adam", "sgd")
PRECISIONS = ("fp32", "bf16")

# What a value must be beyond its default's type: of the training's texts; of numbers, by name
CHOICES: dict[str, Choices] = {"schedule": SCHEDULES, "optimizer": OPTIMIZERS, "precision": PRECISIONS}
NOT_NEGATIVE = (0.0, math.inf, "a number in [0, inf)")
SHARE = (0.0, math.nextafter(1.0, 2.0), "a number in [0, 1]")
RANGES = {  # low <= value < high
    "alpha": NOT_NEGATIVE,
    "band_share": SHARE,
    "dropout": (0.0, 1.0, "a number in [0, 1)"),
    "frame_share": SHARE,
    "learning_rate": (math.ulp(0.0), math.inf, "a positive number"),
    "max_gain": NOT_NEGATIVE,
    "max_seconds": NOT_NEGATIVE,
    "probability": SHARE,
}
# Of a hyperparameter that a trial does not have, these say nothing: earlier studies and users' spaces hold them
NEUTRAL = (0, "always", "direct")
QUICK: dict[str, Value] = {"max_epochs": 4, "patience": 4}  # the short budget of a network that declares none


class DeclarationError(ValueError):
    """A network or an augmentation whose source does not say what it must; the message is one line."""


@dataclass(frozen=True)
class Network:
    """A network's declaration: what its class says of it (`audiotag.models`)."""

    parameters: Values  # its hyperparameters with their defaults
    choices: Mapping[str, Choices]  # of those with a list of values (`Literal`)
    training_defaults: dict[str, Value]  # those of the training that differ for this network
    quick: Values  # a short budget for the synthetic corpus
    front_end: LogMel
    has_curves: bool  # whether it has `frame_curves`


@dataclass(frozen=True)
class Restriction:
    """What a value of one hyperparameter leaves of others: some values, or nothing; those are not there, then."""

    name: str
    value: Value
    others: Mapping[str, Choices]
    reason: str


@dataclass(frozen=True)
class Augmentation:
    """An augmentation's declaration: what its function's file says of it (`audiotag.augment`)."""

    module: str = ""  # of its function
    takes_front_end: bool = False  # whether it has a fourth argument
    parameters: Values = field(default_factory=dict)  # its hyperparameters with their defaults
    choices: Mapping[str, Choices] = field(default_factory=dict)  # of those with a list of values (`Literal`)
    restrictions: tuple[Restriction, ...] = ()  # combinations of values that it does not have


@dataclass(frozen=True, init=False)
class TrialConfig:
    """Every hyperparameter of a trial, flat from outside: `TrialConfig(model="crnn", dropout=0.2).dropout`.

    The keyword, the Optuna parameter, the MLflow parameter and the table column are the same word. The fields are the
    training's own; every other name belongs to the chosen network or augmentation. What is left out takes its default.
    Comments tell what is from the paper ("Sample mixed-based data augmentation for domestic audio tagging", Wei et al.
    2018) and what is open in it.

    Raises:
        ValueError: For a name that is not a hyperparameter of this trial, or a value out of its range.
    """

    model: str = "crnn"  # a file in models/
    augmentation: str = NO_AUGMENTATION  # a function in augment/
    schedule: str = "always"  # in which epochs the augmentation is on; intermittent: SamplePairing's own paper
    optimizer: str = "adam"  # open in the paper; sgd has a momentum of 0.9
    learning_rate: float = 1e-3  # open in the paper
    batch_size: int = 44  # clips, or segments of clips; of the CRNN from the paper
    max_epochs: int = 200  # open in the paper
    patience: int = 20  # epochs without a lower validation loss, from the paper
    precision: str = "fp32"  # of convolutions and matrix products; open in the paper
    network: Values = field(default_factory=dict, hash=False)  # keyword arguments of the network
    augmenting: Values = field(default_factory=dict, hash=False)  # and of the augmentation

    def __init__(self, **values: Any) -> None:
        given = {**values.pop("network", {}), **values.pop("augmenting", {}), **values}  # as `replace` hands them over
        chosen = {name: given.pop(name, getattr(TrialConfig, name)) for name in ("model", "augmentation")}
        declared, augmenting = network(chosen["model"]), augmentation(chosen["augmentation"])
        defaults = _in_order([augmenting.parameters], [declared.parameters])
        if len(defaults) < len(_training_defaults()) + len(declared.parameters) + len(augmenting.parameters):
            raise DeclarationError(f"Two of {', '.join(chosen.values())} and the training have a name in common.")
        if chosen["augmentation"] == NO_AUGMENTATION:
            del defaults["schedule"]
        for name, value in given.items():
            if name not in defaults:
                _refuse(name, value, chosen, list(defaults))
        found = {name: (declared.training_defaults | given).get(name, default) for name, default in defaults.items()}
        choices = {**CHOICES, **declared.choices, **augmenting.choices}
        for name, value in found.items():
            _check(name, value, defaults[name], choices.get(name))
        for restriction in augmenting.restrictions:
            _restrict(found, given, restriction)
        if found["precision"] == "bf16" and "convolution" in found:
            found["convolution"] = "direct"  # Winograd's is fp32: what is recorded is what runs
        parts = {"network": declared.parameters, "augmenting": augmenting.parameters}
        apart = {part: {name: found[name] for name in names if name in found} for part, names in parts.items()}
        self.__dict__.update(chosen | found | apart)  # every name is an attribute

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrialConfig":
        """Build a configuration from plain values; what is left out is the network's default."""
        return cls(**values)

    def to_dict(self) -> dict[str, Value]:
        """Give the hyperparameters that this trial has, and no others, as plain values that JSON holds."""
        return {name: value for name, value in vars(self).items() if name not in ("network", "augmenting")}

    def get(self, name: str) -> Any:
        """Give a hyperparameter's value; None where this trial has no such thing."""
        return self.to_dict().get(name)

    @property
    def front_end(self) -> LogMel:
        """The network's front end; with the inter-channel difference where `imd` is on."""
        declared = network(self.model).front_end
        return replace(declared, imd=True) if self.network.get("imd") else declared


@cache
def network_names() -> tuple[str, ...]:
    """Give the names of all networks, sorted."""
    return tuple(sorted(path.stem for path in (ROOT / "models").glob("*.py") if _network_class(path) is not None))


def augmentation_names() -> tuple[str, ...]:
    """Give the names of all augmentations: "none", then as their files have them."""
    return (NO_AUGMENTATION, *read_augmentations(ROOT / "augment"))


def hyperparameter_names() -> list[str]:
    """Give the names of all hyperparameters of any network and augmentation, in the order of a table's columns."""
    augmentations = [augmentation(name).parameters for name in augmentation_names()]
    networks = [network(name).parameters for name in network_names()]
    return ["model", "augmentation", *_in_order(augmentations, networks)]


def network(name: str) -> Network:
    """Read a network's declaration from its source file; ValueError where there is none."""
    _require("model", name, network_names())
    return read_network(ROOT / "models" / f"{name}.py")


def augmentation(name: str) -> Augmentation:
    """Read an augmentation's declaration from its source file; ValueError where there is none."""
    _require("augmentation", name, augmentation_names())
    return read_augmentations(ROOT / "augment").get(name, Augmentation())


@cache
def read_network(path: Path) -> Network:
    """Read the declaration in a network's file; DeclarationError where something is missing or not written out."""
    found = _network_class(path)
    if found is None:
        raise DeclarationError(f"The file {_shown(path)} must hold a class named like it, without underscores.")
    where = f"the class `{found.name}` in {_shown(path)}"
    methods = {node.name: node for node in found.body if isinstance(node, ast.FunctionDef)}
    if "__init__" not in methods or _first_arguments(methods["__init__"]) != ["self", "n_columns", "n_tags"]:
        raise DeclarationError(f"The method `__init__` of {where} must begin with (self, n_columns, n_tags, *).")
    attributes = _assigned(found.body)
    parameters = _keyword_arguments(methods["__init__"], where)
    own = _training_defaults()
    return Network(
        parameters=parameters,
        choices=_choices(methods["__init__"]),
        training_defaults=_read_values("training_defaults", attributes, {}, list(own), where),
        quick=_read_values("quick", attributes, QUICK, [*own, *parameters], where),
        front_end=_read_front_end(attributes.get("front_end"), where),
        has_curves="frame_curves" in methods,
    )


def _network_class(path: Path) -> ast.ClassDef | None:
    """The class of a file that is named like it, without underscores; None where there is none: no network."""
    wanted = path.stem.replace("_", "")
    classes = (node for node in _parse(path).body if isinstance(node, ast.ClassDef))
    return next((node for node in classes if node.name.lower() == wanted), None)


def _read_values(
    name: str, attributes: Mapping[str, ast.expr], default: dict[str, Value], allowed: list[str], where: str
) -> dict[str, Value]:
    """A class attribute that is a dict of hyperparameters."""
    values = _literal(attributes[name]) if name in attributes else default
    if not isinstance(values, dict) or not values.keys() <= set(allowed):
        raise DeclarationError(f"The attribute `{name}` of {where} must be a dict of {', '.join(allowed)}.")
    return values


def _read_front_end(node: ast.expr | None, where: str) -> LogMel:
    match node:
        case None:
            return LogMel()
        case ast.Call(func=ast.Name(id="LogMel"), args=[], keywords=words):
            with suppress(TypeError, ValueError):
                return LogMel(**{str(word.arg): ast.literal_eval(word.value) for word in words})
    known = ", ".join(entry.name for entry in fields(LogMel))
    raise DeclarationError(f"The attribute `front_end` of {where} must be a LogMel(...) of {known}.")


@cache
def read_augmentations(folder: Path) -> dict[str, Augmentation]:
    """Read the declarations in a folder: its public functions of (x, y, rng) or (x, y, rng, front_end), by name."""
    found: dict[str, Augmentation] = {}
    for path in sorted(folder.glob("*.py")):
        for node in _parse(path).body:
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                continue
            if _first_arguments(node) not in (BATCH, [*BATCH, "front_end"]):
                continue
            where = f"the function `{node.name}` in {_shown(path)}"
            if node.name in found or node.name == NO_AUGMENTATION:
                raise DeclarationError(f"The name of {where} is taken: choose another.")
            found[node.name] = Augmentation(
                module=f"audiotag.augment.{path.stem}",
                takes_front_end=_first_arguments(node) != BATCH,
                parameters=_keyword_arguments(node, where),
                choices=_choices(node),
                restrictions=_read_restrictions(path, node),
            )
    return found


def _read_restrictions(path: Path, function: ast.FunctionDef) -> tuple[Restriction, ...]:
    """What `RESTRICTIONS` in an augmentation's file says of it: (name, value, others, reason) of each restriction."""
    node = _assigned(_parse(path).body).get("RESTRICTIONS")
    table = {} if node is None else _literal(node)
    try:
        found = tuple(Restriction(*entry) for entry in table.get(function.name, ()))
        names = {name for each in found for name in (each.name, *each.others)}
    except (AttributeError, TypeError):
        names = {""}
    if not names <= {argument.arg for argument in function.args.kwonlyargs}:
        raise DeclarationError(
            f"`RESTRICTIONS` in {_shown(path)} must be a dict from an augmentation's name to a list of "
            "(hyperparameter, value, {other hyperparameter: its values}, reason), written out."
        )
    return found


@cache
def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise DeclarationError(
            f"The file {_shown(path)} is not valid Python: {error.msg} in line {error.lineno}."
        ) from error


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _assigned(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """What a module or a class assigns to names."""
    found: dict[str, ast.expr] = {}
    for node in body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id: node.value for target in targets if isinstance(target, ast.Name)}
    return found


def _first_arguments(function: ast.FunctionDef) -> list[str]:
    return [argument.arg for argument in function.args.args]


def _keyword_arguments(function: ast.FunctionDef, where: str) -> dict[str, Value]:
    """The keyword-only arguments of a function with their defaults."""
    found: dict[str, Value] = {}
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        value = None if default is None else _literal(default)
        if not isinstance(value, Value):
            kinds = "a bool, an int, a float or a str"
            raise DeclarationError(f"The default of `{argument.arg}` of {where} must be {kinds}, written out.")
        found[argument.arg] = value
    return found


def _choices(function: ast.FunctionDef) -> dict[str, Choices]:
    """The values of the keyword-only arguments whose annotation lists them: `Literal["a", "b"]`."""
    found: dict[str, Choices] = {}
    for argument in function.args.kwonlyargs:
        match argument.annotation:
            case ast.Subscript(value=ast.Name(id="Literal"), slice=listed):
                values = _literal(listed)
                found[argument.arg] = values if isinstance(values, tuple) else (values,)
    return found


def _literal(node: ast.expr) -> Any:
    """The value of a literal; None for anything else."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _training_defaults() -> dict[str, Value]:
    """The training's own hyperparameters with their defaults."""
    apart = ("model", "augmentation", "network", "augmenting")
    return {entry.name: entry.default for entry in fields(TrialConfig) if entry.name not in apart}  # type: ignore[misc]


def _in_order(augmentations: list[Values], networks: list[Values]) -> dict[str, Value]:
    """Defaults of these and of the training, in the order of a table's columns."""
    training = _training_defaults()
    schedule = {"schedule": training.pop("schedule")}
    return {name: value for part in (*augmentations, schedule, *networks, training) for name, value in part.items()}


def _require(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"The value of `{name}` is {value!r}, but must be one of {', '.join(allowed)}.")


def _check(name: str, value: Any, default: Value, choices: Choices | None) -> None:
    """Refuse a value that is not among the choices, not of its default's type, or out of its range."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if choices is not None:
        fits, wanted = value in choices, f"one of {', '.join(map(str, choices))}"
    elif isinstance(default, bool):
        fits, wanted = isinstance(value, bool), "True or False"
    elif isinstance(default, int):
        least = min(1, default)
        fits, wanted = number and isinstance(value, int) and value >= least, f"a whole number of at least {least}"
    elif isinstance(default, float):
        low, high, wanted = RANGES.get(name, (-math.inf, math.inf, "a finite number"))
        fits = number and low <= value < high and math.isfinite(value)
    else:
        fits, wanted = isinstance(value, str), "a text"
    if not fits:
        raise ValueError(f"The value of `{name}` is {value!r}, but must be {wanted}.")


def _restrict(found: dict[str, Any], given: Values, restriction: Restriction) -> None:
    """Take out what a restriction leaves no value of; refuse what was given all the same, and a value that it bars."""
    if found.get(restriction.name) != restriction.value:
        return
    where = f"`{restriction.name}` is {restriction.value} ({restriction.reason})"
    for name, allowed in restriction.others.items():
        value = found[name]
        if allowed and value not in allowed:
            must = f"must be {' or '.join(allowed)} where {where}"
            raise ValueError(f"The value of `{name}` is {value!r}, but {must}.")
        if not allowed and given.get(name, 0) not in NEUTRAL:
            raise ValueError(f"The value of `{name}` is {value!r}, but there is no {name} where {where}: leave it out.")
        if not allowed:
            del found[name]


def _refuse(name: str, value: Any, chosen: dict[str, str], names: list[str]) -> None:
    """Refuse a hyperparameter that a trial does not have, unless its value says nothing."""
    if name not in hyperparameter_names():
        known = ", ".join([*chosen, *names])
        raise ValueError(f"Unknown hyperparameter `{name}`: the hyperparameters are {known}.")
    if value in NEUTRAL:
        return
    of_network = any(name in network(other).parameters for other in network_names())
    owner = chosen["model" if of_network else "augmentation"]
    own = ", ".join((network if of_network else augmentation)(owner).parameters)
    has = f" (it has {own})" if own else ""
    raise ValueError(f"The value of `{name}` is {value!r}, but `{owner}` has no {name}{has}: leave it out.")
