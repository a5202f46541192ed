"""Source that a study keeps: its space's, run only where its user has it, or trusts who made the study.

A study's folder may come from a stranger. What defines its space, and perhaps networks and augmentations, is run from
the file that it came from, where that is still as it was; else only where the user says that it may be trusted.
"""

import re
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from search_spaces import Space, changed_file, load_kept_space, load_space, read_source
from study.ledger.ledger import STUDY_FILE
from study.ledger.provenance import is_same_space
from study.ledger.schema import StudyRecord

ADVICE = (
    "Put it back (study.json has its text as `space_source`); or name the place that it has moved to, with "
    "`study/run.py --resume {name} --space PATH`; or, if you trust who made the study, run what it keeps: --trust-code."
)


class OwnCodeError(ValueError):
    """Source that must not be run, or is no longer the study's; the message is one line for the user."""


def study_space(study: StudyRecord, trusted: bool = False, path: str | None = None) -> Space:
    """Load the space of a study from its file, which may have moved to `path`; if trusted, from what the study keeps.

    Raises:
        OwnCodeError: For a file that is gone or was changed, unless `trusted`.
        SpaceError: For one that cannot be read.
    """
    if (where := _changed_file(study, path)) is not None:
        if not trusted:
            raise OwnCodeError(_must_not_change("The space", study, where))
        kept = load_kept_space(study.space, study.space_source, study.space_helpers or {}, study.space_path or "")
        return with_sampler(kept, study.sampler)
    space = load_space(path or study.space_path or study.space)
    if not is_same_space(study, space):
        raise OwnCodeError(f"The space of the study `{study.name}` must be as it was, but its file is another now.")
    return with_sampler(space, study.sampler)


def require_trust(study: StudyRecord, trusted: bool) -> None:
    """Check that networks and augmentations which a study keeps may be run.

    Raises:
        OwnCodeError: Where their file is gone or was changed, unless `trusted`.
    """
    if not trusted and (where := _changed_file(study)) is not None:
        raise OwnCodeError(_must_not_change("The source of the network", study, where))


def _must_not_change(what: str, study: StudyRecord, file: Path) -> str:
    """Say which file is not as it was, and what to do."""
    was = f"{what} of the study `{study.name}` must be as it was"
    return f"{was}, but {_difference(study, file)}. {ADVICE.format(name=study.name)}"


def with_sampler(space: Space, sampler: str | None) -> Space:
    """Give a space another sampler than its own, where one is named."""
    return space if sampler is None else replace(space, sampler=sampler)


def _changed_file(study: StudyRecord, path: str | None = None) -> Path | None:
    """The first file of a study's space that is not as it was; None where all are, or an early version kept no text."""
    if path is None and _may_have_come_along(study):
        return Path(study.space_path or study.space)
    if not study.space_source:
        return None
    return changed_file(study.space, study.space_source, study.space_helpers or {}, path or study.space_path or "")


def _may_have_come_along(study: StudyRecord) -> bool:
    """Whether a study looks for its space where whoever made its folder may have put a file: no proof of anything."""
    if not study.space_path:
        return re.fullmatch(r"[\w-]+", study.space) is None  # a way out of search_spaces/
    place = Path(study.space_path)
    in_a_study = any((folder / STUDY_FILE).is_file() for folder in place.resolve().parents)
    return in_a_study or not place.is_absolute() or place.is_relative_to("/proc") or not study.space_source


def _difference(study: StudyRecord, file: Path) -> str:
    """How a file differs from what the study keeps of it."""
    if file == Path(study.space_path or study.space) and _may_have_come_along(study):
        return f"{file} may have come with the study"
    if not file.is_file():
        return f"{file} is gone"
    texts = {f"{study.space}.py": study.space_source, **(study.space_helpers or {})}
    kept = next((text for name, text in reversed(texts.items()) if file.as_posix().endswith(f"/{name}")), "")
    old, new = first_difference(kept, read_source(file))
    return f"{file} was {old}, now it is {new}"


def first_difference(was: str, now: str) -> tuple[str, str]:
    """Give the first line in which two texts differ, as each has it."""
    for number, (old, new) in enumerate(zip_longest(was.splitlines(), now.splitlines()), start=1):
        if old != new:
            line = [f"{text.strip()!r} in line {number}" if text is not None else "shorter" for text in (old, new)]
            return line[0], line[1]
    return "another one", "this one"
