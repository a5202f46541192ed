"""Trials and figures as text: names of trials, error rates, times."""

from collections.abc import Iterable, Sequence
from typing import Any


def label(config: dict[str, Any], varied: Sequence[str]) -> list[str]:
    """A trial's parameters as cells; empty where the model or the augmentation has no such thing."""
    return [show(config[name]) if _is_on(name, config) else "" for name in varied]


def trial_name(config: dict[str, Any], varied: Sequence[str]) -> str:
    """A trial's parameters that its space varies: "mixup, alpha 1.5". Without those that say nothing."""
    shown = {name: config[name] for name in varied if _is_on(name, config)}
    if "model" in shown and config["augmentation"] == "none":
        shown.pop("augmentation", None)
    words = {name: name if value is True else show(value) for name, value in shown.items()}
    return ", ".join(word if isinstance(shown[name], str | bool) else f"{name} {word}" for name, word in words.items())


def applies(name: str, config: dict[str, Any]) -> bool:
    """Whether a hyperparameter means anything in a trial: whether its network or its augmentation has it."""
    return name in config


def _is_on(name: str, config: dict[str, Any]) -> bool:
    """Whether a hyperparameter says something of a trial: it applies, and is not merely switched off."""
    off = config.get(name) is False or (name == "schedule" and config.get(name) == "always")
    return applies(name, config) and not off


def show(value: Any) -> str:
    """A hyperparameter as tables show it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def decimal(value: float | None, places: int = 3) -> str:
    """An EER or a loss as the paper prints it (.103); empty where there is none."""
    return "" if value is None else f"{value:.{places}f}".removeprefix("0")


def duration(seconds: float) -> str:
    """A time in words: seconds below 100 of them, else minutes, or hours and minutes."""
    minutes = round(seconds / 60)
    if round(seconds) < 100:
        return f"{max(round(seconds), 1)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def signed(value: float) -> str:
    """A difference of EERs: +.012, -.003."""
    return f"{value:+.3f}".replace("0.", ".", 1)


def seeds_in_words(seeds: Sequence[int]) -> str:
    """ "seed 0", "seeds 0 and 1", "seeds 0 to 2"."""
    first, *others = seeds
    if not others:
        return f"seed {first}"
    return f"seeds {first} {'and' if len(others) == 1 else 'to'} {others[-1]}"


def count(number: int, noun: str) -> str:
    """ "1 trial", "2 trials"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    """A table in Markdown; the first `left` columns are text, the others numbers."""
    marks = ["---" if place < left else "---:" for place in range(len(header))]
    lines = [header, marks, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
