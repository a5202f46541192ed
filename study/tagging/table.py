"""Tagged clips as a table for the terminal: a row per clip, a column per tag, tags above their threshold in bold."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from audiotag.cli import natural_width
from study.format import decimal
from study.tagging.tagging import Tagged, above_threshold, short_names

THRESHOLD = "threshold"  # the last row
MARK = "*"  # of what is bold, where nothing can be


def tag_table(tagged: Tagged, thresholds: dict[str, float | None], console: Console) -> Table:
    """A row per clip; where the tags do not fit side by side, those above their thresholds, most probable first."""
    table = _table(tagged, thresholds, console, wide=True)
    return table if natural_width(table, console) <= console.width else _table(tagged, thresholds, console, wide=False)


def _table(tagged: Tagged, thresholds: dict[str, float | None], console: Console, wide: bool) -> Table:
    names = short_names(list(dict.fromkeys(clip.path for clip in tagged.clips)))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("file", overflow="fold")
    table.add_column("time", no_wrap=True)
    for tag in thresholds if wide else ["tags"]:
        table.add_column(tag, justify="right" if wide else "left", min_width=4, overflow="fold")
    mark = "" if console.is_terminal else MARK
    for clip in tagged.clips:
        there = above_threshold(clip.probabilities, thresholds)
        values = dict(zip(thresholds, clip.probabilities.tolist(), strict=True))
        if wide:
            cells = [Text(decimal(values[tag]) + mark * bold, "bold" if bold else "") for tag, bold in there.items()]
        else:
            found = sorted((tag for tag in there if there[tag]), key=lambda tag: -values[tag])
            cells = [console.render_str(", ".join(f"{tag} {decimal(values[tag])}" for tag in found), style="bold")]
        table.add_row(names[clip.path], f"{clock(clip.start)}-{clock(clip.end)}", *cells)
    if wide:
        cut = [decimal(threshold) or "none" for threshold in thresholds.values()]
        table.add_row(THRESHOLD, "", *cut, style="italic dim")
    return table


def clock(seconds: float) -> str:
    """A place in a recording: 0:04, 0:00.5, 1:02:03."""
    whole, hundredths = divmod(round(seconds * 100), 100)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{hundredths:02}".rstrip("0") if hundredths else ""
    return (f"{hours}:{minutes:02}" if hours else f"{minutes}") + f":{rest:02}{fraction}"
