"""What a layout of a corpus on disk consists of."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from audiotag.corpus.tables import Listing


@dataclass(frozen=True)
class Layout:
    """A way in which a corpus lies on disk.

    Attributes:
        name: The word for it in studies and messages.
        files: The files that make it up, for a message.
        detect: Whether a folder is in this layout.
        read: The folder's tables; raises CorpusError where one cannot be read at all.
        fixed_seconds: The length of every clip (s); that of the longest when None.
        audio_folders: Folders below the root whose every recording the tables should name.
        fixed_folds: Whether the folds are the official ones, and none are proposed.
        missing_audio: The remedy for missing recordings.
        missing_stereo: The remedy for missing stereo recordings.
        note: A caution about results on such a corpus.
        quick: Whether studies use a network's short budget on it.
    """

    name: str
    files: str
    detect: Callable[[Path], bool]
    read: Callable[[Path], Listing]
    fixed_seconds: float | None = None
    audio_folders: tuple[str, ...] = ("audio",)
    fixed_folds: bool = False
    missing_audio: str = "add the files to audio/, or take their rows out of the table"
    missing_stereo: str = "Add the recordings"
    note: str = ""
    quick: bool = False
