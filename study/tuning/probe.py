"""What a node is asked before it trains: the versions of what computes there, and its cards.

Travels to the node by itself, also to one that has nothing of this project: imports nothing but Python's own.
"""

import hashlib
import importlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "numpy")
SOURCES = ("audiotag", "study")
TRAINS = "study.tuning.trial"
MEND = {
    "sources": "its audiotag or study is not the same as here",
    "loops": "audiotag's loops are {there} there and {here} here: run `make install` here",
}


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


def look(with_cards: bool) -> dict[str, str]:
    """Describe this node, and load on it what a trial runs; what does not work stands under "trouble".

    Args:
        with_cards: Whether CUDA must start.
    """
    try:
        importlib.import_module(TRAINS)
        facts = describe()
    except Exception as error:  # whatever a broken installation raises
        return {"trouble": f"it cannot load the program ({type(error).__name__}: {error})"}
    if with_cards and (reason := _why_no_cuda()) is not None:
        facts["trouble"] = f"CUDA does not start ({reason})"
    return facts


def card_bytes() -> int | None:
    """The memory of this node's smallest GPU; None where CUDA does not start."""
    torch = importlib.import_module("torch")
    try:
        cards = range(torch.cuda.device_count())
        return min((torch.cuda.get_device_properties(card).total_memory for card in cards), default=None)
    except Exception:  # torch has several kinds; whoever trains there says which
        return None


def compare(here: dict[str, str], there: dict[str, str], with_cards: bool) -> str | None:
    """Why a node that gave such an answer does not compute as this machine does; None where it does."""
    if "trouble" in there:
        return there["trouble"]
    found = []
    for name, value in here.items():
        if there[name] != value and not (name == "loops" and with_cards):
            text = MEND.get(name, "its {name} is {there}, here {here}")
            found.append(text.format(name=name, there=there[name], here=value))
    return "; ".join(found) or None


def _why_no_cuda() -> str | None:
    torch = importlib.import_module("torch")
    try:
        torch.ones(2, device="cuda").sum().item()
    except Exception as error:  # torch has several kinds
        return str(error).strip().split("\n", maxsplit=1)[0].rstrip(".")
    return None
