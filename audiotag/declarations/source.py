"""Python source as a tree: what functions and classes say of their arguments."""

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

Value = bool | int | float | str
Values = Mapping[str, Value]
Choices = tuple[str, ...]


class DeclarationError(ValueError):
    """A network or an augmentation whose source does not say what it must; the message is one line."""


@cache
def parse(text: str, shown: str) -> ast.Module:
    """Parse a file's text.

    Raises:
        DeclarationError: Where it is not valid Python; `shown` names the file.
    """
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise DeclarationError(f"The file {shown} is not valid Python: {error.msg} in line {error.lineno}.") from error


def assigned(body: Iterable[ast.stmt]) -> dict[str, ast.expr]:
    """List what a module or a class assigns to names."""
    found: dict[str, ast.expr] = {}
    for node in body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id: node.value for target in targets if isinstance(target, ast.Name)}
    return found


def first_arguments(function: ast.FunctionDef) -> list[str]:
    """List the arguments of a function before its keyword-only ones."""
    return [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]


def keyword_arguments(function: ast.FunctionDef, where: str) -> dict[str, Value]:
    """Read the keyword-only arguments of a function with their defaults.

    Raises:
        DeclarationError: For a default that is missing or not a literal of a plain type; `where` names the function.
    """
    found: dict[str, Value] = {}
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        value = None if default is None else literal(default)
        if not isinstance(value, Value):
            kinds = "a bool, an int, a float or a str"
            raise DeclarationError(f"The default of `{argument.arg}` of {where} must be {kinds}, written out.")
        match argument.annotation, value:
            case ast.Name(id="float"), int() if not isinstance(value, bool):
                value = float(value)  # `width: float = 1` may be 0.5, too
        found[argument.arg] = value
    return found


def listed_choices(function: ast.FunctionDef) -> dict[str, Choices]:
    """Read the values of the keyword-only arguments whose annotation lists them: `Literal["a", "b"]`."""
    found: dict[str, Choices] = {}
    for argument in function.args.kwonlyargs:
        match argument.annotation:
            case ast.Subscript(value=ast.Name(id="Literal") | ast.Attribute(attr="Literal"), slice=listed):
                values = literal(listed)
                found[argument.arg] = values if isinstance(values, tuple) else (values,)
    return found


def literal(node: ast.expr) -> Any:
    """Give the value of a literal; None for anything else."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
