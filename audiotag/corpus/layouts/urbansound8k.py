"""UrbanSound8K as it is published: `metadata/UrbanSound8K.csv` and `audio/fold<n>/`.

Source: J. Salamon, C. Jacoby, J. P. Bello, "A dataset and taxonomy for urban sound research", 2014.
"""

from pathlib import Path

from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import Listing, Row, find_file, read_fold, read_listing, read_tags

TABLE = Path("metadata", "UrbanSound8K.csv")
COLUMNS = ("slice_file_name", "fsID", "fold", "class")


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
    terms="These are recordings of UrbanSound8K (Salamon et al. 2014; CC BY-NC 3.0): no commercial use, and name the "
    "authors.",
)
