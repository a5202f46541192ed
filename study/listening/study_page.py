"""The page of a study: made of the clips for which there is room, the most important ones first."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from markupsafe import Markup
from rich.console import Console

from audiotag.cli import progress_bar
from audiotag.corpus.corpus import Corpus
from audiotag.features.load import one_torch_thread
from study.ledger.files import write_text
from study.listening.choice import by_clip
from study.listening.clip_player import clip_player
from study.listening.held_out import FoldModels, Heard, ListenError
from study.listening.options import Options
from study.listening.page import FILE, MEGABYTE
from study.listening.question import Question
from study.listening.sound import embedded, encode_opus, linked
from study.listening.study_parts import Content, lay_out

BATCH = 64  # clips that are read and scored at a time


def write_study_page(question: Question, corpus: Corpus, options: Options, console: Console) -> Path:
    """Write a study's page into its folder; return its path.

    Raises:
        ListenError: For a limit that leaves no room for any clip.
        AudioError: For a clip that cannot be read.
        WriteError: Where the disk does not take it.
    """
    models, path = FoldModels(question.winner, corpus), question.winner.ledger.root / FILE
    content = Content({}, 0.0, models.has_curves)
    most = round(options.limit * MEGABYTE)
    room = most
    with progress_bar(console) as bar, one_torch_thread():
        chosen = len({choice.clip for choice in question.choices})
        for clip, heard in bar.track(_hear(question, models), chosen, description="Listening to clips"):
            content.players[clip] = _player(question, clip, heard, models, options.link)
            stored = question.rows[0].scored.scores[clip]
            content.deviation = max(content.deviation, float(np.abs(heard.scores - stored).max()))
            room -= len(content.players[clip].encode())
            if room < 0:
                break
    while len((page := lay_out(question, corpus, options, content).html()).encode()) > most:
        if len(content.players) <= 1:
            needed = len(page.encode()) / MEGABYTE
            raise ListenError(
                f"--limit is {options.limit:g} MB, but a page with one clip takes {needed:.2g}: allow more."
            )
        content.players.popitem()
    write_text(path, page)
    return path


def _player(question: Question, clip: int, heard: Heard, models: FoldModels, link: bool) -> Markup:
    why = [choice for choice in question.choices if choice.clip == clip]
    if link:
        source = linked(models.path(str(question.clips.names[clip])), question.winner.ledger.root)
    else:
        source = embedded(encode_opus(heard.wave, question.winner.config.front_end.sample_rate), "audio/ogg")
    return clip_player(question, clip, why, heard, source).html()


def _hear(question: Question, models: FoldModels) -> Iterator[tuple[int, Heard]]:
    """The chosen clips, the most important first."""
    chosen, clips = by_clip(question.choices), question.clips
    for first in range(0, len(chosen), BATCH):
        some = chosen[first : first + BATCH]
        yield from zip(some, models.hear(clips.names[some].tolist(), clips.folds[some].tolist()), strict=True)
