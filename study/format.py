"""Trials and figures as text: names of trials, error rates, times."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from audiotag.config import NO_AUGMENTATION, TrialConfig

WITH_NAME = ("window_scores",)  # whose values, words though they are, say little alone


def own_params(config: dict[str, Any]) -> dict[str, Any]:
    """Keep the hyperparameters that a trial has: studies of format 4 hold neutral values of all others too."""
    try:
        return TrialConfig.from_dict(config).to_dict()
    except ValueError:  # a network or an augmentation that is no longer there
        return config


def label(config: dict[str, Any], varied: Sequence[str]) -> list[str]:
    """A trial's parameters as cells; empty where the trial has no such parameter, or it is switched off."""
    own = own_params(config)
    return [show(own[name]) if name in own and _is_on(own[name]) else "" for name in varied]


def trial_name(config: dict[str, Any], varied: Sequence[str]) -> str:
    """A trial's parameters that its space varies, as far as they matter: "mixup, alpha 1.5"."""
    own = own_params(config)
    shown = {name: own[name] for name in varied if name in own and _is_on(own[name])}
    if "model" in shown and own.get("augmentation") == NO_AUGMENTATION:
        shown.pop("augmentation", None)
    return ", ".join(in_words(name, value) for name, value in shown.items())


def common_params(configs: Sequence[dict[str, Any]], varied: Sequence[str]) -> dict[str, Any]:
    """Of several trials the parameters that are the same in all; None for one that none of them has switched on."""
    if len(configs) < 2:
        return {}
    found = {name: {_shown_value(own, name) for own in map(own_params, configs)} for name in varied}
    own = own_params(configs[0])
    same = {name: own.get(name) if _shown_value(own, name) else None for name in varied if len(found[name]) == 1}
    return same if len(same) < len(varied) else {}


def _shown_value(own: dict[str, Any], name: str) -> str:
    """What tells trials apart in a parameter; nothing where it is not there, or switched off."""
    return repr(own[name]) if name in own and _is_on(own[name]) else ""


def in_every_row(common: dict[str, Any]) -> str:
    """Parameters that are the same in all rows of a table: "mixup, alpha 1.5 in every row"; nothing without any."""
    shown = {name: value for name, value in common.items() if value is not None}
    words = [f"{name} {show(value)}" if value == "none" else in_words(name, value) for name, value in shown.items()]
    return f"{', '.join(words)} in every row" if words else ""


def in_words(name: str, value: Any) -> str:
    """A hyperparameter that does something, as trials' names have it: "mixup", "imd", "alpha 1.5"."""
    if value is True:
        return name
    return value if isinstance(value, str) and name not in WITH_NAME else f"{name} {show(value)}"


def _is_on(value: Any) -> bool:
    """Whether a value does something: "always" is the schedule of every augmentation without one."""
    return value is not False and value != "always"


def clips_in_words(clips: int, folds: int, split: Mapping[str, int] | None) -> str:
    """How clips are divided: "120 clips in 3 folds", or "90 train, 30 validation and 30 test clips"."""
    if not split:
        return f"{clips} clips in {folds} folds"
    *first, last = [f"{number} {part}" for part, number in split.items()]
    return f"{', '.join(first)} and {last} clips"


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


def short_duration(seconds: float) -> str:
    """A time in at most six characters, for tables: 25 s, 85 min, 2.1 h, 25 h."""
    hours = seconds / 3600
    return duration(seconds) if round(seconds / 60) < 100 else f"{hours:.1f} h" if hours < 9.95 else f"{hours:.0f} h"


def signed(value: float) -> str:
    """A difference of EERs: +.012, -.003; .000 without a sign."""
    text = f"{value:+.3f}".replace("0.", ".", 1)
    return text if text.strip("+-.0") else ".000"


def probability(p: float) -> str:
    """A probability in two places, that of neither 0 nor 1: .71, < .01, > .99."""
    return "< .01" if p < 0.005 else "> .99" if p > 0.995 else decimal(p, 2)


def seeds_in_words(seeds: Sequence[int]) -> str:
    """Seeds as words: "seed 0", "seeds 0 and 1", "seeds 0 to 2"."""
    first, *others = seeds
    if not others:
        return f"seed {first}"
    return f"seeds {first} {'and' if len(others) == 1 else 'to'} {others[-1]}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int, right: int = 0) -> str:
    """A table in Markdown; the first `left` and the last `right` columns are text, the others numbers."""
    marks = [*["---"] * left, *["---:"] * (len(header) - left - right), *["---"] * right]
    lines = [header, marks, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
