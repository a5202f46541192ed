"""From the command line's words to a study that is ready to run: what can be wrong is found out here."""

import argparse
import re
import shlex
import sys
import uuid
import warnings
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from audiotag.cli import progress_bar
from audiotag.config import TrialConfig
from audiotag.corpus.audio_scan import scan_cache_path
from audiotag.corpus.corpus import Corpus, open_corpus
from audiotag.features.load import default_cache, load_features
from audiotag.features.log_mel import LogMel
from audiotag.features.store import cache_bytes
from search_spaces import Space, load_space
from study import PROJECT
from study.ledger.clips import write_clips
from study.ledger.context import TrialSettings
from study.ledger.files import LedgerError
from study.ledger.ledger import STUDY_FILE, Ledger
from study.ledger.provenance import carried_on, made_with
from study.ledger.results import corpus_record, is_complete
from study.plan.preflight import PlanError, check_address, check_folds, check_resources, check_writable
from study.plan.presets import budgets

CHIME_HOME, SYNTHETIC = PROJECT / "data" / "chime_home", PROJECT / "data" / "synthetic"
EARLIER = {"repeats": 1, "scheduler": "fifo"}  # of studies begun before there was a choice
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, eq=False)
class Plan:
    """A study that is ready to run: `study` is the content of its study.json."""

    root: Path
    study: dict[str, Any]
    space: Space
    corpus: Corpus
    settings: TrialSettings
    resumed: bool
    grown: bool = False  # by --trials, in a resumed study

    @property
    def trials(self) -> int:
        """Trials in all."""
        return self.study["trials"]

    def ledger(self) -> Ledger:
        """The study's ledger, made now if the study is new, and told if another program goes on with it."""
        if self.resumed:
            ledger, study = Ledger.open(self.root), carried_on(self.study)
            if self.grown or study != self.study:
                ledger.write_study(study)
        else:
            ledger = Ledger.create(self.root, self.study)
        write_clips(self.root, self.corpus)
        return ledger


def make_plan(arguments: argparse.Namespace, console: Console) -> Plan:
    """The study that the command line asks for, new or to be continued.

    Raises:
        ValueError: (PlanError, SpaceError, CorpusError, AudioError, LedgerError) for whatever the user must mend.
    """
    check_resources(arguments)
    check_address(arguments.address)
    if arguments.resume is not None:
        return _resumed_plan(arguments, console)
    space = sampled(load_space(arguments.space), arguments.sampler)
    name = arguments.name or f"{space.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    if not NAME.fullmatch(name):
        raise PlanError(f"--name is {name!r}, but must be at most 100 letters, digits and . _ - (it becomes a folder).")
    root = (arguments.studies / name).absolute()
    if root.exists():
        raise LedgerError(f"The study `{name}` exists in {root.parent}: choose another --name, or --resume {name}.")
    check_writable(root.parent)
    corpus = _open(arguments.corpus, arguments.skip_bad, space, arguments.cache, console)
    check_folds(corpus, arguments)
    study = _describe(name, space, corpus, arguments)
    return Plan(root, study, space, corpus, _settings(root, study), resumed=False)


