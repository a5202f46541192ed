"""The MLflow tracking store, and the runs of one study in it.

Only this file imports mlflow, as late as possible, because the import takes seconds. Runs are found by their tags, and
missing runs and values are added, so that a writer may be killed at any point and another go on.
"""

import json
import logging
import math
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from shlex import quote
from types import MappingProxyType
from typing import Any, TypeVar

from filelock import FileLock

from audiotag.files import size_of
from audiotag.training.epochs import EpochResult
from audiotag.uris import is_server, public
from study.ledger.schema import StudyRecord
from study.tracking.descriptions import LONGEST_DESCRIPTION, describe_experiment, with_answer
from study.tracking.metric_names import epoch_values
from study.tracking.run_keys import STUDY, RunKey
from study.tracking.saved_view import Version, is_own
from study.tracking.store_errors import reason
from study.tracking.tracking_uri import (
    StoreUnavailableError,
    TrackingWarning,
    database_path,
    database_uri,
)

ENVIRONMENT = {  # MLflow's own settings, unless the user has set them
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # s; a dead server is noticed soon
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a repeated "create run" whose answer was lost would make a second run
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
PARENT, NAME, NOTE = "mlflow.parentRunId", "mlflow.runName", "mlflow.note.content"  # tags that MLflow shows
SPACE = "audiotag.space"  # of an experiment
FAILURE, STATUS = "audiotag.failure", "audiotag.status"  # why a trial has no result
KIND = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's page opens on runs, not on traces of GenAI
PAGE, LONGEST_TAG_VALUE = 500, 6000  # runs per page, characters
SPACING = 1000  # ms from an epoch's point to the next
SIDE_BY_SIDE = 8  # trials, or models, that are written to a server at a time
EMPTY: Mapping[str, Any] = MappingProxyType({})
T = TypeVar("T")


def load_mlflow() -> Any:
    """The package, quiet and with our settings."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """MLflow's exceptions as TrackingError."""
    try:
        yield
    except (load_mlflow().exceptions.MlflowException, OSError, ImportError) as error:
        raise StoreUnavailableError(f"MLflow at {public(uri)} is not up to date ({reason(error)}).") from None


def server_version(uri: str) -> Version:
    """The version of a tracking server, major and minor; None for a database, and where the server does not tell."""
    if not is_server(uri):
        return None
    load_mlflow()
    # neither is documented, but both know the user's credentials and certificates
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        answer = http_request(get_default_host_creds(uri), "/version", "GET")
    except Exception:  # whatever a foreign answer breaks in MLflow
        return None
    found = re.match(r"(\d+)\.(\d+)", answer.text if answer.ok else "")
    return None if found is None else (int(found[1]), int(found[2]))


def _now() -> int:
    return time.time_ns() // 1_000_000


def open_client(uri: str) -> Any:
    """An MLflow client of a store; its database is made if need be.

    MLflow makes a database in some sixty steps. It cannot open one that was left half-made, or that two processes make
    at once: it is made under another name, behind a lock, and renamed when whole.
    """
    client = load_mlflow().MlflowClient
    if not uri.startswith("sqlite"):
        return client(uri)
    path, _, options = database_path(uri), *uri.partition("?")[1:]
    if not size_of(path):  # SQLite leaves an empty file where it was only opened
        with FileLock(path.with_name(f"{path.name}-lock")):
            if not size_of(path):
                aside = path.with_name(f"{path.name}-new")
                for leftover in (aside, aside.with_name(f"{aside.name}-journal")):
                    leftover.unlink(missing_ok=True)
                client(database_uri(aside)).search_experiments(max_results=1)
                aside.replace(path)
    return client(f"{database_uri(path)}?{options}" if options else database_uri(path))


def count_writers(uri: str) -> int:
    """How many trials are written to a store at a time; a database in a file takes one writer."""
    return SIDE_BY_SIDE if is_server(uri) else 1


def all_pages(search: Callable[..., Any]) -> list[Any]:
    """What a search of MLflow finds, from all its pages."""
    page = search()
    found = list(page)
    while page.token:
        page = search(page_token=page.token)
        found += page
    return found


@dataclass
class Run:
    """A run, as far as this process knows its content."""

    id: str
    start: int  # ms
    artifacts: str  # URI
    status: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]  # the last value of each
    has_dataset: bool
    epochs: set[int] = field(default_factory=set)  # that this process has logged


