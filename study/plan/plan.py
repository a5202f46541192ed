"""From a request to a study that is ready to run: what can be wrong is found out here."""

import os
import re
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from rich.console import Console

from audiotag.config import TrialConfig
from audiotag.corpus.corpus import Corpus
from audiotag.corpus.errors import CorpusError
from audiotag.corpus.labels import have_unknown
from audiotag.corpus.tag_names import SEPARATOR
from audiotag.declarations.own_code import BETWEEN, read_module
from audiotag.metrics import DEFAULT, METRICS
from audiotag.models.backend import check_convolution
from audiotag.training.windows import make_windows
from audiotag.uris import public_command
from search_spaces import Space, is_path, load_space, space_name
from study.cloud import shown
from study.ledger.clips import write_clips
from study.ledger.confirmation import confirmed_corpus
from study.ledger.context import Settings, StudyContext, resolve
from study.ledger.files import LedgerError
from study.ledger.ledger import Ledger
from study.ledger.mirror import fetch
from study.ledger.own_code import study_space, with_sampler
from study.ledger.provenance import continued_with, current_provenance, write_changes
from study.ledger.results import corpus_record, is_complete
from study.ledger.schema import LeftOut, StudyRecord
from study.ledger.studies import open_studies, open_study
from study.plan.asked_corpus import open_asked_corpus
from study.plan.front_ends import front_ends, leave_out, needs_stereo, stereo_fingerprint
from study.plan.kept import changed, check_front_ends, check_kept, corpus_difference
from study.plan.preflight import (
    PlanError,
    check_design,
    check_folds,
    check_loopback,
    check_losses,
    check_metric,
    check_resources,
    check_writable,
    protocol_of,
    trains_on_own_cpu,
)
from study.plan.presets import preset_settings
from study.plan.request import LOOKS, Request
from study.plan.until_clear import take_look, with_partitions
from study.plan.variants import check_variants, recordings_fingerprints, varied_configs
from study.search.space import SpaceScan, check_space, complete, scan_space, scan_trials
from study.tuning.address import check_address
from study.tuning.saving import save_seconds

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
TRIED = 32  # configurations of a user's own code


class ChangedCorpusError(PlanError):
    """A corpus that is no longer the one of the study.

    Attributes:
        root: Where it is.
        was: What it was in the study, in words.
        now: What it is now.
    """

    def __init__(self, root: Path, was: str, now: str) -> None:
        super().__init__(changed(f"the corpus {root}", was, now))
        self.root, self.was, self.now = root, was, now


@dataclass(frozen=True, eq=False)
class Plan:
    """A study that is ready to run.

    Attributes:
        root: Its folder.
        study: Its record, with the numbers of trials and partitions that are asked for.
        scan: Its space.
        corpus: Its corpus.
        ledger: Of a resumed study; None of a new one, whose folder does not exist yet.
    """

    root: Path
    study: StudyRecord
    scan: SpaceScan
    corpus: Corpus
    ledger: Ledger | None = None

    @property
    def space(self) -> Space:
        """Its space."""
        return self.scan.space

    @property
    def context(self) -> StudyContext:
        """What its trials share."""
        return StudyContext(self.study)

    @property
    def grows(self) -> bool:
        """Whether the study gets more trials or partitions than it had."""
        if self.ledger is None:
            return False
        before = self.ledger.study
        return self.study.trials > before.trials or len(self.study.partitions) > len(before.partitions)

    def open_ledger(self) -> Ledger:
        """The study's ledger: made now if the study is new, else told how it grows and which program goes on."""
        ledger, study = self.ledger or Ledger.create(self.root, self.study), self.study
        if self.ledger is not None:
            program = continued_with(ledger.study)
            ledger.update_study(trials=study.trials, drawn=study.drawn, settled=study.settled, continued_with=program)
        write_changes(self.root)
        write_clips(self.root, self.corpus)
        return ledger

    def configs(self) -> list[TrialConfig]:
        """One configuration of each model of the study, as far as the space does not set it."""
        return [self.context.config({"model": model}) for model in self.study.settings]


def make_plan(request: Request, console: Console) -> Plan:
    """The study that a request asks for, new or to be continued.

    Raises:
        ValueError: (PlanError, SpaceError, CorpusError, AudioError, LedgerError) for whatever the user must mend.
    """
    check_machine(request)
    plan = _plan_new(request, console) if request.resume is None else _plan_resumed(request, console)
    return check_plan(plan, request)


def check_machine(request: Request) -> None:
    """Check what a request asks of the machine.

    Raises:
        PlanError: For what it cannot give.
        AddressError: For an address at which no study can run.
        SettingError: For a variable of the environment that cannot be used.
    """
    save_seconds(1)
    check_resources(request)
    check_address(request.address)
    check_loopback(request)


