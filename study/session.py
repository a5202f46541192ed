"""One session of a study, from the first line on the terminal to the last: plan, train, results, what comes next."""

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from audiotag.cli import FINISHED, INTERRUPTED
from audiotag.config import TrialConfig
from audiotag.uris import public_command
from search_spaces import space_name
from study import PROJECT
from study.announcement import announce, bf16_note
from study.cli import SOME_FAILED, STUDIES, pasteable, say
from study.cloud import shown
from study.format import common_params
from study.ledger.clips import write_clips
from study.ledger.confirmation import SUFFIX
from study.ledger.context import StudyContext
from study.ledger.files import LedgerError
from study.ledger.findings import read_findings
from study.ledger.ledger import STUDY_FILE, Ledger
from study.ledger.provenance import provenance_changes
from study.ledger.results import count_ended, folds_done, is_complete, study_results
from study.plan.features import compute_features
from study.plan.plan import Plan, make_plan
from study.plan.preflight import check_tracking_lasts, kernels_note, mps_note
from study.plan.request import Request
from study.plan.until_clear import take_look
from study.reporting.live_table import LiveTable
from study.reporting.looks import look_in_words
from study.reporting.results_files import write_results
from study.reporting.sensitivity import ScaleLine
from study.reporting.terminal_table import (
    look_commands,
    password_notes,
    report_command,
    show_answer,
    show_next,
    show_results,
)
from study.stats.rows import name_rows
from study.tracking.mlflow_store import load_mlflow
from study.tracking.mlflow_sync import MlflowCopy
from study.tracking.optuna_db import OptunaCopy
from study.tracking.store_check import check_store
from study.tracking.tracker import Tracker
from study.tracking.tracking_uri import StoreUnavailableError, choose_uri, default_uri, stored
from study.tuning.address import find_address
from study.tuning.crew import Crew
from study.tuning.features import StudyFeatures

Hold = Callable[[float, str], AbstractContextManager[None]]  # of signals, while a block runs, which may take so long
Planner = Callable[[Request, Console], Plan]
CATCH_UP = {"finished": 60.0, "interrupted": 10.0}  # s that the end of a session waits for MLflow
FULL_DISK = 3.0  # s of it for optuna.db where that fails: it lies beside the ledger
UNNOTICED = 1.0  # s of it without a word


def run_session(request: Request, console: Console, hold_signals: Hold, make: Planner = make_plan) -> int:
    """Plan and run what is asked for; return the exit code. `make` makes the plan.

    Raises:
        ValueError: Of one of the project's own kinds, for a user's mistake; no study folder has been made then.
    """
    asked, request = request, replace(request, address=find_address(request.address))
    if request.resume is None:  # its store must be there
        uri = request.tracking_uri or default_uri(PROJECT)
        check_tracking_lasts(request.tracking_uri, uri)
        available = check_tracking(request, uri, console)
        plan = make(request, console)
        plan = replace(plan, study=replace(plan.study, tracking_uri=stored(uri)))
    else:
        plan = make(request, console)
        uri = choose_uri(request.tracking_uri, plan.study.tracking_uri, default_uri(PROJECT))
        available = check_tracking(request, uri, console)
    announce(plan, uri, console, request.trials, own_budget=request.epochs is not None)
    session = Session(plan, request, uri, console, available, asked)
    try:
        return session.conclude(session.run(hold_signals))
    except KeyboardInterrupt:
        if not (plan.root / STUDY_FILE).is_file():
            raise
        session.show_resume("Interrupted. What was trained is kept; continue with:")
        return INTERRUPTED


def check_tracking(request: Request, uri: str, console: Console) -> bool:
    """Whether MLflow's store can be used. Only a new study needs it: one that was begun goes on without.

    Raises:
        TrackingError: For a URI that names no store, and for a new study's store that cannot be used.
    """
    try:
        check_store(uri, request.space and space_name(request.space))
    except StoreUnavailableError as error:
        if request.resume is None:
            raise
        say(console, f"{error} The study goes on; MLflow catches up later.", style="yellow")
        return False
    return True


