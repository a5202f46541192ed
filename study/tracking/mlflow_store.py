"""The MLflow tracking store: which one, whether it answers, and the runs of one study in it.

The only file that imports mlflow, and late, because that takes seconds. Runs are found again by their tags, missing
ones are made and missing values added, so that a writer may be killed anywhere and another go on.
"""

import json
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import unquote

from filelock import FileLock

from audiotag.training.epochs import EpochResult
from study.format import public
from study.ledger.schema import StudyRecord
from study.tracking.descriptions import describe_experiment
from study.tracking.metric_names import epoch_values
from study.tracking.run_keys import RunKey

ENVIRONMENT = {  # MLflow's own settings, unless the user has set them
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # s; a dead server is noticed soon
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a repeated "create run" whose answer was lost would make a second run
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
PARENT, NAME, NOTE = "mlflow.parentRunId", "mlflow.runName", "mlflow.note.content"  # tags that MLflow shows
FAILURE, STATUS = "audiotag.failure", "audiotag.status"  # why a trial has no result
KIND = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's page opens on runs, not on traces of GenAI
PAGE, LONGEST_TAG_VALUE = 500, 6000  # runs per page, characters
SPACING = 1000  # ms from an epoch's point to the next


class TrackingError(ValueError):
    """A tracking store that cannot be used; one line for the user."""


def default_uri(project_root: Path) -> str:
    """MLFLOW_TRACKING_URI where it is set, else the database mlflow.db in the project's folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _database_uri(project_root.absolute() / "mlflow.db")


def check_server(uri: str) -> None:
    """Find out whether a tracking store can be used, within seconds; a database file is looked at, not opened.

    Raises:
        TrackingError: When it cannot.
    """
    if uri.startswith("sqlite"):
        _check_database(_database_path(uri))
    elif uri.startswith(("http://", "https://")):
        client = load_mlflow().MlflowClient(uri)
        try:
            client.search_experiments(max_results=1)
        except Exception as error:  # MLflow lets through whatever a foreign answer breaks in it
            raise TrackingError(
                f"The tracking server {public(uri)} does not answer as an MLflow server ({reason(error)}): "
                "start it (mlflow server), or choose another --tracking-uri."
            ) from error
    else:
        raise TrackingError(
            f"The tracking URI is {public(uri)!r}, but must begin with sqlite:///, http:// or https:// "
            "(for other stores, start an mlflow server in front of them)."
        )


def _check_database(path: Path) -> None:
    try:
        with path.open("r+b") if path.exists() else TemporaryFile(dir=path.parent) as file:
            if file.read(16) in (b"", b"SQLite format 3\0"):
                return
        why = "it is something else than an SQLite database"
    except OSError as error:
        why = str(error.strerror) if path.parent.is_dir() else f"there is no folder {path.parent}"
    raise TrackingError(f"The tracking database {path} cannot be used ({why}): choose another --tracking-uri.")


def _database_path(uri: str) -> Path:
    path = uri.partition(":///")[2].partition("?")[0]
    if path in ("", ":memory:"):
        raise TrackingError(f"The tracking URI is {uri!r}, but must name a file: sqlite:////absolute/path/mlflow.db.")
    return Path(unquote(path)).absolute()


def _database_uri(path: Path) -> str:
    return f"sqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}"


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
    except (load_mlflow().exceptions.MlflowException, OSError) as error:
        raise TrackingError(f"MLflow at {public(uri)} is not up to date ({reason(error)}).") from error


def reason(error: BaseException) -> str:
    """The first cause of an error, in a line."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0][:160]


def _now() -> int:
    return time.time_ns() // 1_000_000


def open_client(uri: str) -> Any:
    """An MLflow client of a store; its database is made if need be.

    MLflow makes a database in some sixty steps and cannot open one that was killed in their midst, or that two
    processes make at once: it is made aside, under a lock, and renamed when whole.
    """
    client = load_mlflow().MlflowClient
    if uri.startswith("sqlite") and not _exists(path := _database_path(uri)):
        with FileLock(path.with_name(f"{path.name}-lock")):
            if not _exists(path):
                aside = path.with_name(f"{path.name}-new")
                aside.unlink(missing_ok=True)
                client(_database_uri(aside)).search_experiments(max_results=1)
                aside.replace(path)
    return client(uri)


def _exists(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0  # SQLite leaves an empty file where it was only opened


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
        experiment: Its id.
        runs: All runs of the study.
        ended: Keys of trials that have their result in the store.
    """

    def __init__(self, uri: str, study: StudyRecord) -> None:
        self.client, self.study, self.ended = open_client(uri), study, set[str]()
        self.experiment = self._find_experiment(uri)
        self.runs = self._find_runs()

    def _find_experiment(self, uri: str) -> str:
        name = self.study.space
        found = self.client.get_experiment_by_name(name)
        if found is None:
            root = _database_path(uri).parent / "mlartifacts" / name if uri.startswith("sqlite") else None
            tags = {NOTE: describe_experiment(self.study)} | KIND
            return self.client.create_experiment(name, artifact_location=root and root.as_uri(), tags=tags)
        if found.lifecycle_stage == "deleted":
            raise TrackingError(
                f"The MLflow experiment `{name}` at {public(uri)} was deleted: bring it back with "
                f"`mlflow experiments restore -x {found.experiment_id}`, or choose another --tracking-uri."
            )
        return found.experiment_id

    def _find_runs(self) -> dict[RunKey, Run]:
        found: list[Any] = []
        token: str | None = ""
        while token is not None:
            query = f"tags.`audiotag.study_id` = '{self.study.id}'"
            page = self.client.search_runs([self.experiment], query, max_results=PAGE, page_token=token or None)
            found, token = [*found, *page], page.token or None
        runs: dict[RunKey, Run] = {}
        for run in sorted(found, key=lambda run: (run.info.start_time, run.info.run_id)):
            if (key := RunKey.from_tags(run.data.tags)) in runs:  # the answer was lost, and it was made again
                self.client.delete_run(run.info.run_id)
            else:
                runs[key] = _run_of(run)
        return runs

    def run(self, key: RunKey, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> Run:
        """Find or make a run, and add parameters and tags that it lacks."""
        entities, study = load_mlflow().entities, self.study
        own = {"audiotag.study": study.name, "audiotag.study_id": study.id, "audiotag.corpus": study.corpus.name}
        wanted = {name: value[:LONGEST_TAG_VALUE] for name, value in {**tags, **own, **key.tags}.items()}
        if (run := self.runs.get(key)) is None:
            run = self.runs[key] = _run_of(self.client.create_run(self.experiment, _now(), wanted | {NAME: name}))
        new_params = [entities.Param(name, str(value)) for name, value in params.items() if name not in run.params]
        new_tags = [entities.RunTag(name, value) for name, value in wanted.items() if run.tags.get(name) != value]
        if new_params or new_tags:
            self.client.log_batch(run.id, params=new_params, tags=new_tags)
            run.params |= {param.key: param.value for param in new_params}
            run.tags |= wanted
        if obsolete := [name for name in (FAILURE, STATUS) if name in run.tags and name not in tags]:
            self.set_status(run, "RUNNING")  # a trial that goes on
            for name in obsolete:
                self.client.delete_tag(run.id, name)
                del run.tags[name]
        return run

    def log(self, run: Run, history: Sequence[EpochResult], values: Mapping[str, float | None]) -> None:
        """Add to a run the epochs, and the metrics without epochs, that it lacks.

        Figures that do not exist are left out. A point that is logged again, by a later session or because an answer
        was lost, has the same time stamp, and MLflow drops it.
        """
        metric = load_mlflow().entities.Metric
        fresh = [epoch for epoch in history if epoch.epoch not in run.epochs]
        points = [
            metric(name, value, run.start + SPACING * epoch.epoch, epoch.epoch)
            for epoch in fresh
            for name, value in epoch_values(epoch).items()
        ]
        points += [
            metric(name, value, run.start if name not in run.metrics else _now(), 0)  # the table shows the latest
            for name, value in values.items()
            if value is not None and run.metrics.get(name) != value
        ]
        points = [point for point in points if math.isfinite(point.value)]
        self.client.log_batch(run.id, points)
        run.metrics |= {point.key: point.value for point in points}
        run.epochs |= {epoch.epoch for epoch in fresh}

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
        self.client.log_inputs(run.id, datasets=[entities.DatasetInput(dataset, [context])])
        run.has_dataset = True


def _run_of(run: Any) -> Run:
    info, data = run.info, run.data
    has_dataset = bool(run.inputs and run.inputs.dataset_inputs)
    return Run(
        info.run_id, info.start_time, info.artifact_uri, info.status, data.tags, data.params, data.metrics, has_dataset
    )
