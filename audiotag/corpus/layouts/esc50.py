"""ESC-50 as it is published: `meta/esc50.csv` and `audio/`.

Source: K. J. Piczak, "ESC: Dataset for environmental sound classification", 2015.
"""

from pathlib import Path

from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import Listing, Row, find_file, read_fold, read_listing, read_tag, require_columns

TABLE = Path("meta", "esc50.csv")
COLUMNS = ("filename", "fold", "category", "src_file")


def read(root: Path) -> Listing:
    """Read the table: the tag is the category, the group the Freesound recording, the folds are the official five.

    Raises:
        CorpusError: If the table cannot be read or has a wrong header.
    """
    path = root / TABLE

    def read_row(cells: dict[str, str]) -> Row:
        clip, audio = find_file(root / "audio", cells["filename"])
        tag = read_tag(cells["category"])
        return Row(clip, audio, read_fold(cells["fold"]), frozenset({tag}) - {""}, cells["src_file"] or clip)

    return read_listing(root, path, lambda header: require_columns(header, COLUMNS, path), read_row)


LAYOUT = Layout("esc50", f"{TABLE} with audio/", lambda root: (root / TABLE).is_file(), read)
