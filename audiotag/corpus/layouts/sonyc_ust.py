"""SONYC-UST (version 2) as it is published: `annotations.csv`, a row per recording and annotator, and `audio/`.

The tags are the coarse and the fine ones. Source: M. Cartwright et al., "SONYC-UST-V2: an urban sound tagging dataset
with spatiotemporal context", 2020.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from audiotag.corpus.errors import CorpusError
from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import FIXED_SPLIT, Listing, Row, RowError, find_file, read_listing

TABLE = Path("annotations.csv")
COLUMNS = ("split", "sensor_id", "audio_filename", "annotator_id")
SPLITS = {"train": "train", "validate": "validation", "test": "test"}
PRESENCE = re.compile(r"((\d+)(?:-(\d+|X))?_.+)_presence")  # of a tag: its coarse class, and its number in that
UNCERTAIN = "X"  # in place of that number
AGREED = "0"  # the annotator that stands for what the authors agreed on
PRESENT, ABSENT, UNASKED = "1", "0", "-1"


@dataclass
class _Recording:
    """A recording: where it is, its part of the split, its sensor, and the votes of each annotator by column."""

    path: Path
    split: str
    sensor: str
    votes: dict[str, dict[str, str]] = field(default_factory=dict)

    def label(self, column: str) -> bool | None:
        """Whether it has the tag of a column, by minority vote: one annotator who hears it is enough. None: unknown.

        Where the authors have agreed on the labels, these alone count.
        """
        counting = [self.votes[AGREED]] if AGREED in self.votes else self.votes.values()
        found = {votes[column] for votes in counting}
        return True if PRESENT in found else False if ABSENT in found else None


def read(root: Path) -> Listing:
    """Read the annotations: the group is the sensor, and the split is by sensor.

    Where a sound of a coarse class is certain and its kind is not (the fine tag "X"), the fine tags of that class that
    nobody hears are unknown.

    Raises:
        CorpusError: Where the table cannot be read, or has no columns of tags.
    """
    recordings: dict[str, _Recording] = {}

    def read_row(cells: dict[str, str]) -> None:
        clip, path = find_file(root / "audio", cells["audio_filename"], root)
        if cells["split"] not in SPLITS:
            raise RowError("has split {!r}, but it must be one of " + ", ".join(SPLITS), cells["split"])
        votes = {column: vote for column, vote in cells.items() if PRESENCE.fullmatch(column)}
        if wrong := [vote for vote in votes.values() if vote not in (PRESENT, ABSENT, UNASKED)]:
            raise RowError("has presence {!r}, but it must be -1, 0 or 1", wrong[0])
        recording = recordings.setdefault(clip, _Recording(path, cells["split"], cells["sensor_id"]))
        if recording.split != cells["split"]:
            raise RowError("has split {!r}, but an earlier row of `{}` has another", cells["split"], clip)
        recording.votes[cells["annotator_id"]] = votes

    listing = read_listing(root, TABLE, COLUMNS, read_row)
    columns = list(next(iter(next(iter(recordings.values())).votes.values()))) if recordings else []
    if recordings and not columns:
        raise CorpusError(f"The file `{root / TABLE}` has no columns `<tag>_presence`: download it again.")
    tags = [match for match in map(PRESENCE.fullmatch, columns) if match is not None]
    rows = tuple(_row(clip, recording, tags) for clip, recording in recordings.items())
    return Listing(root, rows, listing.problems, tuple(match[1] for match in tags if match[3] != UNCERTAIN))


def _row(clip: str, recording: _Recording, tags: list[re.Match[str]]) -> Row:
    labels = [(match, recording.label(match[0])) for match in tags]
    uncertain = {match[2] for match, label in labels if label and match[3] == UNCERTAIN}
    certain = [(match, label) for match, label in labels if match[3] != UNCERTAIN]
    own = frozenset(match[1] for match, label in certain if label)
    vague = [match[1] for match, label in certain if label is None or (match[3] and match[2] in uncertain)]
    part = FIXED_SPLIT[SPLITS[recording.split]]
    return Row(clip, recording.path, part, own, f"sensor {recording.sensor}", unknown=frozenset(vague) - own)


LAYOUT = Layout(
    name="sonyc_ust",
    files=f"{TABLE} with audio/",
    detect=lambda root: (root / TABLE).is_file(),
    read=read,
    fixed_seconds=10.0,
    fixed_folds=True,
    missing_audio="unpack all archives of audio into audio/",
    terms="These are recordings of SONYC-UST v2 (Cartwright et al. 2020; CC BY 4.0): name the authors.",
)
