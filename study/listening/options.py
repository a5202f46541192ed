"""How a page is made."""

from dataclasses import dataclass

CLIPS = 3  # of each kind and tag, unless asked otherwise
LIMIT = 20.0  # MB of a page, unless asked otherwise


@dataclass(frozen=True)
class Options:
    """The most clips of each kind and tag, the most MB of the page, and whether sound is linked, not embedded."""

    clips: int = CLIPS
    limit: float = LIMIT
    link: bool = False
