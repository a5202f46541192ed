"""What the trials of a space hear, and which of them a corpus without stereo recordings cannot run."""

import hashlib
import json
from typing import Any

from audiotag.corpus.corpus import Corpus, CorpusError
from audiotag.corpus.validate import stereo_problem
from audiotag.features.log_mel import LogMel
from audiotag.models.build import front_end
from search_spaces import Space
from study.format import trial_name
from study.ledger.context import Base, resolve
from study.search.space import check_space, configurations, configured, listed


def front_ends(space: Space, base: Base, left_out: list[dict[str, Any]]) -> list[LogMel]:
    """The front ends of the trials that are run, each once, in an order that stays."""
    skipped = [configured(space, row["params"]) for row in left_out]
    there = [parameters for parameters in configurations(space) if parameters not in skipped]
    return sorted({front_end(resolve(base, parameters)) for parameters in there}, key=repr)


def hears_stereo(space: Space) -> bool:
    """Whether any trial of a space needs stereo recordings.

    Raises:
        SpaceError: for a space that does not fit.
    """
    check_space(space, {})
    return any(settings.imd for settings in front_ends(space, {}, []))


def leave_out(space: Space, corpus: Corpus, base: Base, varied: list[str]) -> list[dict[str, Any]]:
    """The trials, by name and parameters, that need stereo recordings which the corpus does not have.

    Raises:
        CorpusError: when nothing would be left, or the space has no end and may draw such a trial at any time.
    """
    hear = [(row, resolve(base, row)) for row in configurations(space)]
    needing = [(row, config.to_dict()) for row, config in hear if front_end(config).imd]
    if not needing or (problem := stereo_problem(corpus)) is None:
        return []
    names = list(dict.fromkeys(trial_name(config, varied) for _, config in needing))
    every = listed(space)
    if len(needing) == len(hear) or every is None:
        shown = "; ".join(names[:4]) + (f"; and {len(names) - 4} more" if len(names) > 4 else "")
        raise CorpusError(
            f"The corpus `{corpus.name}` lacks the stereo recordings that these trials of the space `{space.name}` "
            f"need: {shown}. It is about {problem}. {corpus.layout.missing_stereo}, or choose another space."
        )
    rows = {trial_name(config, varied): row for row, config in needing}
    return [
        {"name": name, "params": next(params for params in every if configured(space, params) == row)}
        for name, row in rows.items()
    ]


def stereo_fingerprint(corpus: Corpus) -> str:
    """16 hex digits that change with the stereo recordings; reads each once."""
    return hashlib.blake2b(json.dumps(corpus.stereo_digests).encode(), digest_size=8).hexdigest()
