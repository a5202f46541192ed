"""From a finished study to the confirmation of what it found: which two trials, which folds, which seeds."""

import sys
import uuid
from dataclasses import asdict, replace
from datetime import UTC, datetime
from operator import attrgetter

from rich.console import Console

from audiotag.corpus.corpus import Corpus
from audiotag.corpus.errors import CorpusError
from audiotag.corpus.partitions import draw_partitions
from audiotag.uris import public_command
from study.cloud import shown
from study.format import trial_name
from study.ledger.confirmation import (
    SUFFIX,
    ConfirmationError,
    confirmation_folder,
    confirmed_corpus,
    fresh_seed,
    is_confirmation_of,
)
from study.ledger.context import resolve
from study.ledger.ledger import STUDY_FILE, Ledger
from study.ledger.mirror import fetch
from study.ledger.own_code import study_space
from study.ledger.partitions import record_partitions
from study.ledger.provenance import current_provenance
from study.ledger.results import is_complete, study_results
from study.ledger.schema import FORMAT, ConfirmedTrial, Confirms, StudyRecord, TrialResult
from study.plan.front_ends import front_ends, needs_stereo, stereo_fingerprint
from study.plan.plan import Plan, check_machine, check_plan, make_plan, reopen_corpus
from study.plan.preflight import check_writable, division_problem
from study.plan.request import Request
from study.plan.variants import recordings_fingerprints, varied_configs
from study.search.space import SpaceScan, scan_trials
from study.stats.rows import choose_baseline, make_row


def find_rows(ledger: Ledger) -> tuple[TrialResult, TrialResult]:
    """The trial that a study's cross-validation chose, and its baseline.

    Raises:
        ConfirmationError: Where there is nothing to confirm.
    """
    study = ledger.study
    if study.confirms is not None:
        raise ConfirmationError(
            f"The study `{study.name}` is itself a confirmation, of `{study.confirms.study}`: name another study."
        )
    if not is_complete(ledger):
        raise ConfirmationError(
            f"The study `{study.name}` is not finished: continue it first, with study/run.py --resume {study.name}."
        )
    done = [trial for trial in study_results(ledger, "finished").finished if trial.mean is not None]
    rows = [make_row(study.name, trial, study.varied) for trial in done]
    baseline, _ = choose_baseline(rows, study)
    best = min(rows, key=attrgetter("rank"), default=None)
    if best is None or baseline is None:
        raise ConfirmationError(f"The study `{study.name}` has no trial with a result: there is nothing to confirm.")
    if best is baseline:
        raise ConfirmationError(
            f"The study `{study.name}` chose its own baseline ({best.label}): there is no winner to confirm."
        )
    return best.result, baseline.result


def plan_confirmation(request: Request, console: Console, ledger: Ledger) -> Plan:
    """The confirmation of a study, new or to be continued; of the request only what it asks of machine and folders.

    Raises:
        ConfirmationError: For a study that has nothing to confirm, or a confirmation of other trials.
        ValueError: As `study.plan.plan.make_plan`.
    """
    if ledger.study.has_fixed_split:
        raise ConfirmationError(
            f"The study `{ledger.study.name}` is on a fixed split, of which no other folds can be drawn: to see the "
            f"rows with other seeds, run it again with --seed {ledger.study.seed + ledger.study.repeats}."
        )
    winner, baseline = find_rows(ledger)
    root = confirmation_folder(ledger.root)
    fetch(root)
    if (root / STUDY_FILE).is_file():
        _check_same(Ledger.open(root).study, ledger.study, winner, baseline)
        return make_plan(replace(request, resume=root.name), console)
    if root.exists():
        raise ConfirmationError(f"{shown(root)} is in the way of the confirmation: rename it.")
    check_machine(request)
    check_writable(root.parent)
    study = ledger.study
    space = replace(study_space(study, request.trust_code), sampler="exhaustive")
    scan = scan_trials(space, [baseline.params, winner.params])
    corpus = reopen_corpus(request, study, needs_stereo(scan), console)
    confirmed = _describe(study, scan, corpus, (winner, baseline))
    divided = confirmed_corpus(corpus, confirmed)
    if problem := division_problem(divided, study.protocol, confirmed.seed, study.metric):
        raise ConfirmationError(f"The folds that were drawn to confirm `{study.name}` cannot be used: {problem}")
    return check_plan(Plan(root, confirmed, scan, divided), request)


def _check_same(found: StudyRecord, study: StudyRecord, winner: TrialResult, baseline: TrialResult) -> None:
    """Refuse to continue a confirmation that is not of these trials."""
    of = found.confirms
    if of is None or not is_confirmation_of(found, study):
        raise ConfirmationError(
            f"The study `{found.name}` is no confirmation of `{study.name}`, but has its name: rename its folder."
        )
    if (of.winner.key, of.baseline.key) != (winner.key, baseline.key):
        names = [trial_name(config, study.varied) for config in (of.winner.config, winner.params)]
        raise ConfirmationError(
            f"The study `{found.name}` confirms {names[0]}, but `{study.name}` has grown since, and is now to be "
            f"confirmed in {names[1]}: rename the folder of the confirmation to keep it, or delete it."
        )


def _describe(
    study: StudyRecord, scan: SpaceScan, corpus: Corpus, trials: tuple[TrialResult, TrialResult]
) -> StudyRecord:
    """The record of a new confirmation."""
    seed, used = fresh_seed(study), front_ends(scan, study.settings, [])
    winner, baseline = trials
    configs = [resolve(study.settings, parameters, scan.space.code).to_dict() for parameters in scan.parameters]
    for config, trial in zip(configs, (baseline, winner), strict=True):
        if any(trial.params.get(name, value) != value for name, value in config.items()):
            raise ConfirmationError(
                f"The trials of `{study.name}` cannot be trained as they were, because an earlier version made it: "
                "run the study anew."
            )
    known = [study.clip_folds(partition) for partition in study.partitions[1:]]
    try:
        drawn = draw_partitions(corpus, seed, 2 + len(known), known)
    except CorpusError:
        raise ConfirmationError(
            f"The study `{study.name}` cannot be confirmed on other folds: groups of clips stay whole, and "
            f"`{corpus.root}` has too few of them to be divided into {len(corpus.fold_numbers)} folds in another way."
        ) from None
    differing = {name: it for name, it in configs[0].items() if configs[1].get(name) != it}
    return replace(
        study,
        name=f"{study.name}{SUFFIX}",
        id=uuid.uuid4().hex,
        seed=seed,
        trials=2,
        sampler="exhaustive",
        scheduler="fifo",
        ranges={},
        baseline={name: it for name, it in differing.items() if name in study.varied} or differing,
        left_out=(),
        stereo=stereo_fingerprint(corpus) if any(front_end.imd for front_end in used) else None,
        features=tuple(front_end.to_dict() for front_end in used),
        recordings=recordings_fingerprints(varied_configs(scan, study.settings, [])),
        drawn=(),
        most=None,
        settled=None,
        confirms=Confirms(
            study.name,
            study.id,
            ConfirmedTrial(winner.key, configs[1]),
            ConfirmedTrial(baseline.key, configs[0]),
            record_partitions(drawn, seed)[-1],
        ),
        **asdict(current_provenance()),
        continued_with=(),
        command=public_command(["python", *sys.argv]),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        folder="",
        format=FORMAT,
    )
