"""Source of a user's own: carried as text, so that it runs where its file is not.

A space's file may define augmentations and networks beside its question, or import them from modules beside it; and a
name such as `package.module:function` means one of an installed package. A study keeps all these texts.
"""

import ast
import atexit
import hashlib
import importlib
import importlib.util
import io
import shutil
import sys
import tempfile
import tokenize
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from audiotag.declarations.source import DeclarationError, parse

BETWEEN = ":"  # a package's module, and a name in it

Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class OwnCode:
    """A space's file with the modules beside it that it imports, and modules of packages that trials name.

    Attributes:
        file: Its name.
        text: What it holds.
        helpers: By path beside it, the texts of the modules that it imports.
        package: That it is a module of; empty of a file outside a package.
        modules: By name, the texts of modules of installed packages.
    """

    file: str
    text: str
    helpers: tuple[tuple[str, str], ...] = ()
    package: str = ""
    modules: tuple[tuple[str, str], ...] = ()

    @property
    def fingerprint(self) -> str:
        """A hash of the texts of its file and of its helpers."""
        return fingerprint(self.text, dict(self.helpers))

    def with_modules(self, names: list[str]) -> "OwnCode":
        """Add the texts of modules as they are here."""
        texts = {name: read_module(name) for name in names}
        return replace(self, modules=tuple(sorted({**texts, **dict(self.modules)}.items())))

    def definitions(self) -> dict[str, tuple[Definition, ast.Module, str]]:
        """List what the file defines, or imports from its helpers: each definition with its file, as tree and name."""
        return dict(self._defined(self.file, self.text, frozenset()))

    def _defined(
        self, file: str, text: str, seen: frozenset[str]
    ) -> Iterator[tuple[str, tuple[Definition, ast.Module, str]]]:
        tree, helpers = parse(text, file), dict(self.helpers)
        for node in tree.body:
            if isinstance(node, Definition):
                yield node.name, (node, tree, file)
            elif isinstance(node, ast.ImportFrom) and (helper := self._helper(node, file)) and helper not in seen:
                there = dict(self._defined(helper, helpers[helper], seen | {helper}))
                for alias in node.names:
                    if alias.name in there:
                        yield alias.asname or alias.name, there[alias.name]

    def _helper(self, node: ast.ImportFrom, file: str) -> str | None:
        """The helper that a statement of a file imports from; None where it is another module."""
        module, beside = node.module or "", PurePosixPath()
        if node.level:
            beside = PurePosixPath(file).parents[node.level - 1]
        elif self.package:
            module = module.removeprefix(f"{self.package}.")
        place = beside / module.replace(".", "/")
        return next((name for name in (f"{place}.py", f"{place}/__init__.py") if name in dict(self.helpers)), None)


def fingerprint(text: str, helpers: dict[str, str]) -> str:
    """Hash a file's text and its helpers'; without any the text alone."""
    parts = [text, *(f"{name}\0{helper}" for name, helper in sorted(helpers.items()))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@cache
def read_module(name: str) -> str:
    """Read the source of an installed package's module.

    Raises:
        DeclarationError: Where it is not installed, or has no source.
    """
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None and spec.origin.endswith(".py"):
            return Path(spec.origin).read_text(encoding="utf-8")
        why = "there is no such module" if spec is None else "it has no source in Python"
    except Exception as error:  # whatever the packages above it do when they are imported
        why = f"{type(error).__name__}: {error}"
    raise DeclarationError(f"The module {name} cannot be used here ({why}): install its package on every machine.")


def load_own(name: str, code: OwnCode | None) -> Any:
    """Give the function or class of a user's own that has a name, running the source that defines it.

    Raises:
        DeclarationError: Where it cannot be run, or a module of a package is another one than the study's.
    """
    if BETWEEN in name:
        module, _, attribute = name.partition(BETWEEN)
        recorded = dict(code.modules).get(module) if code is not None else None
        if recorded not in (None, read_module(module)):
            raise DeclarationError(f"The module {module} is another one here than the study's: install that version.")
        return getattr(importlib.import_module(module), attribute)
    assert code is not None, "its declaration was read from it"
    return getattr(_run(code), name)


@cache
def _run(code: OwnCode) -> Any:
    """Run a file in a folder made for the purpose, with its helpers beside it."""
    folder = Path(tempfile.mkdtemp(prefix="audiotag-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, text in {**dict(code.helpers), code.file: code.text}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(_declared_encoding(text)))
    helpers = [_module_name(name, code.package) for name in dict(code.helpers)]
    for name in helpers:
        sys.modules.pop(name, None)  # of another study
    parent = f"{code.package}." if code.package else ""
    spec = importlib.util.spec_from_file_location(f"{parent}own_{code.fingerprint}", folder / code.file)
    assert spec is not None, "it ends in .py"
    assert spec.loader is not None, "so it is one of source"
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # there, because dataclasses look for it
    with importable(folder, code.package):
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # whatever a user's own file does wrong
            raise DeclarationError(f"The file {code.file} cannot be run: {describe_error(error, [folder])}.") from error
        for name in helpers:  # those that a function imports when it is called
            with suppress(Exception, SystemExit):
                importlib.import_module(name)
    return module


def _declared_encoding(text: str) -> str:
    """The encoding that a source file's first lines declare, UTF-8 where they do not."""
    return tokenize.detect_encoding(io.BytesIO(text.encode()).readline)[0]


def _module_name(path: str, package: str) -> str:
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return f"{package}.{name}" if package else name


@contextmanager
def importable(folder: Path, package: str = "") -> Iterator[None]:
    """Let modules in a folder be imported while the block runs, as ones of a package or by their names alone."""
    places: Any = importlib.import_module(package).__path__ if package else sys.path
    places.insert(0, str(folder))
    try:
        yield
    finally:
        with suppress(ValueError):
            places.remove(str(folder))


def describe_error(error: BaseException, folders: list[Path]) -> str:
    """Say what went wrong in a user's own file, and in which line of which file within some folders."""
    what = "it calls sys.exit" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if any(Path(frame.filename).is_relative_to(folder) for folder in folders)]
    return f"{what} (line {own[-1].lineno} of {Path(own[-1].filename).name})" if own else what
