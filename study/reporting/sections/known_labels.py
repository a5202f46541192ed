"""On how many clips each tag is judged, where some labels are unknown."""

import numpy as np

from audiotag.corpus.errors import count
from audiotag.corpus.labels import count_known, have_unknown
from audiotag.corpus.tables import EVALUATION
from study.ledger.clips import Clips
from study.reporting.section import Section
from study.reporting.tables import Line, Table, tag_names
from study.stats.analysis import Analysis

INTRO = (
    "Of some clips it is unknown whether they have a tag. Such a label takes no part in training and early stopping, "
    "nor in the figures of its tag and their intervals; the clip counts for its other tags."
)


def known_labels(analysis: Analysis) -> Section | None:
    """A line per tag; None where every label is known."""
    clips = analysis.ledger.clips()
    if clips is None or not have_unknown(clips.targets):
        return None
    table = _table(analysis, clips)
    text = f"{INTRO}\n\n{table.markdown()}"
    return Section("Known labels", intro=INTRO, tables=[table], markdown=text)


def _table(analysis: Analysis, clips: Clips) -> Table:
    study, names = analysis.study, tag_names(analysis.study)
    parts = {"judged on": np.isin(clips.folds, study.folds)}
    if (evaluation := clips.folds == EVALUATION).any():
        parts["evaluated on"] = evaluation
    header, columns = ["tag"], []
    for name, members in parts.items():
        targets, clip_count = clips.targets[members], count(int(members.sum()), "clip")
        columns.append([f"{number} of {clip_count}" for number in count_known(targets).tolist()])
        columns.append([str(number) for number in (targets > 0).sum(axis=0).tolist()])
        header += [name, "have it"]
    lines = [Line([names.get(tag, tag), *cells]) for tag, *cells in zip(study.tags, *columns, strict=True)]
    return Table("On how many clips each tag is judged", header, lines)
