"""With which program and which space a study is made, and what is said where another program continues it.

Trials share their random numbers, so that they are compared in pairs. Another version of this program, or of what it
computes with, may draw others or round differently: trials from before and after it are less closely paired.

What a working tree has beyond its commit is kept in the study's folder, in a file named by a hash of its content.
"""

import hashlib
import os
import platform
import re
import subprocess
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from audiotag.declarations.own_code import fingerprint
from audiotag.models.backend import COMPILED
from audiotag.uris import MASK, mask_in_source
from search_spaces import Space
from study import PROJECT
from study.ledger.files import write_text
from study.ledger.schema import Provenance, StudyRecord

PACKAGES = ("torch", "torchaudio", "ray", "optuna", "mlflow", "numpy", "av", "soundfile", "soxr")
SOURCES = ("audiotag", "study", "search_spaces")
LARGEST = 1_000_000  # characters of a file of changes
SECRET = re.compile(r"(?i)(^|_)(pass|password|passwd|pwd|token|secret|key|credentials?)$")  # names of variables
SHORTEST = 8  # characters of a secret; shorter values stand in any text


def current_provenance() -> Provenance:
    """The program that runs now: its versions and its commit, if it has one."""
    commit = _git("rev-parse", "HEAD")
    changes = None if commit is None else uncommitted_changes()
    name = None if changes is None else changes_file(changes)
    return Provenance(current_versions(), commit, None if commit is None else changes is not None, name)


def current_versions() -> dict[str, str]:
    """The versions of what runs now; "kernels" is "compiled" or "torch"."""
    versions = {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}
    return {**versions, "kernels": "compiled" if COMPILED else "torch"}


@cache
def uncommitted_changes() -> str | None:
    """What the working tree had beyond its commit when it was first asked for; None where nothing, or without git.

    The names of untracked source files, and the difference of the tracked files, as `git apply` takes it. A large one
    is cut, and passwords in URIs and secrets of the environment are masked; the first line says so.
    """
    untracked = _git("ls-files", "--others", "--exclude-standard", "--", *SOURCES) or ""
    difference = _git("diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD", "--", ".") or ""
    lines = [f"untracked: {name}" for name in untracked.splitlines()]
    text = "\n".join([*lines, *([difference, ""] if difference else [""])])
    if not text.strip():
        return None
    notes = []
    if len(text) > LARGEST:
        kept = text[:LARGEST].rpartition("\n")[0] + "\n"
        notes.append(f"cut: the first {len(kept)} of {len(text)} characters")
        text = kept
    if (masked := _without_secrets(text)) != text:
        notes.append("masked: *** stands for passwords, so that it may not apply as it is")
    return "".join(f"{note}\n" for note in notes) + masked


def _without_secrets(text: str) -> str:
    for name, value in os.environ.items():
        if SECRET.search(name) and len(value) >= SHORTEST:
            text = text.replace(value, MASK)
    return mask_in_source(text)


def changes_file(changes: str) -> str:
    """The name of the file that holds such changes in a study's folder."""
    return f"changes-{hashlib.sha256(changes.encode()).hexdigest()[:12]}.diff"


def write_changes(root: Path) -> None:
    """Keep the working tree's uncommitted changes, if it has some, in a study's folder, unless they are there."""
    if (changes := uncommitted_changes()) is not None and not (path := root / changes_file(changes)).is_file():
        write_text(path, changes)


def current_program(study: StudyRecord) -> Provenance:
    """The program that the study was begun with, or the last that continued it."""
    return _programs(study)[-1]


def is_same_space(study: StudyRecord, space: Space) -> bool:
    """Whether a space is as it was when the study began; an earlier version recorded none of the modules it imports."""
    helpers = {} if study.space_helpers is None else space.helpers
    return fingerprint(space.source, helpers) == study.space_fingerprint


def continued_with(study: StudyRecord) -> tuple[Provenance, ...]:
    """The study's `continued_with` where it goes on now: with this program too, if it is another one."""
    now = current_provenance()
    return (*study.continued_with, now) if _differences(current_program(study), now) else study.continued_with


def provenance_changes(study: StudyRecord) -> list[str]:
    """What changed each time that another program went on: ["commit 1a2b3c4d5e to 6f7a8b9c0d, torch 2.11 to 2.12"]."""
    return [", ".join(_differences(was, now)) for was, now in pairwise(_programs(study))]


def _programs(study: StudyRecord) -> list[Provenance]:
    first = Provenance(study.versions, study.git_commit, study.git_dirty, study.git_changes)
    return [first, *study.continued_with]


def _differences(was: Provenance, now: Provenance) -> list[str]:
    commits = was.git_commit, now.git_commit
    found = []
    if commits[0] and commits[1] and commits[0] != commits[1]:
        found.append(f"commit {commits[0][:10]} to {commits[1][:10]}")
    if all(commits) and _knows_changes(was) and was.git_changes != now.git_changes:
        found.append(f"uncommitted changes {was.git_changes or 'none'} to {now.git_changes or 'none'}")
    for name, text in now.versions.items():
        if was.versions.get(name, text) != text:
            found.append(f"{name} {was.versions[name]} to {text}")
    return found


def _knows_changes(program: Provenance) -> bool:
    """Whether a record says which changes there were; an earlier version said only that there were some."""
    return program.git_dirty is False or program.git_changes is not None


def _git(*words: str) -> str | None:
    """What git prints of the project's folder, without the last line break; None for nothing, or without git."""
    try:
        done = subprocess.run(["git", "-C", str(PROJECT), *words], capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout.decode(errors="replace").rstrip("\n") or None
