"""What a resumed study keeps: options, corpus and front ends that would change it are refused."""

from typing import Any

from audiotag.corpus.corpus import Corpus
from search_spaces import space_name
from study.ledger.context import resolve
from study.ledger.results import corpus_record
from study.ledger.schema import CorpusRecord, StudyRecord
from study.plan.front_ends import front_ends, stereo_fingerprint
from study.plan.preflight import PlanError
from study.plan.request import Request
from study.plan.variants import recordings_fingerprints, varied_configs
from study.search.space import SpaceScan

KEPT = ("space", "seed", "protocol", "repeats", "sampler", "scheduler", "metric", "margin")  # options


def check_kept(request: Request, study: StudyRecord) -> None:
    """Refuse options that would change what a study keeps."""
    _check_looks(request, study)
    for option, name in (("epochs", "max_epochs"), ("precision", "precision")):
        kept = {getattr(resolve(study.settings, {"model": model}, study.code), name) for model in study.settings}
        if (value := getattr(request, option)) is not None and kept != {value}:
            raise PlanError(changed(f"--{option}", " or ".join(map(str, kept)), value))
    for option in KEPT:
        was, value = getattr(study, option), getattr(request, option)
        if option == "space" and value is not None:
            value = space_name(value)
        if value is not None and value != was:
            raise PlanError(changed(f"--{option}", was, value))


def _check_looks(request: Request, study: StudyRecord) -> None:
    """Refuse options that would change how often the comparisons of a study are looked at, or how many there are."""
    if (request.until_clear or request.most is not None) and not study.is_until_clear:
        raise PlanError(
            f"--until-clear is given, but `{study.name}` was not begun with it, and looks that nobody planned cannot "
            "be allowed for: start a new study with it, or leave it out."
        )
    if not study.is_until_clear:
        return
    if request.most not in (None, study.most):
        raise PlanError(changed("--most", study.most, request.most))
    for option, value in (("--partitions", request.partitions), ("--trials", request.trials)):
        if value is not None:
            raise PlanError(
                f"{option} is {value}, but a study with --until-clear cannot grow, because its comparisons were "
                f"planned in advance: leave {option} out, or start a new study."
            )


def check_front_ends(study: StudyRecord, scan: SpaceScan, corpus: Corpus) -> None:
    """Refuse a space or recordings that would change the features of a study."""
    used = tuple(front_end.to_dict() for front_end in front_ends(scan, study.settings, study.left_out))
    if used != study.features:
        raise PlanError(changed("the front ends", list(study.features), list(used)))
    if study.stereo is not None and (now := stereo_fingerprint(corpus)) != study.stereo:
        raise PlanError(changed(f"the stereo recordings of {corpus.root}", study.stereo, now))
    recordings = recordings_fingerprints(varied_configs(scan, study.settings, study.left_out))
    if recordings != study.recordings:
        raise PlanError(changed("the recordings for the background", study.recordings, recordings))


def changed(what: str, was: Any, now: Any) -> str:
    """The line that refuses what would change a study."""
    return (
        f"A study keeps its settings: {what} was {was}, now it is {now}. "
        "Resume it as it was, or start a new study with another --name."
    )


def corpus_difference(was: CorpusRecord, corpus: Corpus) -> tuple[str, str]:
    """What differs in a corpus: the first figure that does, else something within the clips."""
    now = corpus_record(corpus)
    for name in ("tags", "folds", "development_clips", "evaluation_clips", "clip_seconds"):
        if (old := getattr(was, name)) != (new := getattr(now, name)):
            return f"{name} {old}", f"{name} {new}"
    return was.fingerprint, f"{now.fingerprint} (names, labels, folds or audio of some clips)"
