"""The table of a folder corpus, written."""

import csv
import io
import math
from pathlib import Path

from audiotag.corpus.corpus import Corpus
from audiotag.corpus.errors import CorpusError
from audiotag.corpus.layouts.folder import COLUMNS, SPLITS
from audiotag.corpus.tables import EVALUATION, FIXED_SPLIT
from audiotag.corpus.tag_names import LIKELY, SEPARATOR, UNKNOWN
from audiotag.files import reason_of, write_new


def write_table(corpus: Corpus, path: Path, remedy: str) -> None:
    """Write the clips of a corpus in the form of `clips.csv`, in one piece; it takes no other file's place.

    Args:
        corpus: Its clips are named as they are in `clips.csv`; those without a fold get an empty one.
        path: The file.
        remedy: What to do where it exists or cannot be written.

    Raises:
        CorpusError: If it exists or cannot be written.
    """
    decided = any(likely in tag for tag in corpus.tags for likely in LIKELY)  # such a tag is one tag
    lines, parts = io.StringIO(), {number: name for name, number in FIXED_SPLIT.items()}
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow([f"{column}{SEPARATOR}" if column == "tags" and decided else column for column in COLUMNS])
    for clip, fold, row, group in zip(corpus.clips, corpus.folds.tolist(), corpus.targets, corpus.groups, strict=True):
        labels = zip(corpus.tags, row.tolist(), strict=True)
        tags = SEPARATOR.join(f"{UNKNOWN if math.isnan(has) else ''}{tag}" for tag, has in labels if has)
        number, split = fold if fold >= 0 else "", SPLITS[fold == EVALUATION]
        if corpus.has_fixed_split:
            number, split = "", parts[fold]
        writer.writerow([clip, number, tags, "" if group == clip else group, split])
    try:
        write_new(path, lines.getvalue())
    except FileExistsError as error:
        raise CorpusError(f"The file `{path}` exists: take it away, or {remedy}.") from error
    except OSError as error:
        raise CorpusError(f"The file `{path}` cannot be written ({reason_of(error)}): {remedy}.") from error