def _resumed_plan(arguments: argparse.Namespace, console: Console) -> Plan:
    root = (arguments.studies / arguments.resume).absolute() if arguments.resume else _newest_unfinished(arguments)
    study = Ledger.open(root).study()
    check_writable(root)
    asked = {
        name: getattr(arguments, name) for name in ("space", "seed", "protocol", "repeats", "sampler", "scheduler")
    }
    for name, field in (("epochs", "max_epochs"), ("precision", "precision")):
        kept = {values.get(field, getattr(TrialConfig, field)) for values in study["settings"].values()}
        if (value := getattr(arguments, name)) is not None and kept != {value}:
            raise PlanError(_changed(f"--{name}", " or ".join(map(str, kept)), value))
    for name, value in asked.items():
        was = study.get(name, EARLIER.get(name))
        if value is not None and value != was:
            raise PlanError(_changed(f"--{name}", was, value))
    space = sampled(load_space(study["space"]), study.get("sampler"))
    if space.fingerprint != study["space_fingerprint"]:
        was, now = first_difference(study.get("space_source", ""), space.source)
        raise PlanError(_changed(f"the file of the space `{space.name}`", was, now))
    skip_bad = arguments.skip_bad or bool(study["corpus"].get("skipped"))
    corpus = _open(arguments.corpus or study["corpus"]["path"], skip_bad, space, arguments.cache, console)
    if corpus.fingerprint != study["corpus"]["fingerprint"]:
        raise PlanError(_changed(f"the corpus {corpus.root}", *_corpus_difference(study["corpus"], corpus)))
    _check_hearing(study, space, corpus)
    if arguments.trials is not None and arguments.trials < study["trials"]:
        raise PlanError(f"--trials is {arguments.trials}, but the study has {study['trials']}: it can only grow.")
    trials = study["trials"] if arguments.trials is None else _count(space, arguments.trials, len(study["left_out"]))
    grown = {**study, "trials": trials}
    return Plan(root, grown, space, corpus, _settings(root, study), resumed=True, grown=grown != study)


def _check_hearing(study: dict[str, Any], space: Space, corpus: Corpus) -> None:
    from study.plan.front_ends import front_ends, stereo_fingerprint

    heard = [settings.to_dict() for settings in front_ends(space, study["settings"], study["left_out"])]
    if heard != study["features"]:
        raise PlanError(_changed("what the systems hear", study["features"], heard))
    if study.get("stereo") is not None and (now := stereo_fingerprint(corpus)) != study["stereo"]:
        raise PlanError(_changed(f"the stereo recordings of {corpus.root}", study["stereo"], now))


def _changed(what: str, was: Any, now: Any) -> str:
    return (
        f"A study keeps its settings: {what} was {was}, now it is {now}. "
        "Resume it as it was, or start a new study with another --name."
    )


def first_difference(was: str, now: str) -> tuple[str, str]:
    """The first line in which two texts differ, as each has it."""
    for number, (old, new) in enumerate(zip_longest(was.splitlines(), now.splitlines()), start=1):
        if old != new:
            line = [f"{text.strip()!r} in line {number}" if text is not None else "shorter" for text in (old, new)]
            return line[0], line[1]
    return "another one", "this one"


def _corpus_difference(was: dict[str, Any], corpus: Corpus) -> tuple[str, str]:
    """What is not the same in a corpus: the first figure that differs, else that it is within the clips."""
    now = corpus_record(corpus)
    for name in ("tags", "folds", "development_clips", "evaluation_clips", "clip_seconds"):
        if was.get(name) != now[name]:
            return f"{name} {was.get(name)}", f"{name} {now[name]}"
    return f"{was['fingerprint']}", f"{now['fingerprint']} (names, labels, folds or audio of some clips)"


def _newest_unfinished(arguments: argparse.Namespace) -> Path:
    found = []
    for path in arguments.studies.glob(f"[!.]*/{STUDY_FILE}"):
        try:
            ledger = Ledger.open(path.parent)
        except LedgerError as error:  # somebody else's trouble: said, and passed over
            warnings.warn(str(error), RuntimeWarning, stacklevel=1)
            continue
        if ledger.study()["space"] == arguments.space and not is_complete(ledger):
            found.append((ledger.study()["created"], path.parent))
    if not found:
        raise PlanError(
            f"There is no unfinished study of the space `{arguments.space}` in {arguments.studies}: "
            "give its name, or start one without --resume."
        )
    return max(found)[1].absolute()


