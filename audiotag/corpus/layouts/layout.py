"""What a layout of a corpus on disk consists of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from audiotag.corpus.tables import Listing
from audiotag.downloads.published import Published


@dataclass(frozen=True)
class Layout:
    """A way in which a corpus lies on disk."""

    name: str  # the word for it in studies and messages
    files: str  # the files that make it up, for a message
    detect: Callable[[Path], bool]  # whether a folder is in this layout
    read: Callable[[Path], Listing]  # the folder's tables; CorpusError where one cannot be read at all
    fixed_seconds: float | None = None  # the length of every clip; that of the longest when None
    audio_folders: tuple[str, ...] = ("audio",)  # folders below the root whose every recording the tables should name
    fixed_folds: bool = False  # whether the folds are the official ones, and none are proposed
    missing_audio: str = "add the files, or take their rows out of the table"  # the remedy
    missing_stereo: str = "Add the recordings"  # the remedy
    tag_names: Mapping[str, str] = field(default_factory=dict)  # of tags that are abbreviations
    note: str = ""  # a caution about results on such a corpus
    terms: str = "Whether these recordings may be passed on depends on their licence."  # to be said with copies of them
    published: Published | None = None  # where it is downloaded from
    quick: bool = False  # whether studies use a network's short budget on it