def check_plan(plan: Plan, request: Request) -> Plan:
    """The plan, after its losses, convolutions, variants and own code were tried.

    Raises:
        ValueError: As `make_plan`.
    """
    _check_windows(plan)
    check_losses(plan.corpus, {plan.context.config(parameters).loss for parameters in plan.scan.parameters})
    if trains_on_own_cpu(request):
        _check_convolutions(plan)
    _try_own_code(plan)
    check_variants(varied_configs(plan.scan, plan.study.settings, plan.study.left_out), plan.corpus)
    return plan


def _plan_new(request: Request, console: Console) -> Plan:
    assert request.space is not None, "the command line asks for it"
    space = with_sampler(load_space(request.space), request.sampler)
    name = request.name or f"{space.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    if not NAME.fullmatch(name):
        raise PlanError(f"--name is {name!r}, but must be at most 100 letters, digits and . _ - (it becomes a folder).")
    root = (request.studies / name).absolute()
    fetch(root)
    if root.exists():
        raise LedgerError(
            f"The study `{name}` exists in {shown(root.parent)}: choose another --name, or --resume {name}."
        )
    check_writable(root.parent)
    scan = scan_space(space)
    check_space(scan, {})
    corpus = open_asked_corpus(request, needs_stereo(scan), console)
    check_design(request, corpus)
    check_folds(corpus, protocol_of(request, corpus), request.seed or 0)
    if request.metric is not None:
        check_metric(corpus, request.metric)
    study = _describe(name, scan, corpus, request)
    if study.most is not None:
        with_partitions(study, corpus, study.most)  # those that may come can be used
    return Plan(root, with_partitions(study, corpus, request.partitions or 1), scan, corpus)


def _plan_resumed(request: Request, console: Console) -> Plan:
    ledger = open_study(request.studies, request.resume) if request.resume else _newest_unfinished(request)
    root, study = ledger.root, ledger.study
    check_writable(root)
    check_kept(request, study)
    space = study_space(study, request.trust_code, request.space if request.space and is_path(request.space) else None)
    scan = scan_space(space) if study.confirms is None else scan_trials(space, study.confirms.configs)
    corpus = reopen_corpus(request, study, needs_stereo(scan), console)
    study = replace(study, space_path=space.path) if study.space_path else study  # it may have moved
    check_front_ends(study, scan, corpus)
    if request.trials is not None:
        if request.trials < study.trials:
            raise PlanError(f"--trials is {request.trials}, but the study has {study.trials}: it can only grow.")
        study = replace(study, trials=_count(scan, request.trials, study.settings, study.left_out))
    if request.partitions is not None:
        if request.partitions < (has := len(study.partitions)):
            raise PlanError(f"--partitions is {request.partitions}, but the study has {has}: it can only grow.")
        if study.confirms is not None and request.partitions > has:
            raise PlanError(f"--partitions is {request.partitions}, but a confirmation has {has}: leave it out.")
        study = with_partitions(study, corpus, request.partitions)
    if (look := take_look(ledger, corpus)) is not None:  # it was killed between its last training and the look
        study = look.study
    return Plan(root, study, scan, confirmed_corpus(corpus, study), ledger)


def reopen_corpus(request: Request, study: StudyRecord, stereo: bool, console: Console) -> Corpus:
    """Open the corpus of a study again, with its own folds.

    `stereo` says whether its stereo recordings are needed, too.

    Raises:
        ChangedCorpusError: For one that has changed.
        CorpusError: For one that cannot be used.
    """
    as_before = replace(
        request,
        corpus=request.corpus or study.corpus.path,
        skip_bad=request.skip_bad or bool(study.corpus.skipped),
        tag_separator=request.tag_separator or study.corpus.tag_separator,
        clip_seconds=request.clip_seconds or study.corpus.asked_seconds,
    )
    corpus = open_asked_corpus(as_before, stereo, console)
    if corpus.fingerprint != study.corpus.fingerprint and as_before.tag_separator is None:
        with suppress(CorpusError):  # an earlier version separated tags by `;` alone
            plain = open_asked_corpus(replace(as_before, tag_separator=SEPARATOR), stereo, console)
            corpus = plain if plain.fingerprint == study.corpus.fingerprint else corpus
    if corpus.fingerprint != study.corpus.fingerprint:
        raise ChangedCorpusError(corpus.root, *corpus_difference(study.corpus, corpus))
    return corpus


