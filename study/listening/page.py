"""A page on which recordings are heard: one file that needs nothing else, unless its sound is linked."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from study.listening.drawing import Paths, Tick
from study.reporting.section import render
from study.reporting.tables import Table

FILE = "listen.html"
MEGABYTE = 1_000_000
LANES = (
    "In the lane of a tag the thick line is the score of the whole clip and the dashed one its threshold, both from 0 "
    "at the bottom to 1 at the top."
)
CURVES = (
    'The area is the network\'s curve over time, on a scale of its own, from 0 to the number after "curve to": it '
    "shows when a tag is heard, not how surely. Of CRNN and ATT-LOC it is the probability of the tag in a frame "
    "times its localisation, a softmax over the tags; of CGRNN and DAE-DNN the probability of the segment around it."
)
NO_CURVES = "This network has no curves over time (`frame_curves`): the lanes have scores of whole clips alone."
SPECTROGRAM = (
    "Spectrogram: the log-mel bands of the trial's own front end, brighter where there is more energy, each image on a "
    "scale of its own. A click into it, or into a lane, plays from there."
)


@dataclass(frozen=True)
class Fact:
    """Some words beside a lane; `kind` decides the colour: right, wrong, or none."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Lane:
    """A tag of a recording: what the annotation says of it, words on its scores, and what is drawn."""

    tag: str
    annotation: str  # "annotated", "unknown", or nothing
    facts: Sequence[Fact]
    paths: Paths


@dataclass(frozen=True)
class Player:
    """A recording with its player, its spectrogram and its lanes.

    Attributes:
        anchor: Its name in addresses.
        source: The address of its sound.
        why: What it was chosen for, one line each.
        notes: Further lines.
    """

    anchor: str
    name: str
    seconds: float
    source: str
    image: str
    frequencies: Sequence[Tick]
    times: Sequence[Tick]
    lanes: Sequence[Lane]
    why: Sequence[str] = ()
    notes: Sequence[str] = ()

    def html(self) -> Markup:
        """The recording as part of a page."""
        return render("player.html", player=self)


@dataclass(frozen=True)
class Group:
    """Recordings side by side under a heading: players as HTML, or (anchor, words) of those that are elsewhere."""

    title: str
    items: Sequence[Markup | tuple[str, str]]
    empty: str = "None."


@dataclass(frozen=True)
class Part:
    """A part of the page; `full` recordings are as wide as it."""

    title: str
    anchor: str
    intro: Sequence[str] = ()
    tables: Sequence[Table] = ()
    groups: Sequence[Group] = ()
    full: bool = False


@dataclass(frozen=True)
class ListeningPage:
    """The page.

    Attributes:
        lead: What it is, above the title.
        banners: What must not be overlooked.
        facts: What it shows, in sentences.
        key: How it is to be read.
        parts: The rest.
    """

    title: str
    lead: str
    facts: Sequence[str]
    key: Sequence[str]
    parts: Sequence[Part]
    banners: Sequence[str] = field(default=())

    def html(self) -> str:
        """The page as text, with what UTF-8 lacks escaped: a file's name may be any bytes."""
        text = render("listen.html", title=self.title, page=self)
        return text.encode("utf-8", "backslashreplace").decode()


def explain(has_curves: bool) -> list[str]:
    """How players are to be read."""
    return [LANES, *[CURVES] * has_curves, SPECTROGRAM]
