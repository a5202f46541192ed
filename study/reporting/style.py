"""How figures look: small panels that stand side by side, as SVG with text that stays text, dark on white.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; dashes and markers double them. On a page the
SVG stands in the text itself, so that templates/report.js finds the points of its series and says what each is; its
colours are those of the page there, templates/style.css, which has others for readers who prefer dark pages.
"""

import io
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

LONGEST_LABEL = 22  # characters of a trial's name beside an axis, before it is wrapped
PARTS = re.compile(  # of a name: its parameters and augmentations, or else words, or else what fits
    r".{1,LONG}?(?:, |\u00d7 |\+(?=[a-z])|$)|.{1,LONG} |.{1,LONG}".replace("LONG", str(LONGEST_LABEL)), re.DOTALL
)
WIDTH, HEIGHT = 4.4, 3.1  # inches; on a page a panel is as wide as its column
INK, FAINT, GRID, PAPER = "#1b1b1d", "#606067", "#d9d9de", "#fefefe"
BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"
COLOURS = {  # by the names that they have on pages
    "ink": INK,
    "faint": FAINT,
    "grid": GRID,
    "paper": PAPER,
    "blue": BLUE,
    "orange": ORANGE,
    "green": GREEN,
    "purple": PURPLE,
    "sky": SKY,
    "vermilion": VERMILION,
}
NAMES = {colour: name for name, colour in COLOURS.items()}
PAINT = re.compile(r"\b(fill|stroke): (#[0-9a-f]{6})\b")  # as matplotlib writes it
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "audiotag",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "grid.color": GRID,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.unicode_minus": False,
    "path.simplify": False,  # every point of a line has a text
    "text.parse_math": False,  # a tag may hold a $
    "legend.handlelength": 2.2,
}


@dataclass(frozen=True)
class Panel:
    """A drawn panel: its file name without suffix, its content in words, and its SVG."""

    name: str
    alt: str
    svg: str

    @property
    def markup(self) -> Markup:
        """The SVG for a page: without a prolog, in the page's colours, and with identifiers that no other panel has."""
        start = self.svg.index("<svg")
        own = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{self.name}-", self.svg[start:])
        own = PAINT.sub(lambda found: f"{found[1]}: {on_page(found[2])}", own)
        return Markup(own.replace("<svg", f'<svg role="img" aria-label="{escape(self.alt)}"', 1))


@dataclass
class Series:
    """The series of a panel that say what their points are, by the identifiers of their groups in the SVG.

    Of each: its row, if it is of one, and the text of each point.
    """

    found: dict[str, tuple[str, list[str]]] = field(default_factory=dict)

    def add(self, artist: Any, texts: Iterable[str], row: str = "") -> None:
        """Name the points of a line, one text each, in their order; `row` is the key of the row that it is of."""
        name = f"series{len(self.found)}"
        artist.set_gid(name)
        self.found[name] = row, list(texts)

    def mark(self, svg: str) -> str:
        """Write the texts into the SVG."""

        def group(found: re.Match[str]) -> str:
            row, texts = self.found[found[1]]
            return f'<g id="{found[1]}" class="series" data-row="{escape(row)}" data-texts="{escape("|".join(texts))}">'

        return re.sub(r'<g id="(series\d+)">', group, svg)


def on_page(colour: str) -> str:
    """A colour as a page has it, by its name; one without a name stays as it is."""
    return f"var(--{NAMES[colour]})" if colour in NAMES else colour


def style() -> AbstractContextManager[None]:
    """Let matplotlib draw in this style."""
    import matplotlib as mpl

    return mpl.rc_context(STYLE)


def new_axes(title: str = "", width: float = WIDTH, height: float = HEIGHT, **axes: Any) -> Any:
    """Make the axes of a new panel, in a figure without a window."""
    from matplotlib.figure import Figure

    ax = Figure((width, height), layout="constrained").subplots()
    ax.set_title(title)
    ax.set(**axes)
    return ax


def wrapped(text: str) -> str:
    """Break a trial's name into lines: between its parameters and its augmentations, or a long word anywhere."""
    lines = [""]
    for part in PARTS.findall(text):
        if lines[-1] and len(lines[-1] + part.rstrip()) > LONGEST_LABEL:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def as_panel(ax: Any, name: str, alt: str, series: Series | None = None) -> Panel:
    """Finish a panel, whose points are said by `series`; the same figure gives the same bytes."""
    file = io.StringIO()
    ax.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Title": alt})
    svg = file.getvalue() if series is None else series.mark(file.getvalue())
    return Panel(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"), alt, svg)
