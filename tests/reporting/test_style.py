"""How figures look: in the colours of the page that they stand on."""

import re

import pytest

from study.reporting.section import TEMPLATES
from study.reporting.style import COLOURS, Panel, as_panel, new_axes, style


@pytest.fixture(scope="module")
def panel() -> Panel:
    with style():
        ax = new_axes("title", xlabel="x", ylabel="y")
        for name, colour in COLOURS.items():
            ax.plot([0, 1], [0, 1], "o-", color=colour, label=name)
        ax.legend()
        return as_panel(ax, "all colours", "lines")


def test_on_a_page_a_figure_has_the_colours_of_the_page(panel: Panel) -> None:
    assert set(re.findall(r"(?:fill|stroke): (#\w+)", panel.svg)) == set(COLOURS.values())
    assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", panel.markup)) == {
        "none",
        *(f"var(--{name})" for name in COLOURS),
    }


@pytest.mark.parametrize("name", COLOURS)
def test_the_page_has_each_colour_for_light_and_for_dark(name: str) -> None:
    css = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    light, dark = re.findall(rf"--{name}: (#[0-9a-f]{{6}});", css)
    assert light != dark
