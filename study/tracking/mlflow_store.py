"""The MLflow tracking store: which one, whether it answers, and the runs of one study in it.

The only file that imports mlflow, and late, because that takes seconds. Runs are found again by their tags, missing
ones made and missing epochs added, so that a writer may stop anywhere and go on later.
"""

import logging
import math
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from study.tracking.database import make_database
from study.tracking.descriptions import experiment_note
from study.tracking.run_keys import PLACE, Place

ENVIRONMENT = {  # MLflow's own settings, unless the user has set them
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # s; a dead server is noticed soon
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a repeated "create run" whose answer was lost would make a second run
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
CURVES = {  # metric by epoch: field of EpochResult
    "train/loss": "train_loss",
    "train/accuracy": "train_accuracy",
    "val/loss": "val_loss",
    "val/accuracy": "val_accuracy",
    "val/eer_mean": "val_eer_mean",
}
PARENT, NAME, NOTE = "mlflow.parentRunId", "mlflow.runName", "mlflow.note.content"  # tags that MLflow shows
FAILURE, STATUS = "audiotag.failure", "audiotag.status"  # why a trial has no result; pruned: it was stopped early
KIND = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's page opens on runs, not on traces of GenAI
BATCH, PAGE, LONGEST_NOTE = 1000, 500, 6000  # metrics a call, runs a page, characters

Point = tuple[str, float, int]  # metric, value, epoch


class TrackingError(ValueError):
    """A tracking store that cannot be used; one line for the user."""


def default_uri(project_root: Path) -> str:
    """MLFLOW_TRACKING_URI where it is set, else the database mlflow.db in the project's folder."""
    path = str(project_root.absolute() / "mlflow.db").replace("%", "%25").replace("?", "%3F")
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{path}"


def check_server(uri: str) -> None:
    """Finds out whether a tracking store can be used, within seconds; a database file is looked at, not opened.

    Raises:
        TrackingError: when it cannot.
    """
    if uri.startswith("sqlite"):
        _check_database(_database(uri))
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
    if not path.parent.is_dir():
        why = f"there is no folder {path.parent}"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        why = "no permission to write"
    elif path.is_dir() or (path.is_file() and _head(path) not in (b"", b"SQLite format 3\0")):
        why = "it is something else than an SQLite database"
    else:
        return
    raise TrackingError(f"The tracking database {path} cannot be used ({why}): choose another --tracking-uri.")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _database(uri: str) -> Path:
    path = uri.partition(":///")[2].partition("?")[0]
    if path in ("", ":memory:"):
        raise TrackingError(f"The tracking URI is {uri!r}, but must name a file: sqlite:////absolute/path/mlflow.db.")
    return Path(unquote(path)).absolute()


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


def public(uri: str) -> str:
    return re.sub(r"//[^/@]*@", "//", uri)  # without a password


def reason(error: BaseException) -> str:
    """What began it, in a line."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0][:160]


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _now() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Run:
    """A run, as far as this process knows what is in it."""

    id: str
    status: str = "RUNNING"
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)  # the last value of each
    points: set[tuple[str, int]] | None = None  # (metric, epoch) of its curves; None: not read yet
    has_dataset: bool = False


def _new_values(run: Run, values: dict[str, float | None]) -> list[Point]:
    return [
        (name, value, 0)
        for name, value in values.items()
        if value is not None and math.isfinite(value) and run.metrics.get(name) != value
    ]


class Store:
    """The runs of one study in a tracking store. Knows what is there and writes only what is not."""

    def __init__(self, uri: str, study: dict[str, Any], stamps: dict[tuple[str, str, int], int]) -> None:
        mlflow = load_mlflow()
        self.is_database = uri.startswith("sqlite")
        if self.is_database:
            from mlflow.store.db.utils import _initialize_tables

            make_database(_database(uri), _initialize_tables)
        self.client = mlflow.MlflowClient(uri)
        self.study = study
        self.experiment = self._find_experiment(uri, study)
        self.identity = {
            "audiotag.study": study["study"],
            "audiotag.study_id": study["id"],
            "audiotag.corpus": study["corpus"]["name"],
        }
        self.runs = self._find_runs(study["id"])
        self.done: set[str] = set()  # keys of trials that got their result since; a failed one shows it by this alone
        self._stamps = stamps

    def _find_experiment(self, uri: str, study: dict[str, Any]) -> str:
        name, note = study["space"], {NOTE: experiment_note(study)}
        found = self.client.get_experiment_by_name(name)
        if found is None:
            folder = (_database(uri).parent / "mlartifacts" / name).as_uri() if uri.startswith("sqlite") else None
            return self.client.create_experiment(name, artifact_location=folder, tags=note | KIND)
        if found.lifecycle_stage == "deleted":
            raise TrackingError(
                f"The MLflow experiment `{name}` at {public(uri)} was deleted: bring it back with "
                f"`mlflow experiments restore -x {found.experiment_id}`, or choose another --tracking-uri."
            )
        if NOTE not in found.tags:
            self.client.set_experiment_tag(found.experiment_id, NOTE, note[NOTE])
        return found.experiment_id

    def _find_runs(self, study_id: str) -> dict[Place, Run]:
        found: list[Any] = []
        token: str | None = ""
        while token is not None:
            query = f"tags.`audiotag.study_id` = '{study_id}'"
            page = self.client.search_runs([self.experiment], query, max_results=PAGE, page_token=token or None)
            found, token = [*found, *page], page.token or None
        runs: dict[Place, Run] = {}
        for run in sorted(found, key=lambda run: (run.info.start_time, run.info.run_id)):
            data = run.data
            level, trial, fold, seed = (data.tags.get(f"audiotag.{part}", "") for part in PLACE)
            place = (level, trial, fold, seed)
            if place in runs:  # a request to make it was answered too late, and it was made again
                self.client.delete_run(run.info.run_id)
            else:
                has_dataset = bool(run.inputs and run.inputs.dataset_inputs)
                runs[place] = Run(
                    run.info.run_id, run.info.status, data.tags, data.params, data.metrics, has_dataset=has_dataset
                )
        return runs

    def run(self, place: Place, name: str, params: dict[str, Any], tags: dict[str, str], note: str) -> Run:
        """The run of a place, found or made; parameters and tags that it lacks are added."""
        entities = load_mlflow().entities
        where = {f"audiotag.{part}": value for part, value in zip(PLACE, place, strict=True) if value}
        tags = tags | self.identity | where
        if (run := self.runs.get(place)) is None:
            at_first = tags | {NAME: name, NOTE: note[:LONGEST_NOTE]}
            made = self.client.create_run(self.experiment, _now(), at_first)
            run = self.runs[place] = Run(made.info.run_id, tags=at_first, points=set())
        new_params = {name: str(value) for name, value in params.items() if name not in run.params}
        new_tags = {name: value for name, value in tags.items() if run.tags.get(name) != value}
        if new_params or new_tags:
            self.client.log_batch(
                run.id,
                params=[entities.Param(*item) for item in new_params.items()],
                tags=[entities.RunTag(*item) for item in new_tags.items()],
            )
            run.params, run.tags = run.params | new_params, run.tags | new_tags
        for name in (FAILURE, STATUS):
            if name in run.tags and name not in tags:
                self.client.delete_tag(run.id, name)
                del run.tags[name]
        return run

    def log(
        self,
        run: Run,
        history: list[dict[str, Any]],
        values: dict[str, float | None] | None = None,
        note: str | None = None,
    ) -> None:
        """Adds to a run the epochs, the metrics without epochs and the description (Markdown) that it lacks.

        What is not a number is left out. A call that is repeated carries the time of its first attempt, and MLflow
        drops a point that it has: an answer that was lost leaves nothing twice.
        """
        entities = load_mlflow().entities
        points = [*self._new_points(run, history), *_new_values(run, values or {})]
        note = note and note[:LONGEST_NOTE]
        tags = [] if note is None or run.tags.get(NOTE) == note else [entities.RunTag(NOTE, note)]
        for start in range(0, max(len(points), len(tags)), BATCH):
            batch = points[start : start + BATCH]
            stamps = [self._stamps.setdefault((run.id, name, step), _now()) for name, _, step in batch]
            metrics = [entities.Metric(*point[:2], at, point[2]) for point, at in zip(batch, stamps, strict=True)]
            self.client.log_batch(run.id, metrics=metrics, tags=tags)
            for name, _, step in batch:
                del self._stamps[run.id, name, step]
        run.metrics = run.metrics | {name: value for name, value, _ in points}
        run.tags = run.tags | {tag.key: tag.value for tag in tags}
        if run.points is not None:
            run.points |= {(name, step) for name, _, step in points}

    def _new_points(self, run: Run, history: list[dict[str, Any]]) -> list[Point]:
        if not history:
            return []
        if run.points is None:
            there = [name for name in CURVES if name in run.metrics]
            run.points = {
                (name, point.step) for name in there for point in self.client.get_metric_history(run.id, name)
            }
        points = {(name, epoch["epoch"]): epoch[field] for epoch in history for name, field in CURVES.items()}
        return [
            (name, value, step)
            for (name, step), value in points.items()
            if (name, step) not in run.points and _is_number(value)
        ]

    def set_status(self, run: Run, status: str | None) -> None:
        """RUNNING, FINISHED, FAILED or KILLED; None leaves it."""
        if status is None or status == run.status:
            return
        if status == "RUNNING":
            self.client.update_run(run.id, status)
        else:
            self.client.set_terminated(run.id, status)
            run.points = None  # a driver that kept them would grow with every epoch of the study
        run.status = status
