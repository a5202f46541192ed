"""With which program and which space a study is made, and what is said where another program continues it.

Trials share their random numbers, so that they are compared in pairs. Another version of this program, or of what it
computes with, may draw others or round differently: trials from before and after it are less closely paired.
"""

import platform
import subprocess
from importlib.metadata import version
from itertools import pairwise

from audiotag.models.backend import COMPILED
from search_spaces import Space, fingerprint
from study import PROJECT
from study.ledger.schema import Provenance, StudyRecord

PACKAGES = ("torch", "torchaudio", "ray", "optuna", "mlflow", "numpy")


def current_provenance() -> Provenance:
    """The program that runs now: its versions (with "kernels": "compiled" or "torch") and its commit, if it has one."""
    versions = {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}
    commit = _git("rev-parse", "HEAD")
    dirty = None if commit is None else _git("status", "--porcelain", "--untracked-files=no") is not None
    return Provenance({**versions, "kernels": "compiled" if COMPILED else "torch"}, commit, dirty)


def is_same_space(study: StudyRecord, space: Space) -> bool:
    """Whether a space is as it was when the study began; an earlier version recorded none of the modules it imports."""
    helpers = {} if study.space_helpers is None else space.helpers
    return fingerprint(space.source, helpers) == study.space_fingerprint


def continued_with(study: StudyRecord) -> tuple[Provenance, ...]:
    """The study's `continued_with` where it goes on now: with this program too, if it is another one."""
    now = current_provenance()
    return (*study.continued_with, now) if _differences(_programs(study)[-1], now) else study.continued_with


def provenance_changes(study: StudyRecord) -> list[str]:
    """What changed each time that another program went on: ["commit 1a2b3c4d5e to 6f7a8b9c0d, torch 2.11 to 2.12"]."""
    return [", ".join(_differences(was, now)) for was, now in pairwise(_programs(study))]


def _programs(study: StudyRecord) -> list[Provenance]:
    return [Provenance(study.versions, study.git_commit, study.git_dirty), *study.continued_with]


def _differences(was: Provenance, now: Provenance) -> list[str]:
    commits = was.git_commit, now.git_commit
    found = []
    if commits[0] and commits[1] and commits[0] != commits[1]:
        found.append(f"commit {commits[0][:10]} to {commits[1][:10]}")
    for name, text in now.versions.items():
        if was.versions.get(name, text) != text:
            found.append(f"{name} {was.versions[name]} to {text}")
    return found


def _git(*words: str) -> str | None:
    done = subprocess.run(["git", "-C", str(PROJECT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
