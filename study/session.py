"""One session of a study, from the first line on the terminal to the last: plan, train, results, what comes next."""

import argparse
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from audiotag.cli import FINISHED, INTERRUPTED
from audiotag.config import TrialConfig
from audiotag.features.log_mel import LogMel
from audiotag.models.cpu.compiled import COMPILED
from study import PROJECT
from study.cli import SOME_FAILED, STUDIES
from study.ledger.files import LedgerError
from study.ledger.ledger import STUDY_FILE, Ledger
from study.ledger.provenance import continuations
from study.ledger.results import is_complete, study_results
from study.ledger.seeds import seeds_in_words
from study.plan.plan import Plan, features_of, make_plan
from study.plan.preflight import lacks_bf16
from study.report import report_command, show_next, show_results, write_results
from study.reporting.live_table import LiveTable
from study.reporting.tables import left_out
from study.search.asha import Rungs, rungs_in_words
from study.tracking.mlflow_store import check_server, default_uri, load_mlflow, public
from study.tracking.optuna_db import OptunaView, is_current
from study.tracking.tracker import Tracker

Hold = Callable[[], AbstractContextManager[None]]  # of signals, for as long as a block runs
CATCH_UP = {"finished": 60.0, "interrupted": 10.0}  # s that the end of a session waits for MLflow


def run_session(arguments: argparse.Namespace, console: Console, hold_signals: Hold) -> int:
    """Plans and runs what the command line asks for; returns the exit code.

    Raises:
        ValueError: of one of the project's own kinds, for a user's mistake; no study folder has been made then.
    """
    uri = arguments.tracking_uri or default_uri(PROJECT)
    check_server(uri)
    plan = make_plan(arguments, console)
    announce(plan, uri, console)
    try:
        ledger = run_plan(plan, arguments, uri, console, hold_signals)
        return conclude(ledger, arguments, uri, console)
    except KeyboardInterrupt:
        if not (plan.root / STUDY_FILE).is_file():
            raise
        console.print("Interrupted. What was trained is kept; continue with:")
        console.print(resume_command(plan.root, arguments), soft_wrap=True)
        return INTERRUPTED


def run_plan(plan: Plan, arguments: argparse.Namespace, uri: str, console: Console, hold_signals: Hold) -> Ledger:
    """Trains what the study lacks, or only brings its views up to date where it lacks nothing."""
    if plan.resumed:
        ledger = Ledger.open(plan.root)
        with ledger.locked():  # refused at once while another driver holds it
            complete = is_complete(ledger) and not plan.grown
            if complete:
                console.print(f"The study {plan.root.name} is finished; there is nothing left to do.")
                tracker = make_tracker(ledger, uri, console)
                tracker.start()
                view = make_view(plan, ledger, console)
                if not is_current(ledger):
                    view.start()
                close(ledger, tracker, view, "finished", arguments, console)  # it may have been killed at its very end
        if complete:
            return ledger
    features = features_of(plan, arguments.cache, console)
    from study.tuning.cluster import start_ray, stop_ray

    try:
        with hold_signals():  # an exception in the middle of its start is more than Ray survives
            per_trial = start_ray(
                arguments.cpus_per_trial, arguments.gpus_per_trial, arguments.address, meanwhile=load_mlflow
            )
        ledger = plan.ledger()
        with ledger.locked():
            train(plan, ledger, features, per_trial, arguments, uri, console, stop_ray)
    finally:
        stop_ray()
    return ledger


