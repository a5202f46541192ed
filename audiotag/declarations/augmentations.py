"""What an augmentation's source says of it: its arguments, and the combinations of values that it does not have."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field

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

BATCH = ["x", "y", "rng"]  # the first arguments of an augmentation of batches
FRONT_END = "front_end"  # a further one of those that ask for bands, seconds or decibels
NETWORK = "network"  # and of those that mix inside it
WAVE = ["wave", "sample_rate", "rng"]  # the first arguments of an augmentation of waveforms
VARIANT, NOISE = "variant", "noise"  # further ones of those that have a list of values, or add another sound
FIRST = [[*BATCH, *more] for more in ([], [FRONT_END], [NETWORK])]
FIRST += [[*WAVE, *more] for more in ([], [VARIANT], [NOISE], [VARIANT, NOISE])]


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

    takes_front_end: bool = False  # whether it has such an argument, as below
    takes_network: bool = False
    of_waveforms: bool = False  # whether it changes waveforms, and not batches of features
    takes_variant: bool = False
    takes_noise: bool = False
    parameters: Values = field(default_factory=dict)  # its hyperparameters with their defaults
    choices: Mapping[str, Choices] = field(default_factory=dict)  # of those with a list of values (`Literal`)
    restrictions: tuple[Restriction, ...] = ()  # combinations of values that it does not have


def is_augmentation(node: ast.stmt) -> bool:
    """Whether a statement defines an augmentation: a public function of one of the lists of arguments in FIRST."""
    if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
        return False
    return first_arguments(node) in FIRST


def read_augmentation(tree: ast.Module, function: ast.FunctionDef, file: str) -> Augmentation:
    """Read the declaration of a function.

    Raises:
        DeclarationError: Where something is missing or not written out; `file` is shown.
    """
    where = f"the function `{function.name}` in {file}"
    if function.name.startswith("_"):
        raise DeclarationError(f"The name of {where} begins with an underscore, as of one that trials do not name.")
    if not is_augmentation(function):
        shown = " or ".join(f"({', '.join(arguments)}, *)" for arguments in FIRST)
        raise DeclarationError(f"The arguments of {where} must begin with {shown}.")
    first = first_arguments(function)
    return Augmentation(
        takes_front_end=FRONT_END in first,
        takes_network=NETWORK in first,
        of_waveforms=first[: len(WAVE)] == WAVE,
        takes_variant=VARIANT in first,
        takes_noise=NOISE in first,
        parameters=keyword_arguments(function, where),
        choices=listed_choices(function),
        restrictions=_read_restrictions(tree, function, file),
    )


def _read_restrictions(tree: ast.Module, function: ast.FunctionDef, file: str) -> tuple[Restriction, ...]:
    """What `RESTRICTIONS` in an augmentation's file says of it: (name, value, others, reason) of each restriction."""
    node = assigned(tree.body).get("RESTRICTIONS")
    table = {} if node is None else literal(node)
    try:
        found = tuple(Restriction(*entry) for entry in table.get(function.name, ()))
        names = {name for each in found for name in (each.name, *each.others)}
    except (AttributeError, TypeError):
        names = {""}
    if not names <= {argument.arg for argument in function.args.kwonlyargs}:
        raise DeclarationError(
            f"`RESTRICTIONS` in {file} must be a dict from an augmentation's name to a list of "
            "(hyperparameter, value, {other hyperparameter: its values}, reason), written out."
        )
    return found
