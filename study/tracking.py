"""MLflow as a projection of the ledger: the only file that imports mlflow, and late, because that takes seconds.

One writer. Runs are found again by their tags, missing ones made, missing epochs added, so that a projection may stop
anywhere, go on later, or start again with an empty store. A run is marked FINISHED after everything else is in it.
"""

import logging
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from study.ledger import RESULTS_FILE, Ledger, TrialFolder
from study.results import trial_results

ENVIRONMENT = {  # MLflow's own settings, unless the user has set them
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # s; a dead server is noticed soon
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a repeated "create run" whose answer was lost would make a second run
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
INTERVAL, LONGEST_PAUSE = 2.0, 30.0  # s between projections, and at most between attempts during an outage
CURVES = {  # metric by epoch: field of EpochResult
    "train/loss": "train_loss",
    "train/accuracy": "train_accuracy",
    "val/loss": "val_loss",
    "val/accuracy": "val_accuracy",
    "val/eer_mean": "val_eer_mean",
}
NO_TAG_NAMES = ("mean", "var_classes", "var_folds")  # of our own metrics eer/...
PARENT, NAME, NOTE = "mlflow.parentRunId", "mlflow.runName", "mlflow.note.content"  # tags that MLflow shows
FAILURE = "audiotag.failure"
ARTIFACTS = (RESULTS_FILE, "table.md", "report.html")
BATCH, PAGE, LONGEST_NOTE = 1000, 500, 6000  # metrics a call, runs a page, characters
PLACE, STUDY = ("level", "trial", "fold"), ("study", "", "")  # what tells a study's runs apart; the study's own run

Place = tuple[str, str, str]
Point = tuple[str, float, int]  # metric, value, epoch
Live = dict[tuple[str, int], list[dict[str, Any]]]


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
        client = _mlflow().MlflowClient(uri)
        try:
            client.search_experiments(max_results=1)
        except Exception as error:  # MLflow lets through whatever a foreign answer breaks in it
            raise TrackingError(
                f"The tracking server {_public(uri)} does not answer as an MLflow server ({_reason(error)}): "
                "start it (mlflow server), or choose another --tracking-uri."
            ) from error
    else:
        raise TrackingError(
            f"The tracking URI is {_public(uri)!r}, but must begin with sqlite:///, http:// or https:// "
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


def _mlflow() -> Any:
    """The package, quiet and with our settings."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    """MLflow's exceptions as TrackingError."""
    try:
        yield
    except (_mlflow().exceptions.MlflowException, OSError) as error:
        raise TrackingError(f"MLflow at {_public(uri)} is not up to date ({_reason(error)}).") from error


def _public(uri: str) -> str:
    return re.sub(r"//[^/@]*@", "//", uri)  # without a password


def _reason(error: BaseException) -> str:
    """What began it, in a line."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0][:160]


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _now() -> int:
    return time.time_ns() // 1_000_000


def metric_names(tags: list[str]) -> dict[str, str]:
    """What a corpus tag is called in a metric's name: MLflow takes letters, digits and `_-.: `; the rest becomes `_`.

    Names that coincide, with each other or with our own (eer/mean), get _2, _3, ...
    """
    names: dict[str, str] = {}
    for tag in tags:
        plain = re.sub(r"[^\w.: -]", "_", tag)[:200]
        plain = plain if plain.strip(".") else "_"  # "." and ".." mean folders to MLflow
        taken = (*NO_TAG_NAMES, *names.values())
        numbered = (plain if number == 1 else f"{plain}_{number}" for number in range(1, len(taken) + 2))
        names[tag] = next(name for name in numbered if name not in taken)
    return names


def trial_name(config: dict[str, Any], varied: list[str]) -> str:
    """A trial's parameters that its space varies: "mixup, alpha 1.5". Without an alpha where there is none."""
    without_alpha = config["augmentation"] in ("none", "sample_pairing")
    shown = {name: config[name] for name in varied if not (name == "alpha" and without_alpha)}
    numbers = {name: f"{value:.3g}" if isinstance(value, float) else str(value) for name, value in shown.items()}
    return ", ".join(text if isinstance(shown[name], str) else f"{name} {text}" for name, text in numbers.items())


@dataclass
class _Run:
    """A run, as far as this process knows what is in it."""

    id: str
    status: str = "RUNNING"
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)  # the last value of each
    points: set[tuple[str, int]] | None = None  # (metric, epoch) of its curves; None: not read yet


def _new_values(run: _Run, values: dict[str, float | None]) -> list[Point]:
    return [
        (name, value, 0)
        for name, value in values.items()
        if value is not None and math.isfinite(value) and run.metrics.get(name) != value
    ]


class _Store:
    """The runs of one study in a tracking store. Knows what is there and writes only what is not."""

    def __init__(self, uri: str, study: dict[str, Any], stamps: dict[tuple[str, str, int], int]) -> None:
        self.client = _mlflow().MlflowClient(uri)
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
        name, note = study["space"], {NOTE: study["question"]}
        found = self.client.get_experiment_by_name(name)
        if found is None:
            folder = (_database(uri).parent / "mlartifacts" / name).as_uri() if uri.startswith("sqlite") else None
            return self.client.create_experiment(name, artifact_location=folder, tags=note)
        if found.lifecycle_stage == "deleted":
            raise TrackingError(
                f"The MLflow experiment `{name}` at {_public(uri)} was deleted: bring it back with "
                f"`mlflow experiments restore -x {found.experiment_id}`, or choose another --tracking-uri."
            )
        if NOTE not in found.tags:
            self.client.set_experiment_tag(found.experiment_id, NOTE, study["question"])
        return found.experiment_id

    def _find_runs(self, study_id: str) -> dict[Place, _Run]:
        found: list[Any] = []
        token: str | None = ""
        while token is not None:
            query = f"tags.`audiotag.study_id` = '{study_id}'"
            page = self.client.search_runs([self.experiment], query, max_results=PAGE, page_token=token or None)
            found, token = [*found, *page], page.token or None
        runs: dict[Place, _Run] = {}
        for run in sorted(found, key=lambda run: (run.info.start_time, run.info.run_id)):
            data = run.data
            place = tuple(data.tags.get(f"audiotag.{part}", "") for part in PLACE)
            if place in runs:  # a request to make it was answered too late, and it was made again
                self.client.delete_run(run.info.run_id)
            else:
                runs[place] = _Run(run.info.run_id, run.info.status, data.tags, data.params, data.metrics)
        return runs

    def run(self, place: Place, name: str, params: dict[str, Any], tags: dict[str, str], note: str) -> _Run:
        """The run of a place, found or made; parameters and tags that it lacks are added."""
        entities = _mlflow().entities
        where = {f"audiotag.{part}": value for part, value in zip(PLACE, place, strict=True) if value}
        tags = tags | self.identity | where
        if (run := self.runs.get(place)) is None:
            at_first = tags | {NAME: name, NOTE: note[:LONGEST_NOTE]}
            made = self.client.create_run(self.experiment, _now(), at_first)
            run = self.runs[place] = _Run(made.info.run_id, tags=at_first, points=set())
        new_params = {name: str(value) for name, value in params.items() if name not in run.params}
        new_tags = {name: value for name, value in tags.items() if run.tags.get(name) != value}
        if new_params or new_tags:
            self.client.log_batch(
                run.id,
                params=[entities.Param(*item) for item in new_params.items()],
                tags=[entities.RunTag(*item) for item in new_tags.items()],
            )
            run.params, run.tags = run.params | new_params, run.tags | new_tags
        if FAILURE in run.tags and FAILURE not in tags:
            self.client.delete_tag(run.id, FAILURE)
            del run.tags[FAILURE]
        return run

    def log(
        self,
        run: _Run,
        history: list[dict[str, Any]],
        values: dict[str, float | None] | None = None,
        note: str | None = None,
    ) -> None:
        """Adds to a run the epochs, the metrics without epochs and the description (Markdown) that it lacks.

        What is not a number is left out. A call that is repeated carries the time of its first attempt, and MLflow
        drops a point that it has: an answer that was lost leaves nothing twice.
        """
        entities = _mlflow().entities
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

    def _new_points(self, run: _Run, history: list[dict[str, Any]]) -> list[Point]:
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

    def set_status(self, run: _Run, status: str | None) -> None:
        """RUNNING, FINISHED, FAILED or KILLED; None leaves it."""
        if status is None or status == run.status:
            return
        if status == "RUNNING":
            self.client.update_run(run.id, status)
        else:
            self.client.set_terminated(run.id, status)
        run.status = status


class Projection:
    """A study's ledger as MLflow shows it."""

    def __init__(self, ledger: Ledger, uri: str) -> None:
        self._ledger, self._uri = ledger, uri
        self._store: _Store | None = None
        self._stamps: dict[tuple[str, str, int], int] = {}

    def update(self, live: Live, study_status: str) -> None:
        """Brings the store up to the ledger and to epochs that are not in it yet.

        Args:
            live: {(trial key, fold): epochs of a fold in progress, as EpochResult's fields}. Those that were given
                before may be left out or come again.
            study_status: running, finished or interrupted. Unless it is running, no run stays RUNNING.

        Raises:
            TrackingError: when the store does not take it. The next call looks again what is there and goes on.
        """
        with _translated(self._uri):
            store = self._store or _Store(self._uri, self._ledger.study(), self._stamps)
            self._store = None  # until all is done: after a failure nobody knows what has arrived
            running = study_status == "running"
            run = _study_run(store)
            if running:
                store.set_status(run, "RUNNING")
            for folder in self._open_trials(store):
                _project_trial(store, folder, live, running)
            if not running:
                _end_study(store, run, "FINISHED" if study_status == "finished" else "KILLED")
                self._log_artifacts(store, run)
            self._store = store

    def _open_trials(self, store: _Store) -> list[TrialFolder]:
        """The trials that may have something new, by their numbers. Of the others only the names are read."""
        folders = [self._ledger.trial(path.name) for path in (self._ledger.root / "trials").glob("*")]
        opened = []
        for folder in folders:
            if folder.key in store.done or _is_complete(store, folder.key):
                continue
            if (trial := folder.trial()) is not None:
                opened.append((trial["number"], folder.key, folder))
        return [folder for _, _, folder in sorted(opened, key=lambda entry: entry[:2])]

    def _log_artifacts(self, store: _Store, run: _Run) -> None:
        for name in ARTIFACTS:
            if (path := self._ledger.root / name).is_file():
                store.client.log_artifact(run.id, str(path))


def _is_complete(store: _Store, key: str) -> bool:
    """Whether a trial and its folds are FINISHED in the store, under the study's run (it may have been made anew)."""
    trial = store.runs.get(("trial", key, ""))
    folds = [store.runs.get(("fold", key, str(fold))) for fold in store.study["corpus"]["folds"]]
    finished = all(run is not None and run.status == "FINISHED" for run in (trial, *folds))
    return finished and trial is not None and trial.tags.get(PARENT) == store.runs[STUDY].id


def _study_run(store: _Store) -> _Run:
    study, corpus = store.study, store.study["corpus"]
    params = {
        "corpus": corpus["name"],
        "corpus_fingerprint": corpus["fingerprint"],
        "protocol": study["protocol"],
        "seed": study["seed"],
        "space": study["space"],
        "trials": study["trials"],
        "folds": len(corpus["folds"]),
    }
    return store.run(STUDY, study["study"], params, {}, _study_note(study))


def _study_note(study: dict[str, Any]) -> str:
    name, folds = study["study"], len(study["corpus"]["folds"])
    return (
        f"{study['question']}\n\n**{name}**: {study['trials']} trials of {folds} folds on "
        f"`{study['corpus']['name']}`, protocol {study['protocol']}, seed {study['seed']}.\n\nStarted with "
        f"`{study['command']}`; continue it with `--resume {study['study']}`."
    )


def _project_trial(store: _Store, folder: TrialFolder, live: Live, running: bool) -> None:
    """A trial that is not complete in the store: its run, those of its folds, and its result where it has one."""
    study, trial, failure = store.study, folder.trial(), folder.failure()
    assert trial is not None, "opened trials have a configuration"
    name = trial_name(trial["config"], study["varied"]) or folder.key
    title = f"Trial {trial['number']} of {study['study']}: {name}."
    tags = {PARENT: store.runs[STUDY].id} | ({FAILURE: failure[:LONGEST_NOTE]} if failure else {})
    run = store.run(("trial", folder.key, ""), name, trial["config"], tags, title)
    open_status = "FAILED" if failure else "RUNNING" if running else None
    folds = study["corpus"]["folds"]
    ended = [_project_fold(store, folder, trial["config"], fold, live, open_status) for fold in folds]
    result = trial_results(folder, study) if failure or all(ended) else None
    if result is not None:
        history = [] if failure else _mean_history(folder, folds)
        note = f"{title} " + (f"Failed: {failure}" if failure else f"Mean EER {_decimal(result['eer_mean'])}.")
        store.log(run, history, _trial_values(result), note)
        store.done.add(folder.key)
    store.set_status(run, "FINISHED" if result is not None and not failure else open_status)


def _project_fold(
    store: _Store, folder: TrialFolder, config: dict[str, Any], fold: int, live: Live, open_status: str | None
) -> bool:
    """A fold's run, once it has an epoch; whether it is finished. If not, it gets `open_status`."""
    place, parent = ("fold", folder.key, str(fold)), store.runs["trial", folder.key, ""]
    known = store.runs.get(place)
    finished = known is not None and known.status == "FINISHED"
    record = None if finished else folder.fold(fold)
    history = record["history"] if record else live.get((folder.key, fold), [])
    if known is None and not history:
        return False
    title = f"Fold {fold} of the trial {folder.key}."
    run = store.run(place, f"fold {fold}", config | {"fold": fold}, {PARENT: parent.id}, title)
    if record is not None:
        values = _eer_values("eer", record["eer"], record["eer_mean"])
        values |= {name: record[name] for name in ("best_epoch", "epochs", "seconds")}
        note = f"{title} EER {_decimal(record['eer_mean'])}; epoch {record['best_epoch']} was the best."
        store.log(run, history, values, note)
        store.set_status(run, "FINISHED")
    elif not finished:
        store.log(run, history)
        store.set_status(run, open_status)
    return run.status == "FINISHED"


def _trial_values(result: dict[str, Any]) -> dict[str, float | None]:
    """A trial's metrics from its entry in results.json."""
    values = _eer_values("eer", result["eer"], result["eer_mean"])
    values |= {"eer/var_classes": result["eer_var_classes"], "eer/var_folds": result["eer_var_folds"]}
    if "eval_eer" in result:
        values |= _eer_values("eval", result["eval_eer"], result["eval_eer_mean"])
        values["eval/var_classes"] = result["eval_eer_var_classes"]
    return values


def _eer_values(prefix: str, eers: dict[str, float | None], mean: float | None) -> dict[str, float | None]:
    names = metric_names(list(eers))
    return {f"{prefix}/mean": mean, **{f"{prefix}/{names[tag]}": eer for tag, eer in eers.items()}}


def _mean_history(folder: TrialFolder, folds: list[int]) -> list[dict[str, Any]]:
    """By epoch, the means over the folds that have it."""
    histories = [record["history"] for fold in folds if (record := folder.fold(fold)) is not None]
    means = []
    for epoch in range(max(map(len, histories))):
        there = [history[epoch] for history in histories if epoch < len(history)]
        columns = {name: [entry[name] for entry in there if entry[name] is not None] for name in CURVES.values()}
        means.append({name: sum(column) / len(column) if column else None for name, column in columns.items()})
    return [{"epoch": epoch, **mean} for epoch, mean in enumerate(means)]


def _end_study(store: _Store, study_run: _Run, status: str) -> None:
    """The study's own figures, and no run left RUNNING."""
    for run in store.runs.values():
        if run.status == "RUNNING" and run is not study_run:
            store.set_status(run, "KILLED")
    trials = {key: run for (level, key, _), run in store.runs.items() if level == "trial"}
    finished = [run for run in trials.values() if run.status == "FINISHED"]
    failed = sum(run.status == "FAILED" for run in trials.values())
    scored = [run for run in finished if "eer/mean" in run.metrics]
    best = min(scored, key=lambda run: (run.metrics["eer/mean"], run.tags[NAME]), default=None)
    values: dict[str, float | None] = {"trials/finished": len(finished), "trials/failed": failed}
    note = f"{_study_note(store.study)}\n\n{len(finished)} trials finished, {failed} failed."
    if best is not None:
        values["best/eer_mean"] = best.metrics["eer/mean"]
        note += f" The best is {best.tags[NAME]}: mean EER {_decimal(best.metrics['eer/mean'])}."
    store.log(study_run, [], values, note)
    store.set_status(study_run, status)


def _decimal(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"


class Tracker:
    """Keeps MLflow up to date while a study runs, in a thread of its own: training never waits for it.

    It may be told of trials as a listener of `study.search`. A failure is said in one line and tried again, with
    growing pauses, until it works.
    """

    def __init__(self, ledger: Ledger, uri: str, warn: Callable[[str], None]) -> None:
        self._projection = Projection(ledger, uri)
        self._uri, self._warn = uri, warn
        self._live: Live = {}  # epochs that have not been projected
        self._lock = threading.Lock()
        self._changed, self._closing, self._abandoned = threading.Event(), threading.Event(), threading.Event()
        self._status, self._complete, self._failing = "running", False, False
        self._thread = threading.Thread(target=self._loop, name="mlflow", daemon=True)

    def start(self) -> None:
        """Starts projecting, with what the ledger holds now."""
        self._changed.set()
        self._thread.start()

    def touch(self) -> None:
        """The ledger has changed."""
        self._changed.set()

    def epoch(self, key: str, fold: int, result: dict[str, Any]) -> None:
        """A fold in progress has one more epoch (EpochResult's fields; others are ignored)."""
        with self._lock:
            self._live.setdefault((key, fold), []).append(result)
        self._changed.set()

    def started(self, key: str, config: dict[str, Any]) -> None:
        """As a listener: a trial began."""
        self.touch()

    def reported(self, key: str, report: dict[str, Any]) -> None:
        """As a listener: an epoch, or the end of the last fold."""
        if "epoch" in report:
            self.epoch(key, report["fold"], report)
        else:
            self.touch()

    def ended(self, key: str, reason: str | None) -> None:
        """As a listener: a trial finished or failed."""
        self.touch()

    def close(self, status: str, timeout: float) -> bool:
        """A last projection, of a study finished or interrupted; whether all of it arrived within `timeout` s."""
        self._status = status
        self._closing.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._abandoned.set()
        return self._complete

    def _loop(self) -> None:
        pause = INTERVAL
        while not self._abandoned.is_set():
            self._changed.wait()
            self._changed.clear()
            closing = self._closing.is_set()
            done = self._project(self._status if closing else "running")
            if closing and done:
                self._complete = True
                return
            pause = INTERVAL if done or closing else min(2 * pause, LONGEST_PAUSE)
            if not done:
                self._changed.set()
            (self._abandoned if closing else self._closing).wait(pause)

    def _project(self, status: str) -> bool:
        with self._lock:
            live = {place: list(epochs) for place, epochs in self._live.items()}
        try:
            self._projection.update(live, status)
        except Exception as error:  # whatever it is, training goes on
            if not self._failing:
                text = (
                    str(error)
                    if isinstance(error, TrackingError)
                    else f"MLflow: {type(error).__name__}: {_reason(error)}"
                )
                self._warn(f"{text} Training goes on and nothing is lost; it will be tried again.")
            self._failing = True
            return False
        if self._failing:
            self._warn(f"MLflow at {_public(self._uri)} is up to date again.")
            self._failing = False
        with self._lock:
            for place, epochs in live.items():
                self._live[place] = self._live[place][len(epochs) :]
            self._live = {place: epochs for place, epochs in self._live.items() if epochs}
        return True
