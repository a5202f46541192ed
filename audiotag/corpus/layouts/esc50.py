"""ESC-50 as it is published: `meta/esc50.csv` and `audio/`.

Source: K. J. Piczak, "ESC: Dataset for environmental sound classification", 2015.
"""

from pathlib import Path

from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import Listing, Row, find_file, read_fold, read_listing, read_tags
from audiotag.downloads.published import Published, RemoteFile

TABLE = Path("meta", "esc50.csv")
COLUMNS = ("filename", "fold", "category", "src_file")

PUBLISHED = Published(
    title="ESC-50",
    authors="Piczak 2015",
    licence="CC BY-NC 3.0",
    page="https://github.com/karolpiczak/ESC-50",
    files=(  # a copy: GitHub packs the archive anew from time to time, with another checksum
        RemoteFile(
            "https://paddleaudio.bj.bcebos.com/datasets/ESC-50-master.zip",
            "7771e4b9d86d0945acce719c7a59305a",
        ),
    ),
    tables=(TABLE.as_posix(),),
    unpacked=900_000_000,  # 2000 clips of 5 s at 44.1 kHz, 16 bit
)


def read(root: Path) -> Listing:
    """Read the table: the tag is the category, the group the Freesound recording, the folds are the official five."""

    def read_row(cells: dict[str, str]) -> Row:
        clip, audio = find_file(root / "audio", cells["filename"])
        return Row(clip, audio, read_fold(cells["fold"]), read_tags(cells["category"]), cells["src_file"] or clip)

    return read_listing(root, TABLE, COLUMNS, read_row)


LAYOUT = Layout(
    "esc50",
    f"{TABLE} with audio/",
    lambda root: (root / TABLE).is_file(),
    read,
    missing_audio="unpack the archive again (python -m audiotag.corpus get esc50 does it)",
    terms=f"These are recordings of {PUBLISHED.source}: no commercial use, and name the author.",
    published=PUBLISHED,
)
