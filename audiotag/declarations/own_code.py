"""Source of a user's own: carried as text, so that it runs where its file is not.

A space's file may define augmentations and networks beside its question, or import them from modules beside it; and a
name such as `package.module:function` means one of an installed package. A study keeps all these texts.
"""

import ast
import hashlib
import importlib
import importlib.util
import io
import linecache
import shutil
import sys
import tempfile
import tokenize
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from audiotag.declarations.source import DeclarationError, parse

_imported = set[str]()  # names of modules that `importable` let in
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

    def fingerprint_of(self, names: list[str]) -> str:
        """A hash of all that may define some names of a user's own."""
        modules = sorted({name.partition(BETWEEN)[0] for name in names if BETWEEN in name})
        parts = [self.fingerprint] if any(BETWEEN not in name for name in names) else []
        parts += [dict(self.modules).get(module) or read_module(module) for module in modules]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    @property
    def imported(self) -> set[str]:
        """The top-level packages that its texts import, and those of its modules."""
        texts = [self.text, *dict(self.helpers).values()]
        nodes = [node for text in texts for node in ast.walk(parse(text, self.file))]
        names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
        return {name.split(".")[0] for name in [*names, *dict(self.modules)]}

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
                    if alias.name == "*":
                        yield from ((name, found) for name, found in there.items() if not name.startswith("_"))
                    elif alias.name in there:
                        yield alias.asname or alias.name, there[alias.name]

    def why_not(self, name: str, wanted: str) -> str:
        """Say why a name in its file is no definition, in words that go on after "which"; empty of an unknown name."""
        for node in ast.walk(parse(self.text, self.file)):
            match node:
                case ast.ImportFrom(module=str(module), level=0):
                    real = next((alias.name for alias in node.names if name == (alias.asname or alias.name)), None)
                    if real is not None:
                        return f"{self.file} imports from {module}: name it '{module}{BETWEEN}{real}'."
                case (
                    ast.Name(id=known, ctx=ast.Store())
                    | ast.FunctionDef(name=known)
                    | ast.AsyncFunctionDef(name=known)
                    | ast.ClassDef(name=known)
                ):
                    if known == name:
                        return f"{self.file} must define by `{wanted}`, not indented."
        return ""

    def _helper(self, node: ast.ImportFrom, file: str) -> str | None:
        """The helper that a statement of a file imports from; None where it is another module."""
        module, beside = node.module or "", PurePosixPath()
        if node.level:
            beside = PurePosixPath(file).parents[node.level - 1]
        elif self.package:
            module = module.removeprefix(f"{self.package}.")
        place = beside / module.replace(".", "/")
        return next((name for name in (f"{place}.py", f"{place}/__init__.py") if name in dict(self.helpers)), None)


def read_code(content: dict[str, Any]) -> OwnCode:
    """Give the code whose `dataclasses.asdict` went through JSON."""
    pairs = {key: tuple(map(tuple, content[key])) for key in ("helpers", "modules")}
    return OwnCode(**{**content, **pairs})


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
    remedy = "install its package on every machine; of a module beside the file, import the name there"
    raise DeclarationError(f"The module {name} cannot be used here ({why}): {remedy}.")


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
    return getattr(load_module(code), name)


_folders: dict[OwnCode, Path] = {}  # where this process ran some code


