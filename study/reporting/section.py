"""A section of a report: its title and its content as HTML, with the panels that are files too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from audiotag.corpus.errors import count
from study.format import decimal, duration, signed
from study.reporting.style import Panel
from study.reporting.tables import Table

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Attributes:
        html: Below the title.
        panels: Its figures, each of which becomes a file too.
        markdown: The same for table.md; empty where it has no such section.
        heading: Whether the page shows the title.
    """

    title: str
    html: Markup
    panels: Sequence[Panel] = ()
    markdown: str = ""
    heading: bool = True


def render(template: str, **content: Any) -> Markup:
    """Fill in a template of HTML; all that comes from users is escaped."""
    return Markup(_environment().get_template(template).render(content))


def render_lines(template: str, **content: Any) -> list[str]:
    """Fill in a template of plain sentences, one per line."""
    return _environment().get_template(template).render(content).splitlines()


def body(
    intro: str = "",
    groups: Mapping[str, Sequence[Panel]] | None = None,
    wide: bool = False,
    caption: str = "",
    lines: Sequence[str] = (),
    tables: Sequence[Table] = (),
    notes: Sequence[str] = (),
    banners: Sequence[str] = (),
) -> Markup:
    """Build a section of the usual parts, in this order; `groups` are panels by heading, side by side unless `wide`."""
    return render("section.html", **locals())


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": count, "decimal": decimal, "duration": duration, "signed": signed}
    environment.filters["listed"] = lambda values: ", ".join(f"{name} {value}" for name, value in values.items())
    environment.globals["css"] = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return environment
