"""The ledger as MLflow shows it: a copy that can be thrown away and made again.

One writer. A projection may stop anywhere, go on later, or start again with an empty store. A run is marked FINISHED
after everything else is in it.
"""

import re
from typing import Any

from study.format import trial_name
from study.ledger.ledger import RESULTS_FILE, Ledger, TrialFolder
from study.ledger.pruning import PRUNED_FILE, pruned
from study.ledger.results import trial_results
from study.ledger.seeds import finished_folds, seeds_of
from study.tracking.descriptions import ended_note, fold_note, number, study_note, trial_note
from study.tracking.mlflow_store import CURVES, FAILURE, LONGEST_NOTE, NAME, PARENT, STATUS, Run, Store, translated
from study.tracking.model_registry import log_dataset, register_best
from study.tracking.run_keys import STUDY, Place, fold_places, trial_place

NO_TAG_NAMES = ("mean", "var_classes", "var_folds", "sd_seeds")  # of our own metrics eer/...
ARTIFACTS = ("report.html", "table.md", RESULTS_FILE)  # of a study, with the folder of figures
FIGURES = "figures"

Live = dict[tuple[str, int], list[dict[str, Any]]]


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


class Projection:
    """A study's ledger as MLflow shows it."""

    def __init__(self, ledger: Ledger, uri: str) -> None:
        self._ledger, self._uri = ledger, uri
        self._store: Store | None = None
        self._stamps: dict[tuple[str, str, int], int] = {}

    def update(self, live: Live, study_status: str) -> None:
        """Brings the store up to the ledger and to epochs that are not in it yet.

        Args:
            live: {(trial key, fold): epochs of a fold in progress, as EpochResult's fields, with repeats also their
                seed}. Those that were given before may be left out or come again.
            study_status: running, finished or interrupted. Unless it is running, no run stays RUNNING.

        Raises:
            TrackingError: when the store does not take it. The next call looks again what is there and goes on.
        """
        with translated(self._uri):
            store = self._store or Store(self._uri, self._ledger.study(), self._stamps)
            self._store = None  # until all is done: after a failure nobody knows what has arrived
            running = study_status == "running"
            run = _study_run(store)
            if running:
                store.set_status(run, "RUNNING")
            for folder in self._open_trials(store):
                _project_trial(store, folder, live, running)
            if not running:
                best = self._best_trial(store)
                _end_study(store, run, best, "FINISHED" if study_status == "finished" else "KILLED")
                self._log_artifacts(store, run)
                if study_status == "finished" and best is not None:
                    key = best.tags["audiotag.trial"]
                    register_best(store, self._ledger.trial(key), f"{best.tags[NAME]} ({store.study['study']})")
            self._store = store

    def _open_trials(self, store: Store) -> list[TrialFolder]:
        """The trials that may have something new, by their numbers. Of the others only the names are read."""
        folders = [self._ledger.trial(path.name) for path in (self._ledger.root / "trials").glob("*")]
        opened = []
        for folder in folders:
            if folder.key in store.done or _is_complete(store, folder):
                continue
            if (trial := folder.trial()) is not None:
                opened.append((trial["number"], folder.key, folder))
        return [folder for _, _, folder in sorted(opened, key=lambda entry: entry[:2])]

    def _best_trial(self, store: Store) -> Run | None:
        """The finished trial with the lowest mean EER, the first of equals: as in the tables."""
        scored = {
            key: run
            for (level, key, *_), run in store.runs.items()
            if level == "trial" and run.status == "FINISHED" and "eer/mean" in run.metrics
        }
        lowest = min((run.metrics["eer/mean"] for run in scored.values()), default=None)
        equals = [key for key, run in scored.items() if run.metrics["eer/mean"] == lowest]
        numbers = {key: trial["number"] for key in equals if (trial := self._ledger.trial(key).trial()) is not None}
        return scored[min(numbers, key=lambda key: numbers[key])] if numbers else None

    def _log_artifacts(self, store: Store, run: Run) -> None:
        for name in ARTIFACTS:
            if (path := self._ledger.root / name).is_file():
                store.client.log_artifact(run.id, str(path))
        if any((folder := self._ledger.root / FIGURES).glob("*.svg")):
            store.client.log_artifacts(run.id, str(folder), FIGURES)


def _is_complete(store: Store, folder: TrialFolder) -> bool:
    """Whether a trial and its folds are FINISHED in the store, under the study's run (it may have been made anew)."""
    trial = store.runs.get(trial_place(folder.key))
    stopped = trial is not None and STATUS in trial.tags and (folder.path / PRUNED_FILE).is_file()
    places = [place for fold in store.study["corpus"]["folds"] for place in fold_places(store.study, folder.key, fold)]
    runs = [store.runs.get(place) for place in places]
    folds = [run for run in runs if run is not None] if stopped else runs
    finished = all(run is not None and run.status == "FINISHED" for run in (trial, *folds))
    return finished and trial is not None and trial.tags.get(PARENT) == store.runs[STUDY].id


def _study_run(store: Store) -> Run:
    study, corpus, seeds = store.study, store.study["corpus"], seeds_of(store.study)
    params = {
        "corpus": corpus["name"],
        "corpus_fingerprint": corpus["fingerprint"],
        "protocol": study["protocol"],
        "seed": study["seed"],
        "space": study["space"],
        "trials": study["trials"],
        "folds": len(corpus["folds"]),
    }
    params |= {"repeats": len(seeds)} if len(seeds) > 1 else {}
    run = store.run(STUDY, study["study"], params, {}, study_note(study))
    log_dataset(store, run)
    return run


