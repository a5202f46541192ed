"""The synthetic corpus (audiotag/synthetic): the CHiME-Home layout with a marker."""

from dataclasses import replace
from pathlib import Path

from audiotag.corpus.layouts import chime_home

MARKER = "synthetic.json"


def detect(root: Path) -> bool:
    """Return whether a folder, or `chime_home/` in it, holds the lists of CHiME-Home and the marker."""
    folder = chime_home.list_folder(root)
    return folder is not None and (folder / MARKER).exists()


LAYOUT = replace(
    chime_home.LAYOUT,
    name="synthetic",
    detect=detect,
    missing_audio="delete the folder and write the synthetic corpus again",
    missing_stereo="Delete the folder and write the synthetic corpus again",
    terms="",
    published=None,
    quick=True,
    note="a synthetic corpus: figures on it say nothing about real recordings",
)