class Store:
    """The runs of one study in a tracking store. Knows their content and writes only what is missing.

    Attributes:
        version: Of its server; None where that is not known.
        experiment: Its id.
        runs: All runs of the study.
        ended: Keys of trials that have their result in the store.
    """

    def __init__(self, uri: str, study: StudyRecord) -> None:
        self.client, self.study, self.ended = open_client(uri), study, set[str]()
        self.version = server_version(uri)
        self._writers = count_writers(uri)
        self._uri, self._query = uri, f"tags.`audiotag.study_id` = '{study.id}'"
        self.experiment = self._find_experiment()
        self.runs = self._find_runs()

    def _find_experiment(self) -> str:
        """The space's experiment, whatever it is called by now; it is made if need be.

        It is the one with the study's runs; else the one of the space's name; else one with the space's tag.
        """
        space, client = self.study.space, self.client
        tagged = client.search_experiments(filter_string=f"tags.`{SPACE}` = '{space}'")
        named = client.get_experiment_by_name(space)
        usable = [named] if named is not None and named.lifecycle_stage == "active" else []
        usable += [each for each in tagged if not usable or each.experiment_id != usable[0].experiment_id]
        found = self._experiment_of_runs(usable) or self._experiment_of_runs(all_pages(client.search_experiments))
        if found is None and usable:
            found = usable[0].experiment_id
        if found is not None:
            self._mark_experiment(found, tagged)
            return found
        if named is not None:
            store = public(self._uri)
            restore = f"MLFLOW_TRACKING_URI={quote(store)} mlflow experiments restore -x {named.experiment_id}"
            raise StoreUnavailableError(
                f"The MLflow experiment `{space}` at {store} was deleted: bring it back with `{restore}`, "
                "or choose another --tracking-uri."
            )
        in_file = self._uri.startswith("sqlite")
        root = database_path(self._uri).parent / "mlartifacts" / space if in_file else None
        tags = {NOTE: describe_experiment(self.study), SPACE: space} | KIND
        return client.create_experiment(space, artifact_location=root and root.as_uri(), tags=tags)

    def _experiment_of_runs(self, experiments: Sequence[Any]) -> str | None:
        """The one of some experiments that has the study's runs."""
        ids = [experiment.experiment_id for experiment in experiments]
        runs = self.client.search_runs(ids, self._query, max_results=1) if ids else []
        return runs[0].info.experiment_id if runs else None

    def _mark_experiment(self, experiment: str, tagged: Sequence[Any]) -> None:
        """Tag an experiment of an earlier version, so that it is found under another name, too."""
        if experiment not in {each.experiment_id for each in tagged}:
            self.client.set_experiment_tag(experiment, SPACE, self.study.space)

    def _find_runs(self) -> dict[RunKey, Run]:
        search = partial(self.client.search_runs, [self.experiment], self._query, max_results=PAGE)
        found = all_pages(search)
        runs: dict[RunKey, Run] = {}
        for run in sorted(found, key=_by_worth):
            if (key := RunKey.from_tags(run.data.tags)) in runs:  # the answer was lost, and it was made again
                self.client.delete_run(run.info.run_id)
            else:
                runs[key] = _run_of(run)
        return runs

    def each(self, work: Callable[[T], object], items: Iterable[T]) -> None:
        """Call `work` with each item; where the store is a server, with several at a time.

        The first failure is raised when nothing is in work any more, so that the next attempt has the runs for itself.
        The threads are daemons: unlike those of concurrent.futures, they do not keep a program from ending.
        """
        waiting, failures = SimpleQueue[T](), list[BaseException]()
        for item in items:
            waiting.put(item)

        def write() -> None:
            while not failures:
                try:
                    item = waiting.get_nowait()
                except Empty:
                    return
                try:
                    work(item)
                except BaseException as error:
                    failures.append(error)

        if self._writers == 1:
            write()
        else:
            threads = [threading.Thread(target=write, daemon=True) for _ in range(min(self._writers, waiting.qsize()))]
            try:
                for thread in threads:
                    thread.start()
                for thread in threads:
                    while thread.is_alive():
                        thread.join(1)  # a signal that comes right before an endless wait is not noticed
            except KeyboardInterrupt as error:
                failures.append(error)  # they end with the item in work, or with the program
                raise
        if failures:
            raise failures[0]

    def run(self, key: RunKey, name: str, tags: Mapping[str, str]) -> Run:
        """Find or make a run, and add tags that it lacks.

        Where a tag of a failure holds no longer it is removed, and the run is RUNNING again.
        """
        study = self.study
        own = {"audiotag.study": study.name, "audiotag.study_id": study.id, "audiotag.corpus": study.corpus.name}
        wanted = {name: value[:LONGEST_TAG_VALUE] for name, value in {**tags, **own, **key.tags}.items()}
        if (run := self.runs.get(key)) is None:
            run = self.runs[key] = _run_of(self.client.create_run(self.experiment, _now(), wanted | {NAME: name}))
        elif key == STUDY and run.tags.get("audiotag.study") != study.name:  # its folder was renamed
            wanted[NAME] = name
        tag = load_mlflow().entities.RunTag
        if new := [tag(name, value) for name, value in wanted.items() if run.tags.get(name) != value]:
            self.client.log_batch(run.id, tags=new)
            run.tags |= wanted
        if obsolete := [name for name in (FAILURE, STATUS) if name in run.tags and name not in tags]:
            self.set_status(run, "RUNNING")  # a trial that goes on
            for name in obsolete:
                self.client.delete_tag(run.id, name)
                del run.tags[name]
        return run

    def log(
        self,
        run: Run,
        history: Sequence[EpochResult] = (),
        values: Mapping[str, float | None] = EMPTY,
        params: Mapping[str, Any] = EMPTY,
    ) -> None:
        """Add the epochs, the other metrics and the parameters that a run lacks, in one batch.

        Figures that do not exist are left out. A point that is logged again, by a later session or because an answer
        was lost, has the same time stamp, and MLflow drops it.
        """
        entities = load_mlflow().entities
        fresh = [epoch for epoch in history if epoch.epoch not in run.epochs]
        points = [
            entities.Metric(name, value, run.start + SPACING * epoch.epoch, epoch.epoch)
            for epoch in fresh
            for name, value in epoch_values(epoch).items()
        ]
        points += [  # MLflow's table shows the latest of several
            entities.Metric(name, value, run.start if name not in run.metrics else _now(), 0)
            for name, value in values.items()
            if value is not None and run.metrics.get(name) != value
        ]
        points = [point for point in points if math.isfinite(point.value)]
        new = [entities.Param(name, str(value)) for name, value in params.items() if name not in run.params]
        if points or new:
            self.client.log_batch(run.id, points, new)
        run.metrics |= {point.key: point.value for point in points}
        run.params |= {param.key: param.value for param in new}
        run.epochs |= {epoch.epoch for epoch in fresh}

    def add(self, run: Run, values: Mapping[str, float | None], params: Mapping[str, Any] = EMPTY) -> None:
        """Add to a finished run the metrics and parameters that are newer than it."""
        self.log(run, [], {name: value for name, value in values.items() if name not in run.metrics}, params)

    def note_answer(self, answer: str, trials: str) -> None:
        """Put a study's answer, and the address of its trials, into its experiment's description, beside others."""
        known = self.client.get_experiment(self.experiment).tags.get(NOTE) or describe_experiment(self.study)
        if (text := with_answer(known, self.study, answer, trials)) != known and len(text) <= LONGEST_DESCRIPTION:
            self.client.set_experiment_tag(self.experiment, NOTE, text)

    def save_view(self, tag: str, value: str) -> None:
        """Keep a saved view as a tag of the experiment, unless a user has saved another one in its place."""
        known = self.client.get_experiment(self.experiment).tags.get(tag)
        if known != value and (known is None or is_own(known)):
            self.client.set_experiment_tag(self.experiment, tag, value)

    def set_status(self, run: Run, status: str) -> None:
        """RUNNING, FINISHED, FAILED or KILLED."""
        if status == run.status:
            return
        if status == "RUNNING":
            self.client.update_run(run.id, status)
        else:
            self.client.set_terminated(run.id, status)
            run.epochs.clear()  # a driver that kept them would grow with every epoch of the study
        run.status = status

    def log_dataset(self, run: Run) -> None:
        """Name the corpus, with its fingerprint, as a run's data."""
        if run.has_dataset:
            return
        entities, corpus = load_mlflow().entities, self.study.corpus
        shown = ("clip_seconds", "development_clips", "evaluation_clips", "folds", "kind", "tags")
        dataset = entities.Dataset(
            corpus.name,
            corpus.fingerprint,
            source_type="local",
            source=json.dumps({"uri": corpus.path or corpus.name}),
            profile=json.dumps({name: getattr(corpus, name) for name in shown}),
        )
        context = entities.InputTag("mlflow.data.context", "cross-validation")
        with self.optional("data sets of runs"):
            self.client.log_inputs(run.id, datasets=[entities.DatasetInput(dataset, [context])])
        run.has_dataset = True

    @contextmanager
    def optional(self, part: str) -> Iterator[None]:
        """Skip a part of MLflow that an older server lacks, with one warning."""
        try:
            yield
        except load_mlflow().exceptions.MlflowException as error:
            if getattr(error, "error_code", None) not in ("ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"):
                raise
            text = f"The MLflow server at {public(self._uri)} is too old for {part}; all else is there."
            warnings.warn(text, TrackingWarning, stacklevel=3)


def _by_worth(run: Any) -> tuple[bool, int, str]:
    """Runs in the order in which they are kept where several have one key: a finished one first, then the older."""
    return run.info.status != "FINISHED", run.info.start_time, run.info.run_id


def _run_of(run: Any) -> Run:
    info, data = run.info, run.data
    has_dataset = bool(run.inputs and run.inputs.dataset_inputs)
    return Run(
        info.run_id, info.start_time, info.artifact_uri, info.status, data.tags, data.params, data.metrics, has_dataset
    )