def _try_own_code(plan: Plan) -> None:
    """Try what is a user's own once on a small batch, with some of the hyperparameters that it may have."""
    configs = [plan.context.config(parameters) for parameters in plan.scan.parameters]
    own = {str((config.model, config.network, config.augmentation, config.augmenting)): config for config in configs}
    for config in islice((config for config in own.values() if config.own_names), TRIED):
        from audiotag.training.try_out import try_out  # imports torch

        front_end = config.front_end
        frames = front_end.frames(front_end.samples(config.crop_seconds or plan.corpus.clip_seconds))
        try_out(config, frames, len(plan.corpus.tags), have_unknown(plan.corpus.targets))


def _check_windows(plan: Plan) -> None:
    """Refuse trials that crop clips to more than there is of them, or to less than the front end takes."""
    for parameters in plan.scan.parameters:
        try:
            make_windows(plan.context.config(parameters), plan.corpus)
        except ValueError as error:
            raise PlanError(str(error)) from error


def _check_convolutions(plan: Plan) -> None:
    """Refuse trials whose recorded convolution this machine cannot compute."""
    for parameters in plan.scan.parameters:
        check_convolution(plan.context.config(parameters).get("convolution"), "cpu")


def _newest_unfinished(request: Request) -> Ledger:
    found, name = [], request.space or ""
    place = os.path.abspath(name) if is_path(name) else None
    for ledger in open_studies(request.studies):
        if ledger.study.space == space_name(name) and not is_complete(ledger):
            found.append((ledger.study.space_path == place, ledger.study.created, ledger))
    if not found:
        raise PlanError(
            f"There is no unfinished study of the space `{request.space}` in {shown(request.studies)}: "
            "give its name, or start one without --resume."
        )
    return max(found, key=lambda each: each[:-1])[-1]


def _describe(name: str, scan: SpaceScan, corpus: Corpus, request: Request) -> StudyRecord:
    """The record of a new study."""
    space, now = scan.space, current_provenance()
    settings = preset_settings(set(scan.models), corpus.layout.quick, request, space.code)
    varied = check_space(scan, settings)
    left_out = leave_out(scan, corpus, settings, varied)
    used = front_ends(scan, settings, left_out)
    return StudyRecord(
        name=name,
        id=uuid.uuid4().hex,
        space=space.name,
        space_fingerprint=space.fingerprint,
        space_source=space.source,
        space_helpers=space.helpers,
        space_path=space.path or None,
        own_modules=_modules_in_use(scan, settings),
        question=space.question,
        sampler=space.sampler,
        scheduler=request.scheduler or "fifo",
        metric=request.metric or DEFAULT,
        margin=METRICS[request.metric or DEFAULT].margin if request.margin is None else request.margin,
        varied=varied,
        ranges=scan.ranges,
        baseline=space.baseline,
        trials=_count(scan, request.trials, settings, left_out),
        left_out=left_out,
        corpus=corpus_record(corpus),
        seed=request.seed or 0,
        repeats=request.repeats or 1,
        most=(request.most or LOOKS) if request.until_clear else None,
        protocol=protocol_of(request, corpus),
        settings=settings,
        stereo=stereo_fingerprint(corpus) if any(front_end.imd for front_end in used) else None,
        features=tuple(front_end.to_dict() for front_end in used),
        recordings=recordings_fingerprints(varied_configs(scan, settings, left_out)),
        **asdict(now),
        command=public_command(["python", *sys.argv]),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _modules_in_use(scan: SpaceScan, settings: Settings) -> dict[str, str] | None:
    """The texts of the modules of installed packages that define networks or augmentations of trials."""
    configs = (resolve(settings, parameters, scan.space.code) for parameters in scan.parameters)
    names = {name.partition(BETWEEN)[0] for config in configs for name in config.own_names if BETWEEN in name}
    return {name: read_module(name) for name in sorted(names)} or None


def _count(scan: SpaceScan, asked: int | None, settings: Settings, left_out: Sequence[LeftOut]) -> int:
    """Trials of a study: what is asked for, but of a space with an end never more than can be run.

    Combinations of one configuration, as where bf16 has a single convolution, are one trial.
    """
    space = scan.space
    wanted = asked or (None if space.sampler == "exhaustive" else space.trials)
    if scan.combinations is None:
        if wanted is None:
            raise PlanError(
                f"The space `{space.name}` has no end and its file no TRIALS: say how many trials with --trials N."
            )
        return wanted
    skipped = [complete(space, trial.params) for trial in left_out]
    found, cannot = (
        {str(resolve(settings, one, space.code).to_dict()) for one in some} for some in (scan.parameters, skipped)
    )
    most = len(found - cannot)
    return most if wanted is None else min(wanted, most)