@dataclass(frozen=True, eq=False)
class Session:
    """One run of a planned study."""

    plan: Plan
    request: Request
    uri: str
    console: Console
    available: bool = True  # MLflow's store, when the session began
    asked: Request | None = None  # as it was typed, without what the environment adds
    mlflow: list[MlflowCopy] = field(default_factory=list)  # the copy, once there is one

    def run(self, hold_signals: Hold) -> Ledger:
        """Train what the study lacks, or only bring its views up to date where it lacks nothing."""
        if (ledger := self.plan.ledger) is not None:
            with ledger.locked():  # refused at once while another driver holds it
                ledger.update_study(space_path=self.plan.study.space_path, settled=self.plan.study.settled)
                write_clips(ledger.root, self.plan.corpus)  # for figures that an earlier version did not compute
                if complete := is_complete(ledger) and not self.plan.grows:
                    self._bring_up_to_date(ledger)
            if complete:
                return ledger
        features = compute_features(self.plan, self.request.cache, self.console)
        from study.tuning.cluster import running, start_limit, start_ray, stop_ray, why_overdue
        from study.tuning.node_check import gather

        request, seconds = self.request, start_limit()
        joined = None if request.address is None else f"Joining the Ray cluster ({request.address}) ..."
        self.console.print(joined or "Starting workers ...", soft_wrap=True)
        try:
            # Tune imports MLflow right before the first trial, to count callbacks for its telemetry, although that is
            # off: 1.1 s, a tenth of the time to a study's first training step, unless it is there already
            with running(load_mlflow), hold_signals(seconds, why_overdue(request.address, seconds)):
                # held: an exception in the middle of its start is more than Ray survives
                start_ray(request.address)
            asked = request.cpus_per_trial, request.gpus_per_trial
            crew = gather(*asked, request.address is not None, partial(say, self.console), self._warn)
            ledger = self.plan.open_ledger()
            with ledger.locked():
                self._train(ledger, features, crew)
        finally:
            stop_ray()
        return ledger

    def _bring_up_to_date(self, ledger: Ledger) -> None:
        """Write the views of a finished study, which may have been killed at its very end."""
        self.console.print(f"The study {ledger.root.name} is finished; there is nothing left to do.")
        tracker, view = self._views(ledger)
        tracker.start()
        view.start()
        self._close(ledger, tracker, view, "finished")

    def _train(self, ledger: Ledger, features: StudyFeatures, crew: Crew) -> None:
        """Run the trials that are left and write the results, partial ones where it is interrupted."""
        from study.tuning.cluster import stop_ray

        self._note_changes(ledger, crew.per_trial)
        tracker, view = self._views(ledger)
        tracker.start()
        view.start()
        listeners: list[Any] = [tracker, view, ScaleLine(ledger, self.console)]
        end_without_head = partial(self._end_without_head, ledger, tracker, view)
        run_trials = partial(self._run_trials, ledger, features, crew, listeners, end_without_head)
        try:
            run_trials()
            while self._goes_on(ledger):
                run_trials()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                self.console.print("Stopping ...")
            stop_ray()
            with suppress(LedgerError):  # where the disk is full: reported already
                self._close(ledger, tracker, view, "interrupted")
            raise
        stop_ray()
        self._close(ledger, tracker, view, "finished")

    def _end_without_head(self, ledger: Ledger, tracker: Tracker, view: Tracker, address: str) -> None:
        """End the process from a thread: the main one may wait for the head within Ray, out of reach."""
        self.console.show_cursor()
        self.console.print(f"\nThe head of the Ray cluster ({address}) has gone.", style="yellow", soft_wrap=True)
        try:
            with suppress(LedgerError):
                self._close(ledger, tracker, view, "interrupted")
            self.show_resume("What was trained is kept; continue with:")
        finally:
            sys.stdout.flush()
            os._exit(INTERRUPTED)

    def _run_trials(
        self,
        ledger: Ledger,
        features: StudyFeatures,
        crew: Crew,
        listeners: list[Any],
        head_lost: Callable[[str], None],
    ) -> None:
        """Run the trials that are left, in the partitions that the study has."""
        configs = self._configs(ledger)
        live = LiveTable(
            self.console,
            ledger.study,
            slots=1,  # until the trials run
            max_epochs=max(config.max_epochs for config in configs),
            known=study_results(ledger, "interrupted").trials,
            folds=folds_done(ledger),
            common=common_params([config.to_dict() for config in configs], ledger.study.varied),
        )
        from study.trial_runs import TrialRuns

        runs = TrialRuns(self.plan, ledger, features, crew, live, listeners, self.console, head_lost)
        with live:
            runs.run()
        if missing := ledger.study.trials - count_ended(ledger):
            raise LedgerError(
                f"{missing} of {ledger.study.trials} trials have no result, although Ray has run all: "
                f"continue with --resume {ledger.root.name}."
            )

    def _goes_on(self, ledger: Ledger) -> bool:
        """Look at the comparisons of a study that adds partitions until they are clear; whether it gets another one."""
        if (look := take_look(ledger, self.plan.corpus)) is None:
            return False
        say(self.console, look_in_words(look.number, look.rows, look.goes_on, look.study), indent=2)
        ledger.update_study(drawn=look.study.drawn, settled=look.study.settled)
        return not look.study.settled

    def _note_changes(self, ledger: Ledger, per_trial: dict[str, float]) -> None:
        """Say where another program than before goes on, and what makes this machine slow."""
        before = len(provenance_changes(self.plan.study))
        notes = [
            f"note: goes on with another program than before ({change})"
            for change in provenance_changes(ledger.study)[before:]
        ]
        notes += [bf16_note(self.plan, per_trial, self.request.address), kernels_note(per_trial)]
        notes += [mps_note(per_trial, self.request.address)]
        for note in filter(None, notes):
            self._warn(note)

    def _views(self, ledger: Ledger) -> tuple[Tracker, Tracker]:
        """The threads of MLflow and of optuna.db, whose warnings go to the terminal."""
        named = name_rows([config.to_dict() for config in self._configs(ledger)], ledger.study)
        copies = MlflowCopy(ledger, self.uri, self._show_view, named), OptunaCopy(ledger, self.plan.space)
        self.mlflow.append(copies[0])
        return Tracker(copies[0], self._warn, failing=not self.available), Tracker(copies[1], self._warn)

    def _configs(self, ledger: Ledger) -> list[TrialConfig]:
        """The configurations of the space: all, or of a sampled one some."""
        context = StudyContext(ledger.study)
        return [context.config(parameters) for parameters in self.plan.scan.parameters]

    def _show_view(self, view: str) -> None:
        """Say where the trials can be looked at while they run."""
        lines = f"\n{'':9}".join(look_commands(self.uri, view))
        self.console.print(f"Watch    {lines}", soft_wrap=True)

    def _warn(self, text: str) -> None:
        say(self.console, text, style="yellow")

    def _close(self, ledger: Ledger, tracker: Tracker, view: Tracker, status: str) -> None:
        """Write the results and show those of a finished study, while MLflow and optuna.db are brought up to date."""
        try:
            results = write_results(ledger, status)
            tracker.end(status)
            if status == "finished":
                show_results(results, self.console)
        finally:
            tracker.end(status)
            view.close(status, CATCH_UP["finished"], FULL_DISK)
            self._wait_for(tracker, ledger, status)

    def _wait_for(self, tracker: Tracker, ledger: Ledger, status: str) -> None:
        """Wait until MLflow has all, for a limited time; models, which it gets last, may take long."""
        try:
            if self._is_up_to_date(tracker, UNNOTICED, status):
                return
            seconds = CATCH_UP["interrupted" if tracker.failing else status]  # one that is down may stay so
            say(self.console, f"Waiting for MLflow, at most {seconds:.0f} s (Ctrl-C skips this) ...")
            if not self._is_up_to_date(tracker, seconds, status):
                later = report_command(ledger.root, self.request.studies, self.request.tracking_uri)
                self.console.print(f"MLflow is behind; later: {pasteable(later)}", style="yellow", soft_wrap=True)
        finally:
            tracker.give_up()

    def _is_up_to_date(self, tracker: Tracker, seconds: float, status: str) -> bool:
        """Wait for MLflow; Ctrl-C ends the wait, and of a finished study no more than that."""
        try:
            return tracker.wait(seconds)
        except KeyboardInterrupt:
            if status != "finished":
                raise
            return False

    def show_resume(self, text: str) -> None:
        """Show the command that continues the study."""
        self.console.print(text)
        for note in password_notes(self.request.tracking_uri):
            say(self.console, note)
        asked = self.asked or self.request
        command = resume_command(self.plan.root, asked, self.plan.study.confirms is not None)
        self.console.print(pasteable(command), soft_wrap=True)

    def conclude(self, ledger: Ledger) -> int:
        """Show the answer and the commands that come next; return the exit code."""
        if (findings := read_findings(ledger)) is not None:
            show_answer(findings, self.console)
        results = study_results(ledger, "finished")
        view = self.mlflow[-1].view if self.mlflow else None
        show_next(ledger.root, self.request.studies, self.request.tracking_uri, self.uri, self.console, view)
        failed = results.with_status("failed") or any(trial.failed_partition for trial in results.trials)
        return SOME_FAILED if failed else FINISHED


def resume_command(root: Path, request: Request, confirms: bool = False) -> str:
    """The command that continues a study, with the options that its session had beyond the study's own."""
    words: list[Any] = ["python", "study/run.py", "--resume", root.name]
    words = words if not confirms else ["python", "study/confirm.py", root.name.removesuffix(SUFFIX)]
    if request.studies != STUDIES:
        words += ["--studies", shown(request.studies)]
    words += ["--trust-code"] * request.trust_code
    for option in ("cpus_per_trial", "gpus_per_trial", "address", "tracking_uri", "cache"):
        if (value := getattr(request, option)) is not None:
            words += [f"--{option.replace('_', '-')}", value]
    return public_command(words)