def _project_trial(store: Store, folder: TrialFolder, live: Live, running: bool) -> None:
    """A trial that is not complete in the store: its run, those of its folds, and its result where it has one."""
    study, trial, failure = store.study, folder.trial(), folder.failure()
    assert trial is not None, "opened trials have a configuration"
    name = trial_name(trial["config"], study["varied"]) or folder.key
    title = trial_note(study, trial["number"], name)
    stopped = pruned(folder) if failure is None else None
    tags = {PARENT: store.runs[STUDY].id} | ({FAILURE: failure[:LONGEST_NOTE]} if failure else {})
    tags |= {STATUS: "pruned"} if stopped else {}
    run = store.run(trial_place(folder.key), name, trial["config"], tags, title)
    log_dataset(store, run)
    open_status = "FAILED" if failure else "RUNNING" if running else None
    ended = [
        _project_fold(store, part, trial["config"], fold, place, live, open_status)
        for fold in study["corpus"]["folds"]
        for part, place in zip(folder.repeats(seeds_of(study)), fold_places(study, folder.key, fold), strict=True)
    ]
    result = trial_results(folder, study) if failure or stopped or all(ended) else None
    if result is not None:
        history = [] if failure else _mean_history(folder, study)
        note = f"{title} " + (f"Failed: {failure}" if failure else f"Mean EER {number(result['eer_mean'])}.")
        if stopped:
            note = f"{title} It was {stopped['reason']}."
        store.log(run, history, _trial_values(result), note)
        store.done.add(folder.key)
    store.set_status(run, "FINISHED" if result is not None and not failure else open_status)


def _project_fold(
    store: Store,
    folder: TrialFolder,
    config: dict[str, Any],
    fold: int,
    place: Place,
    live: Live,
    open_status: str | None,
) -> bool:
    """A fold's run with one seed, once it has an epoch; whether it is finished. If not, it gets `open_status`."""
    seed, parent = place[-1], store.runs[trial_place(folder.key)]
    known = store.runs.get(place)
    finished = known is not None and known.status == "FINISHED"
    record = None if finished else folder.fold(fold)
    epochs = [epoch for epoch in live.get((folder.key, fold), []) if not seed or str(epoch["seed"]) == seed]
    history = record["history"] if record else epochs
    if known is None and not history:
        return False
    whose = f" with seed {seed}" if seed else ""
    title = fold_note(folder.key, f"{fold}{whose}")
    params = (
        {name: config[name] for name in store.study["varied"] if name in config}
        | {"fold": fold}
        | ({"seed": seed} if seed else {})
    )
    run = store.run(place, f"fold {fold}{whose}", params, {PARENT: parent.id}, title)
    if record is not None:
        values = _eer_values("eer", record["eer"], record["eer_mean"])
        values |= {name: record[name] for name in ("best_epoch", "epochs", "seconds")}
        note = f"{title} EER {number(record['eer_mean'])}; epoch {record['best_epoch']} was the best."
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
    values |= {"eer/sd_seeds": result["eer_sd_seeds"]} if "eer_sd_seeds" in result else {}
    if "eval_eer" in result:
        values |= _eer_values("eval", result["eval_eer"], result["eval_eer_mean"])
        values["eval/var_classes"] = result["eval_eer_var_classes"]
    return values


def _eer_values(prefix: str, eers: dict[str, float | None], mean: float | None) -> dict[str, float | None]:
    names = metric_names(list(eers))
    return {f"{prefix}/mean": mean, **{f"{prefix}/{names[tag]}": eer for tag, eer in eers.items()}}


def _mean_history(folder: TrialFolder, study: dict[str, Any]) -> list[dict[str, Any]]:
    """By epoch, the means over the folds (with repeats, of every seed) that have it."""
    histories = [record["history"] for fold in finished_folds(folder, study) for record in fold]
    means = []
    for epoch in range(max(map(len, histories))):
        there = [history[epoch] for history in histories if epoch < len(history)]
        columns = {name: [entry[name] for entry in there if entry[name] is not None] for name in CURVES.values()}
        means.append({name: sum(column) / len(column) if column else None for name, column in columns.items()})
    return [{"epoch": epoch, **mean} for epoch, mean in enumerate(means)]


def _end_study(store: Store, study_run: Run, best: Run | None, status: str) -> None:
    """The study's own figures, and no run left RUNNING."""
    for run in store.runs.values():
        if run.status == "RUNNING" and run is not study_run:
            store.set_status(run, "KILLED")
    trials = {key: run for (level, key, *_), run in store.runs.items() if level == "trial"}
    stopped = sum(STATUS in run.tags for run in trials.values())
    finished = sum(run.status == "FINISHED" for run in trials.values()) - stopped
    failed = sum(run.status == "FAILED" for run in trials.values())
    values: dict[str, float | None] = {"trials/finished": finished, "trials/failed": failed}
    if stopped:
        values["trials/pruned"] = stopped
    if best is not None:
        values["best/eer_mean"] = best.metrics["eer/mean"]
    name = None if best is None else best.tags[NAME]
    note = ended_note(store.study, finished, failed, name, values.get("best/eer_mean"), stopped)
    store.log(study_run, [], values, note)
    store.set_status(study_run, status)
