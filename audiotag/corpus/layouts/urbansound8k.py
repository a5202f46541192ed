"""UrbanSound8K as it is published: `metadata/UrbanSound8K.csv` and `audio/fold<n>/`.

Source: J. Salamon, C. Jacoby, J. P. Bello, "A dataset and taxonomy for urban sound research", 2014.
"""

from pathlib import Path

from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import Listing, Row, find_file, read_fold, read_listing, read_tags
from audiotag.downloads.published import Published, RemoteFile

TABLE = Path("metadata", "UrbanSound8K.csv")
COLUMNS = ("slice_file_name", "fsID", "fold", "class")

PUBLISHED = Published(
    title="UrbanSound8K",
    authors="Salamon et al. 2014",
    licence="CC BY-NC 3.0",
    page="https://zenodo.org/records/1203745",
    files=(
        RemoteFile(
            "https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz",
            "9aa69802bbf37fb986f71ec1483a196e",
            6_023_741_708,
        ),
    ),
    tables=(TABLE.as_posix(),),
)


def read(root: Path) -> Listing:
    """Read the table: the tag is the class, the group the Freesound recording, the folds are the official ten."""

    def read_row(cells: dict[str, str]) -> Row:
        fold = read_fold(cells["fold"])
        clip, audio = find_file(root / "audio", f"fold{fold}/{cells['slice_file_name']}")
        return Row(clip, audio, fold, read_tags(cells["class"]), cells["fsID"] or clip)

    return read_listing(root, TABLE, COLUMNS, read_row)


LAYOUT = Layout(
    "urbansound8k",
    f"{TABLE} with audio/",
    lambda root: (root / TABLE).is_file(),
    read,
    missing_audio="unpack the archive again (python -m audiotag.corpus get urbansound8k does it)",
    terms=f"These are recordings of {PUBLISHED.source}: no commercial use, and name the authors.",
    published=PUBLISHED,
)
