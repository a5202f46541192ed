"""A held-out clip on the page: its sound, its tags, and what the rows of the study make of it."""

from collections.abc import Sequence

import numpy as np

from study.format import decimal
from study.ledger.results import plain
from study.listening.choice import Choice
from study.listening.drawing import Piece, draw_lane, draw_spectrogram, frequency_ticks, highest_points, time_ticks
from study.listening.held_out import Heard
from study.listening.page import Fact, Lane, Player
from study.listening.question import Question, Row

LANES = 3  # of a clip, unless it was chosen for more tags, or has more


def anchor_of(clip: int) -> str:
    """The name of a clip in addresses."""
    return f"clip-{clip}"


def clip_player(question: Question, clip: int, why: Sequence[Choice], heard: Heard, source: str) -> Player:
    """A clip with all that it was chosen for; `source` is the address of its sound."""
    front_end = question.winner.config.front_end
    seconds = heard.wave.shape[-1] / front_end.sample_rate
    tags = ", ".join(question.tags_of(clip)) or "none"
    fold = "" if question.winner.study.has_fixed_split else f" Fold {question.clips.folds[clip]}."
    return Player(
        anchor=anchor_of(clip),
        name=str(question.clips.names[clip]),
        seconds=seconds,
        source=source,
        image=draw_spectrogram(heard.track.bands[0]),
        frequencies=frequency_ticks(front_end),
        times=time_ticks(seconds),
        lanes=[_lane(question, clip, tag, heard, seconds) for tag in _shown_tags(question, clip, why)],
        why=[f"{question.title(choice.kind)}: {question.tags[choice.tag]}" for choice in why],
        notes=[f"Annotated: {tags}.{fold}"],
    )


def _shown_tags(question: Question, clip: int, why: Sequence[Choice]) -> list[int]:
    """The tags that a clip was chosen for, those that it has, and while there is room those with the highest scores."""
    needed = dict.fromkeys(
        [*(choice.tag for choice in why), *np.flatnonzero(question.clips.targets[clip] > 0).tolist()]
    )
    likeliest = np.argsort(-question.rows[0].scored.scores[clip], kind="stable").tolist()
    return list(dict.fromkeys([*needed, *likeliest]))[: max(LANES, len(needed))]


def _lane(question: Question, clip: int, tag: int, heard: Heard, seconds: float) -> Lane:
    first = question.rows[0].scored
    target = float(question.clips.targets[clip, tag])
    kind = "" if np.isnan(target) else "wrong" if first.wrong[clip, tag] else "right"
    piece = Piece(0.0, seconds, float(first.scores[clip, tag]), kind)
    top = float(highest_points(heard.track)[tag]) if heard.has_curves else None
    paths = draw_lane(heard.track, [piece], tag, plain(first.thresholds[clip, tag]), top, seconds)
    facts = [_fact(row, clip, tag) for row in question.rows]
    annotation = "unknown" if np.isnan(target) else "annotated" if target else ""
    return Lane(question.tags[tag], annotation, facts, paths)


def _fact(row: Row, clip: int, tag: int) -> Fact:
    """What a row makes of a tag: "winner .030 (threshold .410): missed"."""
    scored = row.scored
    score, threshold = float(scored.scores[clip, tag]), plain(scored.thresholds[clip, tag])
    if threshold is None:
        return Fact(f"{row.word} {decimal(score)} (no threshold)")
    verdict = "missed" if scored.missed[clip, tag] else "false alarm" if scored.false_alarms[clip, tag] else ""
    text = f"{row.word} {decimal(score)} (threshold {decimal(threshold)})"
    if np.isnan(scored.targets[clip, tag]):
        return Fact(text)
    return Fact(f"{text}: {verdict}" if verdict else text, "wrong" if verdict else "right")
