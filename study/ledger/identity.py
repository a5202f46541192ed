"""Which study a folder holds: one that was copied is a study of its own, one that was renamed stays the same.

study.json records the folder that the study was last run in. Where that one still has the study, another folder with it
is a copy, and gets an id of its own; else the folder was renamed or moved. A study is named like its folder. Of a study
in an object store the folder is its URL.
"""

import json
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from study.cloud import is_url, shown, tidy, url_of
from study.ledger.files import read_json
from study.ledger.schema import StudyRecord
from study.ledger.store import Store

STUDY_FILE = "study.json"


def identify(root: Path, record: StudyRecord) -> tuple[StudyRecord, str | None]:
    """The record of the study in a folder, and a line to say where that is a copy, or has another name, than before."""
    place = record.folder or str(root.with_name(record.name))  # an earlier version kept no path
    now = replace(record, name=root.name, folder=shown(root))
    if not _is_same(place, root) and _id_in(place) == record.id:
        line = f"The study `{root.name}` is a copy of {place}: it is a study of its own from now on, in MLflow, too."
        return replace(now, id=uuid4().hex), line
    if record.name == root.name:
        return now, None
    return now, f"The study `{record.name}` is now called `{root.name}`, like its folder, and has the same MLflow runs."


def _is_same(place: str, root: Path) -> bool:
    """Whether a place is that of a folder, by whatever links and mounts."""
    if is_url(place) or url_of(root):
        return place == shown(root)
    try:
        return Path(place) == root or Path(place).samefile(root)
    except OSError:
        return False


def _id_in(place: str) -> str | None:
    """The id of the study in a place; None where there is none, or where nobody knows."""
    if not is_url(place):
        return read_json(Path(place) / STUDY_FILE, _get_id, keep=True)
    try:
        found = Store(tidy(place), patience=0).get(STUDY_FILE)
        return None if found is None else _get_id(json.loads(found[0]))
    except ValueError:  # a store that is out of reach, too
        return None


def _get_id(content: object) -> str | None:
    return str(content.get("id")) if isinstance(content, dict) else None
