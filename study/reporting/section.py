"""A section of a report: its title and its parts, the panels among them files too."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
class Key:
    """What curves of a row look like: its key, its label, a colour of CSS, and a dash of SVG."""

    row: str
    label: str
    colour: str
    dash: str = ""


@dataclass(frozen=True)
class Section:
    """A section of a report; its parts follow in this order.

    Attributes:
        html: From a template of its own.
        keys: Rows whose curves can be switched on and off.
        groups: Panels by heading, side by side unless `wide`.
        markdown: The same for table.md; empty where it has no such section.
    """

    title: str
    html: str = ""
    intro: str = ""
    keys: Sequence[Key] = ()
    groups: Mapping[str, Sequence[Panel]] = field(default_factory=dict)
    wide: bool = False
    caption: str = ""
    lines: Sequence[str] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    banners: Sequence[str] = ()
    markdown: str = ""

    @property
    def anchor(self) -> str:
        """Its address on the page."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    @property
    def panels(self) -> list[Panel]:
        """All panels."""
        return [panel for group in self.groups.values() for panel in group]


def render(template: str, **content: Any) -> Markup:
    """Fill in a template of HTML; all that comes from users is escaped."""
    return Markup(_environment().get_template(template).render(content))


def render_lines(template: str, **content: Any) -> list[str]:
    """Fill in a template of plain sentences, one per line."""
    return _environment().get_template(template).render(content).splitlines()


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