def _open(path: str | Path | None, skip_bad: bool, space: Space, cache: Path | None, console: Console) -> Corpus:
    """The corpus of a study at a path; by default CHiME-Home where it is there, else the synthetic one."""
    if path is None and (CHIME_HOME / "chunks").is_dir():
        path = CHIME_HOME
    if path is None or str(path) == "synthetic" or Path(path).absolute() == SYNTHETIC:
        from audiotag.synthetic.corpus import write_synthetic_corpus

        with progress_bar(console) as bar:
            task = bar.add_task("writing the synthetic corpus", total=None)
            path = write_synthetic_corpus(
                SYNTHETIC, progress=lambda n, total: bar.update(task, completed=n, total=total)
            )
    from study.plan.front_ends import hears_stereo

    with progress_bar(console) as bar:
        task = bar.add_task("checking the audio", total=None)
        return open_corpus(
            path,
            skip_bad=skip_bad,
            stereo=hears_stereo(space),
            progress=lambda n, total: bar.update(task, completed=n, total=total),
            scan_cache=scan_cache_path(_cache(cache), path),
        )


def _cache(asked: Path | None) -> Path:
    return asked or default_cache() / "features"


def features_of(plan: Plan, cache: Path | None, console: Console) -> dict[LogMel, np.ndarray]:
    """For each front end that a trial may need the features of all clips (N, T, F), from the cache or computed now."""
    from study.plan.front_ends import front_ends

    cache = _cache(cache)
    needed = front_ends(plan.space, plan.settings.base, plan.study["left_out"])
    found = {}
    with progress_bar(console) as bar:
        for number, heard in enumerate(needed, start=1):
            task = bar.add_task(f"computing features ({number} of {len(needed)})", total=None)

            def progress(done: int, total: int, task: Any = task) -> None:
                bar.update(task, completed=done, total=total)

            found[heard] = load_features(plan.corpus, heard, cache, progress)
    megabytes = cache_bytes(cache) / 1e6
    console.print(f"Features {megabytes:.0f} MB in {cache}, which may be deleted at any time", soft_wrap=True)
    return found


def _settings(root: Path, study: dict[str, Any]) -> TrialSettings:
    return TrialSettings(
        ledger=str(root),
        base=study["settings"],
        fingerprint=study["corpus"]["fingerprint"],
        seed=study["seed"],
        protocol=study["protocol"],
        repeats=study.get("repeats", 1),
        stereo=study.get("stereo"),
    )


def _describe(name: str, space: Space, corpus: Corpus, arguments: argparse.Namespace) -> dict[str, Any]:
    """The content of study.json."""
    from study.plan.front_ends import front_ends, leave_out, stereo_fingerprint
    from study.search.space import check_space, models, ranges

    base = budgets(models(space), corpus.kind == "synthetic", arguments.epochs, arguments.precision)
    varied = check_space(space, base)
    left_out = leave_out(space, corpus, base, varied)
    heard = front_ends(space, base, left_out)
    return {
        "study": name,
        "id": uuid.uuid4().hex,
        "space": space.name,
        "space_fingerprint": space.fingerprint,
        "space_source": space.source,
        "question": space.question,
        "sampler": space.sampler,
        "scheduler": arguments.scheduler or "fifo",
        "varied": varied,
        "ranges": ranges(space),
        "baseline": space.baseline,
        "trials": _count(space, arguments.trials, len(left_out)),
        "left_out": left_out,
        "corpus": corpus_record(corpus),
        "seed": arguments.seed or 0,
        "repeats": arguments.repeats or 1,
        "protocol": arguments.protocol or "paper",
        "settings": base,
        "stereo": stereo_fingerprint(corpus) if any(settings.imd for settings in heard) else None,
        "features": [settings.to_dict() for settings in heard],
        **made_with(),
        "command": shlex.join(["python", *sys.argv]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def sampled(space: Space, sampler: str | None) -> Space:
    """A space with another sampler than its own, where one is given."""
    return space if sampler is None else replace(space, sampler=sampler)


def _count(space: Space, asked: int | None, left_out: int) -> int:
    """Trials of a study: what is asked for, but of a space with an end never more than can be run."""
    from study.search.space import listed

    wanted = asked or (None if space.sampler == "exhaustive" else space.trials)
    every = listed(space)
    if every is None and wanted is None:
        raise PlanError(
            f"The space `{space.name}` has no end and its file no TRIALS: say how many trials with --trials N."
        )
    there = len(every) - left_out if every is not None else None
    return min(count for count in (wanted, there) if count is not None)
