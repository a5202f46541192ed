"""The ledger as MLflow shows it: a copy that can be thrown away and made again.

Only one process writes. An update may be killed anywhere, continue later, or start again with an empty store. A run is
marked FINISHED after everything else is in it. After that only what is new is added: metrics of a newer version,
further partitions, and what the report concludes of a trial, which changes with the others.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

from audiotag.metrics import DEFAULT
from audiotag.training.epochs import EpochResult
from audiotag.uris import public
from study.format import own_params, trial_name
from study.ledger.findings import FINDINGS_FILE, Findings, TrialFindings, read_findings
from study.ledger.learning_curves import mean_curves
from study.ledger.ledger import RESULTS_FILE, Ledger
from study.ledger.provenance import current_program
from study.ledger.results import finished_folds, study_results, trial_result
from study.ledger.schema import FoldResult, SeedFold, StudyResults, TrialResult
from study.ledger.trial_folder import TrialFolder
from study.stats.rows import name_rows
from study.tracking.descriptions import describe_results, describe_study, describe_trial
from study.tracking.metric_names import evaluation_values, figure_values, finding_values, partition_values
from study.tracking.mlflow_store import FAILURE, NAME, NOTE, PARENT, STATUS, Run, Store, translated
from study.tracking.model_registry import register_best
from study.tracking.run_keys import STUDY, RunKey, fold_key
from study.tracking.run_labels import COLOR, fold_name, run_color
from study.tracking.saved_view import VIEW, view_key, view_link, view_path, view_value
from study.tracking.tracker import Progress

ARTIFACTS = ("report.html", "table.md", RESULTS_FILE, FINDINGS_FILE)  # of a study, with the folder of figures
FIGURES = "figures"
GIT_COMMIT, GIT_DIRTY = "audiotag.git_commit", "audiotag.git_dirty"  # tags of a study's run
PARTITIONS = "audiotag.partitions"
ENDS = {"finished": "FINISHED", "pruned": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class MlflowCopy:
    """A study in a tracking store.

    Args:
        ledger: The study's.
        uri: Of the store.
        tell: Gets the view's address as soon as that shows a running study.
        named: The hyperparameters that tell its trials apart, by which new runs are named; None: those of the trials
            that the ledger has.

    Attributes:
        view: The address at which a browser shows its trials; None until there is an experiment.
    """

    shows_epochs = True

    def __init__(
        self,
        ledger: Ledger,
        uri: str,
        tell: Callable[[str], None] | None = None,
        named: Sequence[str] | None = None,
    ) -> None:
        self.name = f"MLflow at {public(uri)}"
        self._ledger, self._study, self._uri = ledger, ledger.study, uri
        self._store: Store | None = None
        self._failed = False  # an attempt since the store was looked at for the last time
        self.view: str | None = None
        self._named = named
        self._tell, self._viewed = tell, 0  # trials that had ended when the view was saved

    def update(self, progress: Progress) -> None:
        """Bring the store up to the ledger and to epochs that are not in it yet.

        Unless the study is running, no run stays RUNNING.

        Raises:
            TrackingError: When the store does not take it. The next call looks again what is there and goes on.
        """
        if self._ledger.study is not self._study:  # it has another partition: trials that had ended go on
            self._study, self._store = self._ledger.study, None
        if self._named is None:
            self._named = name_rows([own_params(folder.trial.config) for folder in self._ledger.trials()], self._study)
        running, failed = progress.status == "running", self._failed
        if failed and not running:
            self._store = None  # a call that was given up may have made a run after the store was looked at again
        with translated(self._uri):
            among = progress.touched if running and self._store is not None else None
            store = self._store or Store(self._uri, self._study)
            self._store, self._failed = None, True  # until all is done: after a failure nobody knows what has arrived
            run = self._copy_study(store)
            if running:
                store.set_status(run, "RUNNING")
            trials = self._ledger.trials(among, without=store.ended)
            store.each(partial(self._copy_trial, store, progress), trials)
            if not running:
                self._end_study(store, run, progress.status)
            elif self.view is None or len(store.ended) >= 2 * max(self._viewed, 1):  # seldom: it reads all results
                self.view = self._save_view(store, study_results(self._ledger, "interrupted"))
                tell, self._tell = self._tell, None
                if tell is not None:
                    tell(self.view)
            self._store, self._failed = store, failed and running

    def _copy_study(self, store: Store) -> Run:
        study = self._study
        params = {
            "corpus": study.corpus.name,
            "corpus_fingerprint": study.corpus.fingerprint,
            "protocol": study.protocol,
            "seed": study.seed,
            "space": study.space,
            "trials": study.trials,
            "folds": len(study.folds),
        }
        params |= {"metric": study.metric} if study.metric != DEFAULT else {}
        params |= {"repeats": study.repeats} if study.has_several_seeds else {}
        program = current_program(study)
        tags = {NOTE: describe_study(study), GIT_COMMIT: program.git_commit or "unknown"}
        if program.git_dirty is not None:
            tags[GIT_DIRTY] = str(program.git_dirty).lower()
        if study.has_several_partitions:  # a tag, because a study may get more of them
            tags[PARTITIONS] = str(len(study.partitions))
        run = store.run(STUDY, study.name, tags)
        store.log(run, params=params)
        store.log_dataset(run)
        return run

    def _copy_trial(self, store: Store, progress: Progress, folder: TrialFolder) -> None:
        """Copy a trial: its run, those of its folds, and its result where it has one."""
        study, trial, result = self._study, folder.trial, trial_result(self._ledger, folder)
        name = trial_name(trial.config, self._named or study.varied) or folder.key
        tags = {PARENT: store.runs[STUDY].id, NOTE: describe_trial(study, trial, name, result)}
        tags[COLOR] = run_color(trial.number)
        if result is not None and result.reason is not None:
            tags |= {STATUS: "pruned"} if result.status == "pruned" else {FAILURE: result.reason}
        if result is not None and (stopped := result.failed_partition) is not None:
            tags[FAILURE] = f"in partition {stopped.partition}: {stopped.reason}"
        run = store.run(RunKey("trial", folder.key), name, tags)
        store.log_dataset(run)
        in_progress = "RUNNING" if progress.status == "running" else "KILLED"
        status = in_progress if result is None or result.goes_on else ENDS[result.status]
        for partition, fold in product(study.partitions, study.folds):
            parts = folder.for_partition(partition).for_seeds(study.seeds)
            for seed, part in zip(study.seeds, parts, strict=True):
                epochs = progress.epochs.get((folder.key, partition, fold, seed), [])
                self._copy_fold(store, part, fold, seed, epochs, "KILLED" if status == "FINISHED" else status)
        values = {} if result is None else figure_values(result.figures) | evaluation_values(result.evaluation)
        if run.status == "FINISHED":
            store.add(run, values, trial.config)
        else:
            records = [record for fold in finished_folds(folder, study) for record in fold] if result else []
            curves = mean_curves([record.history for record in records]) if status == "FINISHED" else []
            store.log(run, curves, values, trial.config)
        if result is not None and result.over_partitions is not None and not result.goes_on:
            store.log(run, values=partition_values(result.over_partitions))  # with more partitions they change
        store.set_status(run, status)
        if result is not None:
            self._add_to_folds(store, result)
        if result is not None and not result.goes_on:
            store.ended.add(folder.key)

    def _add_to_folds(self, store: Store, result: TrialResult) -> None:
        """Add metrics that are newer than the runs of a trial's folds."""
        study, parts = self._study, enumerate(result.folds_by_partition, start=1)
        for partition, fold in ((number, fold) for number, folds in parts for fold in folds):
            trainings: Sequence[FoldResult | SeedFold] = fold.repeats or (fold,)
            for seed, training in zip(study.seeds, trainings, strict=True):
                if (run := store.runs.get(fold_key(study, result.key, fold.fold, seed, partition))) is not None:
                    store.add(run, figure_values(training.figures))

    def _copy_fold(
        self, store: Store, folder: TrialFolder, fold: int, seed: int, epochs: Sequence[EpochResult], status: str
    ) -> None:
        """Copy a fold's training with one seed, once it has an epoch; it gets `status` as long as it goes on.

        `folder` is the trial's for this seed and partition.
        """
        key = fold_key(self._study, folder.key, fold, seed, folder.partition)
        known = store.runs.get(key)
        finished = known is not None and known.status == "FINISHED"
        record = None if finished else folder.read_fold(fold)
        if known is None and record is None and not epochs:
            return
        own = {"fold": fold} | ({"partition": folder.partition} if key.partition else {})
        own |= {"seed": seed} if key.seed else {}
        config = folder.trial.config
        params = {name: config[name] for name in self._study.varied if name in config} | own
        trial = store.runs[RunKey("trial", folder.key)]
        tags = {PARENT: trial.id, COLOR: run_color(folder.trial.number)}
        run = store.run(key, fold_name(trial.tags[NAME], own), tags)
        if record is not None:
            values = {name: getattr(record, name) for name in ("best_epoch", "epochs", "seconds")}
            store.log(run, record.history, figure_values(record.figures) | values, params)
            store.set_status(run, "FINISHED")
        elif not finished:
            store.log(run, epochs, params=params)
            store.set_status(run, status)

    def _copy_findings(self, store: Store, findings: Findings) -> None:
        """Copy what the report concludes: the answer, and the figures of each trial, which change with other trials."""

        def add_figures(trial: TrialFindings) -> None:
            if (run := store.runs.get(RunKey("trial", trial.key))) is not None:
                store.log(run, values=finding_values(trial, self._study.metric))

        store.each(add_figures, findings.trials)
        store.note_answer(findings.answer, view_path(store.experiment, self._study, store.version))

    def _save_view(self, store: Store, results: StudyResults) -> str:
        """Keep a view of the trials as far as they have results; return its address."""
        store.save_view(VIEW + view_key(self._study), view_value(results, store.version))
        self._viewed = len(store.ended)
        return view_link(store.experiment, self._study, self._uri, store.version)

    def _end_study(self, store: Store, run: Run, status: str) -> None:
        results = study_results(self._ledger, status)
        values: dict[str, float | None] = {
            f"trials/{ending}": len(results.with_status(ending)) for ending in ("finished", "failed", "pruned")
        }
        best, name = results.best, ""
        if best is not None:
            values |= {f"best/{metric}_mean": part.mean for metric, part in best.figures.items()}
            name = store.runs[RunKey("trial", best.key)].tags[NAME]
        store.log(run, values=values)
        findings = read_findings(self._ledger)
        trials = view_path(store.experiment, self._study, store.version)
        store.run(STUDY, self._study.name, {NOTE: describe_results(results, name, findings, trials)})
        self.view = self._save_view(store, results)
        if findings is not None:
            self._copy_findings(store, findings)
        for name_of_file in ARTIFACTS:
            if (path := self._ledger.root / name_of_file).is_file():
                store.client.log_artifact(run.id, str(path))
        if any((folder := self._ledger.root / FIGURES).glob("*.svg")):
            store.client.log_artifacts(run.id, str(folder), FIGURES)
        store.set_status(run, ENDS[status])
        if status == "finished" and best is not None:
            with store.optional("registered models"):
                register_best(store, self._ledger.trial(best.key), f"{name} ({self._study.name})")
