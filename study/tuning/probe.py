"""What a node is asked before it trains: the versions of what computes there, its cards and its folder of studies.

Travels to the node by itself, also to one that has nothing of this project: imports nothing but Python's own.
"""

import hashlib
import importlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "numpy")
SOURCES = ("audiotag", "study")
TRAINS = "study.tuning.trial"
TOKEN = "token"  # a file's name


def describe() -> dict[str, str]:
    """What computes on this machine, by name; of the project's sources a hash."""
    facts = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "missing"
    digest = hashlib.sha256()
    for name in SOURCES:
        root = Path(str(importlib.import_module(name).__file__)).parent
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{name}/{path.relative_to(root)}\n".encode() + path.read_bytes())
    backend = importlib.import_module("audiotag.models.backend")
    return facts | {"loops": "compiled" if backend.COMPILED else "missing", "sources": digest.hexdigest()}


def look(folder: str, token: str, with_cards: bool) -> dict[str, str]:
    """Describe this node, and try on it what a trial does; what does not work stands under "trouble".

    Args:
        folder: One in the folder of studies that the driver has made, with a file that holds the token.
        token: What must be in it.
        with_cards: Whether CUDA must start.
    """
    try:
        importlib.import_module(TRAINS)
        facts = describe()
    except Exception as error:  # whatever a broken installation raises
        return {"trouble": f"it cannot load the program ({type(error).__name__}: {error})"}
    if with_cards and (reason := _why_no_cuda()) is not None:
        facts["trouble"] = f"CUDA does not start ({reason})"
    elif (reason := _why_not_shared(Path(folder), token)) is not None:
        shared = "--studies must lie on a disk that all nodes share"
        facts["trouble"] = f"its {Path(folder).parent} is not this machine's ({reason}): {shared}"
    return facts


def _why_no_cuda() -> str | None:
    torch = importlib.import_module("torch")
    try:
        torch.ones(2, device="cuda").sum().item()
    except Exception as error:  # torch has several kinds
        return str(error).strip().split("\n", maxsplit=1)[0].rstrip(".")
    return None


def _why_not_shared(folder: Path, token: str) -> str | None:
    try:
        if (folder / TOKEN).read_text() != token:
            return "another file is there"
        (folder / f"{platform.node()}-{os.getpid()}").write_text(token)
    except OSError as error:
        return error.strerror or str(error)
    return None