def train(
    plan: Plan,
    ledger: Ledger,
    features: dict[LogMel, np.ndarray],
    per_trial: dict[str, float],
    arguments: argparse.Namespace,
    uri: str,
    console: Console,
    stop_ray: Callable[[], None],
) -> None:
    """Runs the trials that are left and writes the results, partial ones where it is interrupted."""
    from study.search.searcher import make_search
    from study.tuning.cluster import count_slots
    from study.tuning.tune import run_trials

    done = len(study_results(ledger, "interrupted")["trials"])
    left = plan.trials - done
    slots = min(count_slots(per_trial), left)
    console.print(resources_line(per_trial, slots))
    for change in continuations(ledger.study())[len(continuations(plan.study)) :]:
        console.print(f"note: goes on with another program than before ({change})", style="yellow", soft_wrap=True)
    for slow in (bf16_note(plan, per_trial, arguments.address), kernels_note(per_trial, arguments.address)):
        if slow:
            console.print(slow, style="yellow", soft_wrap=True)
    tracker, view = make_tracker(ledger, uri, console), make_view(plan, ledger, console)
    live = LiveTable(
        console,
        plan.study["varied"],
        trials=plan.trials,
        done=done,
        folds=list(plan.corpus.fold_numbers),
        slots=slots,
        max_epochs=max(config.max_epochs for config in model_configs(plan)),
        seeds=plan.settings.seeds,
    )
    search = make_search(plan.space, ledger, plan.settings)
    tracker.start()
    view.start()
    status = "interrupted"
    try:
        with live:
            run_trials(
                search,
                plan.settings,
                plan.corpus,
                features,
                trials=left,
                slots=slots,
                per_trial=per_trial,
                listeners=[live, tracker, view],
                scheduler=make_scheduler(plan, ledger),
            )
        status = "finished"
    except BaseException:
        stop_ray()
        with suppress(LedgerError):  # where the disk is full: told already
            close(ledger, tracker, view, status, arguments, console)
        raise
    stop_ray()
    close(ledger, tracker, view, status, arguments, console)


def make_tracker(ledger: Ledger, uri: str, console: Console) -> Tracker:
    """MLflow's thread, whose warnings go to the terminal."""
    return Tracker(ledger, uri, warn=lambda text: console.print(text, style="yellow", soft_wrap=True))


def make_view(plan: Plan, ledger: Ledger, console: Console) -> OptunaView:
    """The thread of optuna.db, whose warning goes to the terminal."""
    return OptunaView(ledger, plan.space, warn=lambda text: console.print(text, style="yellow", soft_wrap=True))


def make_scheduler(plan: Plan, ledger: Ledger) -> Any:
    """What stops weak trials; None where all run to their end."""
    if plan.study.get("scheduler") != "asha":
        return None
    from study.tuning.scheduler import FoldScheduler

    return FoldScheduler(Rungs(ledger), plan.settings)


def close(
    ledger: Ledger, tracker: Tracker, view: OptunaView, status: str, arguments: argparse.Namespace, console: Console
) -> None:
    """Writes the results and brings MLflow and optuna.db up to date."""
    try:
        write_results(ledger, status)
    finally:
        view.close()
        if not tracker.close(status, CATCH_UP[status]):
            later = report_command(ledger.root, arguments.studies, arguments.tracking_uri)
            console.print(f"MLflow is behind; later: {later}", style="yellow", soft_wrap=True)


def conclude(ledger: Ledger, arguments: argparse.Namespace, uri: str, console: Console) -> int:
    """Shows the results and the commands that come next; returns the exit code."""
    results = ledger.results() or write_results(ledger, "finished")
    show_results(results, ledger.study(), console)
    show_next(ledger.root, arguments.studies, arguments.tracking_uri, uri, console)
    return SOME_FAILED if any(trial["status"] == "failed" for trial in results["trials"]) else FINISHED


