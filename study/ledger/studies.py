"""The studies in a folder: one by its name or the beginning of it, or all of them."""

import warnings
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from audiotag.corpus.errors import list_first
from audiotag.files import size_of
from study.cloud import shown
from study.ledger.confirmation import SUFFIX
from study.ledger.files import LedgerError
from study.ledger.ledger import STUDY_FILE, Ledger
from study.ledger.mirror import mirror_of

NAMED = 10  # candidates in a message


def study_names(studies: Path) -> list[str]:
    """The names of the studies in a folder, sorted."""
    if (mirror := mirror_of(studies)) is not None:
        return mirror.names_with(STUDY_FILE)
    return sorted(path.parent.name for path in studies.glob(f"[!.]*/{STUDY_FILE}"))


def _has_study(studies: Path, name: str) -> bool:
    if (mirror := mirror_of(studies)) is not None:
        return bool(name) and mirror.has(f"{name}/{STUDY_FILE}")
    return size_of(studies / name / STUDY_FILE) is not None


def find_study(studies: Path, name: str) -> Path:
    """The folder of the study of that name, or of the only one whose name begins so, its confirmation aside.

    Raises:
        LedgerError: Where there is none, or there are several; it names them, or similar ones.
    """
    if _has_study(studies, name):
        return (studies / name).absolute()
    names = study_names(studies)
    found = [known for known in names if known.startswith(name)]
    found = [known for known in found if known.removesuffix(SUFFIX) == known or known.removesuffix(SUFFIX) not in found]
    if len(found) == 1:
        return (studies / found[0]).absolute()
    if found:
        raise LedgerError(
            f"Several studies in {shown(studies)} begin with `{name}`: {list_first(found, NAMED)}. Name one."
        )
    similar = get_close_matches(Path(name).name, names, n=3, cutoff=0.4)
    there = f"the studies there are {list_first(names, NAMED)}." if names else "--studies names another place."
    hint = f"did you mean {' or '.join(similar)}?" if similar else there
    raise LedgerError(f"There is no study `{name}` in {shown(studies)}: {hint}")


def open_study(studies: Path, name: str) -> Ledger:
    """Open the study of that name, or of that beginning.

    Raises:
        LedgerError: As `find_study`, and for one that this version cannot read.
    """
    return Ledger.open(find_study(studies, name))


def open_studies(studies: Path) -> Iterator[Ledger]:
    """Open all studies in a folder; one that this version cannot read is passed over with a warning."""
    for name in study_names(studies):
        try:
            yield Ledger.open((studies / name).absolute())
        except LedgerError as error:  # another study's trouble
            warnings.warn(str(error), RuntimeWarning, stacklevel=1)
