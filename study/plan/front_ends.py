"""The front ends of a space's trials, and the trials that a corpus without stereo recordings cannot run."""

import hashlib
import json
from collections.abc import Sequence

from audiotag.config import TrialConfig
from audiotag.corpus.corpus import Corpus, CorpusError
from audiotag.corpus.validate import stereo_problem
from audiotag.features.log_mel import LogMel
from study.format import trial_name
from study.ledger.context import Settings, resolve
from study.ledger.schema import LeftOut
from study.search.space import SpaceScan, complete


def front_ends(scan: SpaceScan, settings: Settings, left_out: Sequence[LeftOut]) -> list[LogMel]:
    """The front ends of the trials that are run, each once, in a stable order."""
    return sorted({config.front_end for config in used_configs(scan, settings, left_out)}, key=repr)


def used_configs(scan: SpaceScan, settings: Settings, left_out: Sequence[LeftOut]) -> list[TrialConfig]:
    """The configurations of the trials that are run, as far as they are known."""
    skipped = [complete(scan.space, trial.params) for trial in left_out]
    used = [parameters for parameters in scan.parameters if parameters not in skipped]
    return [resolve(settings, parameters, scan.space.code) for parameters in used]


def needs_stereo(scan: SpaceScan) -> bool:
    """Whether any trial of a space needs stereo recordings."""
    return any(used.imd for used in front_ends(scan, {}, []))


def leave_out(scan: SpaceScan, corpus: Corpus, settings: Settings, varied: Sequence[str]) -> tuple[LeftOut, ...]:
    """The trials that need stereo recordings which the corpus does not have.

    Raises:
        CorpusError: If nothing would be left, or the space has no end and may draw such a trial at any time.
    """
    configs = [(parameters, resolve(settings, parameters, scan.space.code)) for parameters in scan.parameters]
    needing = [(parameters, config.to_dict()) for parameters, config in configs if config.front_end.imd]
    if not needing or (problem := stereo_problem(corpus)) is None:
        return ()
    names = list(dict.fromkeys(trial_name(config, varied) for _, config in needing))
    if len(needing) == len(configs) or scan.combinations is None:
        shown = "; ".join(names[:4]) + (f"; and {len(names) - 4} more" if len(names) > 4 else "")
        raise CorpusError(
            f"The corpus `{corpus.name}` lacks the stereo recordings that these trials of the space "
            f"`{scan.space.name}` need: {shown}. The reason: {problem}. {corpus.layout.missing_stereo}, "
            "or choose another space."
        )
    rows = {trial_name(config, varied): parameters for parameters, config in needing}
    combinations = dict(zip(map(repr, scan.parameters), scan.combinations, strict=True))
    return tuple(LeftOut(name, combinations[repr(parameters)]) for name, parameters in rows.items())


def stereo_fingerprint(corpus: Corpus) -> str:
    """16 hex digits that change with the stereo recordings; reads each once."""
    return hashlib.blake2b(json.dumps(corpus.stereo_digests).encode(), digest_size=8).hexdigest()
