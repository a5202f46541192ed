"""How figures look: small panels that stand side by side, as SVG with text that stays text.

Colours are Okabe and Ito's, told apart by colour-blind readers too; dashes and markers say the same again. On a page
they follow its colours, light or dark; as files they are dark on white.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH, HEIGHT = 4.4, 3.1  # inches; on a page a panel is as wide as its column
INK, FAINT, GRID, PAPER = "#1b1b1d", "#6a6a70", "#d9d9de", "#fefefe"
BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
VARIABLES = {  # of the page's style sheet
    INK: "--ink",
    FAINT: "--faint",
    GRID: "--grid",
    PAPER: "--paper",
    BLUE: "--blue",
    ORANGE: "--orange",
    GREEN: "--green",
    PURPLE: "--purple",
    SKY: "--sky",
    VERMILION: "--vermilion",
}
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
    """A drawn panel: its file name without suffix, what it shows in words, and the SVG."""

    name: str
    alt: str
    svg: str

    def inline(self) -> str:
        """The SVG for a page: ids that no other panel has, colours from the page."""
        svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{self.name}-", self.svg)
        role = f'role="img" aria-label="{escape(self.alt)}"'
        svg = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', lambda _: role, svg, count=1)
        for colour, variable in VARIABLES.items():
            svg = svg.replace(colour, f"var({variable})")
        return svg

    def file(self) -> str:
        """The SVG for a file of its own, on white."""
        start = self.svg.index(">", self.svg.index("<svg")) + 1
        white = f'<title>{escape(self.alt)}</title><rect width="100%" height="100%" fill="white"/>'
        return f'<?xml version="1.0" encoding="utf-8"?>\n{self.svg[:start]}{white}{self.svg[start:]}'


@contextmanager
def style() -> Iterator[None]:
    """Inside it, matplotlib draws in our style."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        yield


def new_axes(title: str = "", width: float = WIDTH, height: float = HEIGHT, **axes: Any) -> Any:
    """Axes of a new panel (matplotlib's own, in a figure that no window knows)."""
    from matplotlib.figure import Figure

    ax = Figure((width, height), layout="constrained").subplots()
    ax.set_title(title)
    ax.set(**axes)
    return ax


def log_axis(axis: Any) -> None:
    """Ticks at 1, 2 and 5 times the powers of ten, in plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.axes.set_xscale("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(lambda value, _: f"{value:.3g}")
    axis.set_minor_formatter(NullFormatter())


def as_panel(ax: Any, name: str, alt: str) -> Panel:
    """The drawn panel; the same figure gives the same bytes."""
    file = io.StringIO()
    ax.figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, flags=re.DOTALL)  # it would style the whole page
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, 'DejaVu Sans', sans-serif", svg)
    svg = re.sub(r' id="(?:figure|axes|patch|text|line2d|matplotlib\.axis|xtick|ytick|legend)_\d+"', "", svg)
    return Panel(re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower(), alt, svg)
