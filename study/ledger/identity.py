"""Which study a folder holds: one that was copied is a study of its own, one that was renamed stays the same.

study.json records the folder that the study was last run in. Where that one still has the study, another folder with it
is a copy, and gets an id of its own; else the folder was renamed or moved. A study is named like its folder.
"""

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from study.ledger.files import read_json
from study.ledger.schema import StudyRecord

STUDY_FILE = "study.json"


def identify(root: Path, record: StudyRecord) -> tuple[StudyRecord, str | None]:
    """The record of the study in a folder, and a line to say where that is a copy, or has another name, than before."""
    folder = Path(record.folder) if record.folder else root.with_name(record.name)  # an earlier version kept no path
    now = replace(record, name=root.name, folder=str(root))
    if not _is_same(folder, root) and _id_in(folder) == record.id:
        line = f"The study `{root.name}` is a copy of {folder}: it is a study of its own from now on, in MLflow, too."
        return replace(now, id=uuid4().hex), line
    if record.name == root.name:
        return now, None
    return now, f"The study `{record.name}` is now called `{root.name}`, like its folder, and has the same MLflow runs."


def _is_same(folder: Path, other: Path) -> bool:
    """Whether two paths lead to one folder, by whatever links and mounts."""
    try:
        return folder == other or folder.samefile(other)
    except OSError:
        return False


def _id_in(folder: Path) -> str | None:
    return read_json(folder / STUDY_FILE, _get_id, keep=True)


def _get_id(content: object) -> str | None:
    return str(content.get("id")) if isinstance(content, dict) else None