@cache
def load_module(code: OwnCode) -> Any:
    """Run a file in a folder made for the purpose, with its helpers beside it, and give the module.

    The folder is gone when the module is there: a worker that is killed could not delete it.

    Raises:
        DeclarationError: Where it cannot be run.
    """
    folder = _folders[code] = Path(tempfile.mkdtemp(prefix="audiotag-"))
    for name, text in {**dict(code.helpers), code.file: code.text}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(_declared_encoding(text)))
        linecache.cache[str(path)] = len(text), None, text.splitlines(keepends=True), str(path)  # for tracebacks
    try:
        return _run(code, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(code: OwnCode, folder: Path) -> Any:
    helpers = [_module_name(name, code.package) for name in dict(code.helpers)]
    for name in helpers:
        sys.modules.pop(name, None)  # of another study
    parent = f"{code.package}." if code.package else ""
    with importable(folder, code.package), redirect_stdout(sys.stderr):
        try:
            module = run_module(folder / code.file, f"{parent}own_{code.fingerprint}")
        except (Exception, SystemExit) as error:  # whatever a user's own file does wrong
            raise DeclarationError(f"The file {code.file} cannot be run: {describe_own_error(error, code)}.") from error
        for name in helpers:  # those that a function imports when it is called
            with suppress(Exception, SystemExit):
                importlib.import_module(name)
    return module


def run_module(path: Path, name: str) -> Any:
    """Run a file as a module of a name."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "it ends in .py"
    assert spec.loader is not None, "so it is one of source"
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # there, because dataclasses look for it
    spec.loader.exec_module(module)
    return module


def _declared_encoding(text: str) -> str:
    """The encoding that a source file's first lines declare, UTF-8 where they do not."""
    return tokenize.detect_encoding(io.BytesIO(text.encode()).readline)[0]


def _module_name(path: str, package: str) -> str:
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return f"{package}.{name}" if package else name


@contextmanager
def importable(folder: Path, package: str = "") -> Iterator[None]:
    """Let modules in a folder be imported while the block runs, as ones of a package or by their names alone.

    Those of another folder are forgotten: studies may have modules of one name.
    """
    while _imported:
        sys.modules.pop(_imported.pop(), None)
    places: Any = _import_package(package).__path__ if package else sys.path
    places.insert(0, str(folder))
    try:
        yield
    finally:
        files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
        _imported.update(name for name, file in files.items() if file and _is_within(Path(file), [folder]))
        with suppress(ValueError):
            places.remove(str(folder))


def _import_package(name: str) -> Any:
    """The package that a file was a module of; an empty one where it is not installed, as beside a registered model."""
    try:
        return importlib.import_module(name)
    except ImportError:
        module: Any = ModuleType(name)
        module.__path__ = []
        return sys.modules.setdefault(name, module)


def describe_error(error: BaseException, folders: list[Path], without: str = "") -> str:
    """Say what went wrong in a user's own file, and in which line of which file within some folders."""
    what = "it calls sys.exit" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
    where = _innermost(error, folders, without)
    return f"{what} ({where})" if where else what


def _innermost(error: BaseException, folders: list[Path], without: str = "") -> str:
    """The innermost line of files within some folders that an error came through; empty where there is none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != without]
    files = [(Path(frame.filename), frame.lineno) for frame in frames]
    own = [(path, line) for path, line in files if _is_within(path, folders)]
    return f"line {own[-1][1]} of {own[-1][0].name}" if own else ""


class OwnCodeFailed(RuntimeError):
    """What an exception in a user's own code said, and where: the exception itself may not be known elsewhere."""


def as_text(error: Exception, code: OwnCode | None) -> Exception:
    """Give an exception that came through a user's own code as OwnCodeFailed, any other as it is."""
    return OwnCodeFailed(describe_own_error(error, code)) if _innermost(error, _places(code)) else error


def _places(code: OwnCode | None) -> list[Path]:
    """Where a user's own code runs from: the folder of its texts, and the files of packages' modules."""
    if code is None:
        return []
    files = [sys.modules[name].__file__ for name, _ in code.modules if name in sys.modules]
    return [*[_folders[code]] * (code in _folders), *(Path(file) for file in files if file)]


def describe_own_error(error: BaseException, code: OwnCode | None) -> str:
    """Say what went wrong in code that was run by `load_own`, and in which line of it."""
    what = describe_error(error, _places(code))
    if isinstance(error, FileNotFoundError):
        what += "; the source is run alone, in another folder: name other files by their absolute paths"
    return what


def _is_within(file: Path, folders: list[Path]) -> bool:
    """Whether a file is a source within some folders, and not of a package that is installed there."""
    beside = [file.relative_to(folder) for folder in folders if file.is_relative_to(folder)]
    return file.suffix == ".py" and any("site-packages" not in place.parts for place in beside)
