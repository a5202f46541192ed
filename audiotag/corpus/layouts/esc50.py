"""ESC-50 as it is published: `meta/esc50.csv` and `audio/`.

Source: K. J. Piczak, "ESC: Dataset for environmental sound classification", 2015.
"""

from pathlib import Path

from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import Listing, Row, find_file, read_fold, read_listing, read_tags

TABLE = Path("meta", "esc50.csv")
COLUMNS = ("filename", "fold", "category", "src_file")


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
    terms="These are recordings of ESC-50 (Piczak 2015; CC BY-NC 3.0): no commercial use, and name the author.",
)
