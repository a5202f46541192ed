"""Two public single-label sets as they come: ESC-50 and UrbanSound8K."""

from pathlib import Path

from audiotag.corpus.tables import Listing, Row, read_fold, read_listing, read_place, read_tag, require_columns

ESC50_TABLE = Path("meta", "esc50.csv")
URBANSOUND8K_TABLE = Path("metadata", "UrbanSound8K.csv")


def read_esc50(root: Path) -> Listing:
    """ESC-50: `meta/esc50.csv` and `audio/`; the tag is the category, the group the Freesound recording.

    Raises:
        CorpusError: if the table cannot be read or has a wrong header.

    Source: K. J. Piczak, "ESC: Dataset for environmental sound classification", 2015; its five official folds.
    """
    path = root / ESC50_TABLE
    columns = ("filename", "fold", "category", "src_file")

    def read_row(cells: dict[str, str]) -> Row:
        clip, audio = read_place(root / "audio", cells["filename"])
        tag = read_tag(cells["category"])
        return Row(clip, audio, read_fold(cells["fold"]), frozenset({tag}) - {""}, cells["src_file"] or clip)

    return read_listing("esc50", path, lambda header: require_columns(header, columns, path), read_row)


def read_urbansound8k(root: Path) -> Listing:
    """UrbanSound8K: `metadata/UrbanSound8K.csv` and `audio/fold<n>/`; the group is the Freesound recording.

    Raises:
        CorpusError: if the table cannot be read or has a wrong header.

    Source: Salamon, Jacoby, Bello, "A dataset and taxonomy for urban sound research", 2014; its ten official folds.
    """
    path = root / URBANSOUND8K_TABLE
    columns = ("slice_file_name", "fsID", "fold", "class")

    def read_row(cells: dict[str, str]) -> Row:
        fold = read_fold(cells["fold"])
        clip, audio = read_place(root / "audio", f"fold{fold}/{cells['slice_file_name']}")
        return Row(clip, audio, fold, frozenset({read_tag(cells["class"])}) - {""}, cells["fsID"] or clip)

    return read_listing("urbansound8k", path, lambda header: require_columns(header, columns, path), read_row)