def announce(plan: Plan, uri: str, console: Console) -> None:
    """What is about to run."""
    study, corpus = plan.study, plan.corpus
    kinds = {"synthetic": "a synthetic corpus: figures on it say nothing about real recordings"}
    what = f" ({kinds[corpus.kind]})" if corpus.kind in kinds else ""
    console.print(f"Corpus   {corpus.name}{what}", soft_wrap=True)
    console.print(f"Study    {study['study']}{' (resumed)' if plan.resumed else ''}")
    console.print(f"Space    {study['space']}: {study['question'].splitlines()[0]}", soft_wrap=True)
    console.print(
        f"Clips    {len(corpus.development)} in {len(corpus.fold_numbers)} folds, {len(corpus.tags)} tags"
        + (f"; {len(corpus.evaluation)} for evaluation" if len(corpus.evaluation) else "")
    )
    each = f", each fold with {study['repeats']} seeds" if plan.settings.repeats > 1 else ""
    stops = rungs_in_words(len(corpus.fold_numbers)) if study.get("scheduler") == "asha" else ""
    console.print(f"Trials   {study['trials']} ({study['sampler']}{stops}){each}", soft_wrap=True)
    for config in model_configs(plan):
        console.print(f"         {budget_line(config)}", soft_wrap=True)
    if corpus.kind == "synthetic":
        console.print("         a short budget for the synthetic corpus; --epochs overrides", soft_wrap=True)
    console.print(f"Protocol {study['protocol']}, {seeds_in_words(study)}; MLflow {public(uri)}", soft_wrap=True)
    for clip, reason in corpus.skipped.items():
        console.print(f"note: without {clip}: {reason}", style="yellow", soft_wrap=True)
    for clip in corpus.silent:
        console.print(f"note: {clip} is nearly silent", style="yellow", soft_wrap=True)
    if note := left_out(study):
        console.print(f"note: {note}", style="yellow", soft_wrap=True)
    for tag, fold in corpus.unscored_cells():
        console.print(f"note: tag {tag} has one class only in fold {fold}; that cell is left out", style="yellow")


def model_configs(plan: Plan) -> list[TrialConfig]:
    """A configuration of each model of the study, as far as the space does not set it."""
    return [plan.settings.config({"model": model}) for model in plan.study["settings"]]


def bf16_note(plan: Plan, per_trial: dict[str, float], address: str | None) -> str:
    """A warning where trials compute in bf16, or may, on this machine's CPU, and it has no arithmetic for it."""
    used = "precision" in plan.study["varied"] or any(config.precision == "bf16" for config in model_configs(plan))
    if not used or per_trial["gpu"] or address is not None or not lacks_bf16():
        return ""
    return "note: this CPU has no bf16 arithmetic: in bf16 a training step takes up to ten times as long as in fp32"


def kernels_note(per_trial: dict[str, float], address: str | None) -> str:
    """A warning where trials train on this machine's CPU without the compiled loops."""
    if COMPILED or per_trial["gpu"] or address is not None:
        return ""
    return (
        "note: audiotag's loops are not compiled, or were for an earlier version: a training step takes twice as long;"
        " `make install` compiles them where there is g++ 12 or later"
    )


def budget_line(config: TrialConfig) -> str:
    """How long a fold of a model is trained, and in what steps."""
    first = f"{config.pretrain_epochs} epochs without tags, then " if config.pretrain_epochs else ""
    steps = f"batches of {config.batch_size}, {config.optimizer} at {config.learning_rate:g}"
    return f"{config.model}: {first}at most {config.max_epochs} epochs a fold, patience {config.patience}, {steps}"


def resources_line(per_trial: dict[str, float], slots: int) -> str:
    """What the trials share."""
    cards = f" and {per_trial['gpu']:g} GPU" if per_trial["gpu"] else ""
    return f"Running  {slots} side by side, {per_trial['cpu']:g} CPU{cards} each"


def resume_command(root: Path, arguments: argparse.Namespace) -> str:
    """The command that continues a study, with the options that its session had beyond the study's own."""
    words: list[Any] = ["python", "study/run.py", "--resume", root.name]
    if arguments.studies != STUDIES:
        words += ["--studies", arguments.studies]
    for flag in ("cpus_per_trial", "gpus_per_trial", "address", "tracking_uri", "cache"):
        if (value := getattr(arguments, flag)) is not None:
            words += [f"--{flag.replace('_', '-')}", value]
    return shlex.join(map(str, words))
