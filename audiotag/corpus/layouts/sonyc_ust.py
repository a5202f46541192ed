"""SONYC-UST (version 2) as it is published: `annotations.csv`, a row per recording and annotator, and `audio/`.

The tags are the coarse and the fine ones. Source: M. Cartwright et al., "SONYC-UST-V2: an urban sound tagging dataset
with spatiotemporal context", 2020.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from audiotag.corpus.errors import CorpusError
from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import FIXED_SPLIT, Listing, Row, RowError, find_file, read_listing
from audiotag.downloads.published import Published, RemoteFile, place_as_packed

TABLE = Path("annotations.csv")
COLUMNS = ("split", "sensor_id", "audio_filename", "annotator_id")
SPLITS = {"train": "train", "validate": "validation", "test": "test"}
PRESENCE = re.compile(r"((\d+)(?:-(\d+|X))?_.+)_presence")  # of a tag: its coarse class, and its number in that
UNCERTAIN = "X"  # in place of that number
AGREED = "0"  # the annotator that stands for what the authors agreed on
PRESENT, ABSENT, UNASKED = "1", "0", "-1"

RECORD = "https://zenodo.org/records/3966543"


def place(member: str) -> str | None:
    """Put all recordings into one folder, in whichever the archives have them."""
    path = place_as_packed(member)
    return f"audio/{PurePosixPath(path).name}" if path is not None and path.endswith(".wav") else path


PUBLISHED = Published(
    title="SONYC-UST v2",
    authors="Cartwright et al. 2020",
    licence="CC BY 4.0",
    page=RECORD,
    files=(
        RemoteFile(f"{RECORD}/files/{TABLE}", "70b507b15bb4cfcce4870925302f276b", 14_488_305),
        *(
            RemoteFile(f"{RECORD}/files/audio-{number}.tar.gz", checksum)
            for number, checksum in enumerate(
                (
                    "bbb4dbae7d2e58e18d24878b9ee1eb51",
                    "7c369ff37ac6a1fdd8493fdffe62e0a1",
                    "412241c063d7f196953d3dd1c44aeb5e",
                    "d2a872392d95993a2c238d305b940812",
                    "b15b0e0cb3f8584259ef0d24293a9be3",
                    "de745f887067433757a2f2c8f99f99bb",
                    "b0286c67468369d66336f6f5ddede31f",
                    "ff300183ab7a9d3f2f74c3b730ffeb52",
                    "7be76b821fa6dbe20f6b50ca440e1024",
                    "959f7edfbb26eadad9865069f38aa9dd",
                    "84e94de273666c537a3e6b709ee88d9b",
                    "44fe1f43121a7d1178aa0cdf7477793b",
                    "a7eb21011f460b5ac289f8e285e875ab",
                    "27945a8b1008eec787f97213164951e6",
                    "fb8c7d81c3bde3a0c86c1e55e6a85a24",
                    "f6af9b65d876ef96d199b9e5f0473cb9",
                    "e8337c61a90c30989d500f950fbe443a",
                    "3e47e85eb4564a30fe7f442ee97ec7b9",
                    "c6b2ef4d0d5b7269d465c469cdbbdc4b",
                )
            )
        ),
    ),
    tables=(TABLE.as_posix(),),
    about_size=13_300_000_000,
    unpacked=17_800_000_000,  # 18,510 recordings of 10 s at 48 kHz, 16 bit
    place=place,
)


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
    missing_audio="unpack all archives of audio into audio/ (python -m audiotag.corpus get sonyc_ust does it)",
    terms=f"These are recordings of {PUBLISHED.source}: name the authors.",
    published=PUBLISHED,
)
