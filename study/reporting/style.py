"""How figures look: small panels that stand side by side, as SVG with text that stays text, dark on white.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; dashes and markers double them.
"""

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

LONGEST_LABEL = 22  # characters of a trial's name beside an axis, before it is wrapped
WIDTH, HEIGHT = 4.4, 3.1  # inches; on a page a panel is as wide as its column
INK, FAINT, GRID, PAPER = "#1b1b1d", "#6a6a70", "#d9d9de", "#fefefe"
BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "audiotag",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
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
    "grid.linewidth": 0.8,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.unicode_minus": False,
    "text.parse_math": False,  # a tag may hold a $
    "lines.solid_joinstyle": "round",
    "legend.handlelength": 2.2,
}


@dataclass(frozen=True)
class Panel:
    """A drawn panel: its file name without suffix, its content in words, and its SVG."""

    name: str
    alt: str
    svg: str

    @property
    def uri(self) -> str:
        """The SVG as the source of an image on a page."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


@contextmanager
def style() -> Iterator[None]:
    """Let matplotlib draw in this style."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        yield


def new_axes(title: str = "", width: float = WIDTH, height: float = HEIGHT, **axes: Any) -> Any:
    """Make the axes of a new panel, in a figure without a window."""
    from matplotlib.figure import Figure

    ax = Figure((width, height), layout="constrained").subplots()
    ax.set_title(title)
    ax.set(**axes)
    return ax


def wrapped(text: str) -> str:
    """Break a trial's name into lines, between its parameters."""
    whole = text.replace(" ", "\u00a0").replace(",\u00a0", ", ")  # textwrap breaks at plain spaces alone
    return "\n".join(wrap(whole, LONGEST_LABEL)).replace("\u00a0", " ")


def log_axis(axis: Any) -> None:
    """Make an axis logarithmic, with ticks at 1, 2 and 5 times the powers of ten, in plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.axes.set_xscale("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(lambda value, _: f"{value:.3g}")
    axis.set_minor_formatter(NullFormatter())


def as_panel(ax: Any, name: str, alt: str) -> Panel:
    """Finish a panel; the same figure gives the same bytes."""
    file = io.StringIO()
    ax.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Title": alt})
    return Panel(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"), alt, file.getvalue())
