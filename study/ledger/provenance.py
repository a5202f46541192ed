"""With which program a study is made, and what is said where another one goes on with it.

Trials share their random numbers, so that they are compared in pairs. Another version of this program, or of what it
computes with, may draw others or round otherwise: trials from before and after it are no longer as close.
"""

import platform
import subprocess
from importlib.metadata import version
from itertools import pairwise
from typing import Any

from audiotag.models.cpu.compiled import COMPILED
from study import PROJECT

PACKAGES = ("torch", "torchaudio", "ray", "optuna", "mlflow", "numpy")
LATER = "continued_with"  # in study.json: what `made_with` gave where it was not what it had given before


def made_with() -> dict[str, Any]:
    """What runs now: {"versions": {"python": ..., package: ..., "kernels": "compiled", or "torch" where they are not},
    "git_commit": None outside of a checkout}."""
    versions = {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}
    return {"versions": {**versions, "kernels": "compiled" if COMPILED else "torch"}, "git_commit": _git_commit()}


def carried_on(study: dict[str, Any]) -> dict[str, Any]:
    """The content of study.json where the study goes on now: as it was, or with one more that goes on with it."""
    now = made_with()
    return {**study, LATER: [*study.get(LATER, []), now]} if _differences(_parts(study)[-1], now) else study


def continuations(study: dict[str, Any]) -> list[str]:
    """What changed each time that another program went on: ["commit 1a2b3c4d5e to 6f7a8b9c0d, torch 2.11 to 2.12"]."""
    return [", ".join(_differences(was, now)) for was, now in pairwise(_parts(study))]


def _parts(study: dict[str, Any]) -> list[dict[str, Any]]:
    begun = {"versions": study.get("versions", {}), "git_commit": study.get("git_commit")}
    return [begun, *study.get(LATER, [])]


def _differences(was: dict[str, Any], now: dict[str, Any]) -> list[str]:
    commits = was["git_commit"], now["git_commit"]
    found = [f"commit {commits[0][:10]} to {commits[1][:10]}"] if all(commits) and commits[0] != commits[1] else []
    for name, text in now["versions"].items():
        if was["versions"].get(name, text) != text:
            found.append(f"{name} {was['versions'][name]} to {text}")
    return found


def _git_commit() -> str | None:
    command = ["git", "-C", str(PROJECT), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
