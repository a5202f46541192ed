"""optuna.db: what Optuna's own tools find in it, live, after, and after a kill."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from helpers.made_up import make_corpus, make_study

from search_spaces import load_space
from study.ledger.ledger import Ledger
from study.ledger.pruning import write_pruned
from study.ledger.results import study_results
from study.tracking import optuna_db
from study.tracking.optuna_db import OptunaCopy, open_storage, write_database
from study.tracking.tracker import Progress

FIVE = make_corpus(groups=15, clips=4, tags=2, folds=5)
CONFIGS: list[dict[str, Any]] = [
    {"augmentation": "mixup", "alpha": 1.5, "dropout": 0.1},
    {"augmentation": "none", "dropout": 0.2},
    {"augmentation": "mixup_lp", "alpha": 0.5, "dropout": 0.3},
    {"augmentation": "sample_pairing", "dropout": 0.4},
]
JOINT = load_space("joint")
ENDED = ["COMPLETE", "PRUNED", "FAIL", "WAITING"]


def unfinish(ledger: Ledger, number: int, folds: int) -> None:
    for fold in range(folds, 5):
        (ledger.trials()[number].path / f"fold_{fold}.json").unlink()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A trial each that finished, was pruned after two folds, failed, and has had one fold."""
    made = make_study(tmp_path / "odd name %41?{x}" / "s", CONFIGS, corpus=FIVE, space="joint")
    unfinish(made, 1, 2)
    write_pruned(made.trials()[1], 2, 0.3, 0.2)
    made.trials()[2].write_failure("the loss is not finite")
    unfinish(made, 3, 1)
    return made


def study_in(ledger: Ledger) -> optuna.Study:
    return optuna.load_study(study_name=ledger.root.name, storage=open_storage(ledger.root / "optuna.db"))


def states(ledger: Ledger) -> list[str]:
    return [trial.state.name for trial in study_in(ledger).trials]


def refuse(text: str) -> None:
    raise AssertionError(text)


def test_each_trial_is_there_as_it_ended(ledger: Ledger) -> None:
    write_database(ledger, JOINT, refuse)
    study, results = study_in(ledger), study_results(ledger, "finished").trials
    finished, pruned, failed, waiting = study.trials
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3]
    assert states(ledger) == ENDED
    assert finished.value == results[0].mean == finished.intermediate_values[5]
    assert [len(trial.intermediate_values) for trial in (finished, pruned, waiting)] == [5, 2, 1]
    assert failed.user_attrs["reason"] == "the loss is not finite"
    assert pruned.user_attrs["reason"] == results[1].reason
    assert [trial.params for trial in study.trials] == CONFIGS
    assert finished.user_attrs["key"] == results[0].key
    assert {tag: finished.user_attrs[f"eer/{tag}"] for tag in ("c", "m")} == results[0].figures["eer"].by_tag
    assert finished.duration is not None
    assert finished.duration.total_seconds() == pytest.approx(results[0].seconds)
    assert study.user_attrs == {"space": "joint", "corpus": "made_up", "question": ledger.study.question}
    assert study.best_trial.number == 0
    assert study.metric_names == ["eer_mean"]


def test_the_objective_has_its_name_and_its_direction(tmp_path: Path) -> None:
    made = make_study(tmp_path / "s", CONFIGS[:2], corpus=FIVE, space="joint", metric="ap", gains=[0.0, 2.0])
    write_database(made, JOINT, refuse)
    study, results = study_in(made), study_results(made, "finished").trials
    assert (study.direction.name, study.metric_names, study.best_trial.number) == ("MAXIMIZE", ["ap_mean"], 1)
    assert [trial.value for trial in study.trials] == [result.figures["ap"].mean for result in results]


def test_an_address_of_optunas_own_opens_it(tmp_path: Path) -> None:
    made = make_study(tmp_path / "s", CONFIGS[:1], corpus=FIVE, space="joint")
    write_database(made, JOINT, refuse)
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{made.root / 'optuna.db'}")
    assert study.best_value == study_results(made, "finished").trials[0].mean


def test_a_session_shows_what_runs_and_leaves_nothing_running(ledger: Ledger) -> None:
    copy, key = OptunaCopy(ledger, JOINT), ledger.trials()[3].key
    copy.update(Progress(started={key}))
    assert states(ledger)[3] == "RUNNING"
    ledger.trial("late").write_trial(4, ledger.trials()[0].trial.config | {"alpha": 2.0})
    copy.update(Progress(started={key, "late"}, touched={key}))
    assert states(ledger)[3:] == ["RUNNING"], "only trials with news are looked at"
    copy.update(Progress(started={key, "late"}, touched={"late"}))
    assert states(ledger)[3:] == ["RUNNING", "RUNNING"]
    write_pruned(ledger.trial(key), 1, 0.4, 0.3)
    copy.update(Progress("interrupted", started={key, "late"}, touched=set()))
    assert states(ledger)[3:] == ["PRUNED", "WAITING"]
    assert "mean .400" in study_in(ledger).trials[3].user_attrs["reason"]


def test_the_next_session_adds_only_what_is_new(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    OptunaCopy(ledger, JOINT).update(Progress(started={ledger.trials()[3].key}))  # killed
    before = study_in(ledger).trials
    with closing(sqlite3.connect(ledger.root / "optuna.db")) as watching:  # a dashboard that stays open
        monkeypatch.setattr(optuna.storages.RDBStorage, "create_new_trial", refuse)
        write_database(ledger, JOINT, refuse)
        seen = watching.execute("select state from trials order by number").fetchall()
    assert [state for (state,) in seen] == states(ledger) == ENDED
    assert study_in(ledger).trials[:3] == before[:3]


@pytest.mark.parametrize("change", ["mended", "retrained", "removed"])
def test_a_database_that_contradicts_the_ledger_is_made_anew(ledger: Ledger, change: str) -> None:
    write_database(ledger, JOINT, refuse)
    before = study_in(ledger).best_value
    first, _, failed, last = ledger.trials()
    if change == "mended":
        (failed.path / "failed.json").unlink()
    elif change == "retrained":
        path = first.path / "fold_0.json"
        path.write_text(path.read_text().replace('"c": 0.', '"c": 0.9'))
    else:
        shutil.rmtree(last.path)
    ledger = Ledger.open(ledger.root)
    write_database(ledger, JOINT, refuse)
    wanted = {"mended": ["COMPLETE", "PRUNED", "COMPLETE", "WAITING"], "retrained": ENDED, "removed": ENDED[:3]}
    assert states(ledger) == wanted[change]
    value = study_in(ledger).trials[0].value
    assert value == study_results(ledger, "finished").trials[0].mean
    assert (value != before) == (change == "retrained")


def test_a_renamed_study_is_there_once_under_its_new_name(ledger: Ledger) -> None:
    write_database(ledger, JOINT, refuse)
    renamed = Ledger.open(ledger.root.rename(ledger.root.with_name("other")))
    write_database(renamed, JOINT, refuse)
    assert optuna.get_all_study_names(open_storage(renamed.root / "optuna.db")) == ["other"]
    assert states(renamed) == ENDED


def test_a_damaged_file_is_replaced(ledger: Ledger) -> None:
    for name in ("optuna.db", "optuna.db-journal"):
        (ledger.root / name).write_bytes(b"no database" * 1000)
    write_database(ledger, JOINT, refuse)
    assert states(ledger) == ENDED
    assert not (ledger.root / "optuna.db-journal").exists()


def test_a_failure_is_reported_and_made_good(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with monkeypatch.context() as broken:
        broken.setattr(optuna_db, "open_storage", lambda _: 1 / 0)
        write_database(ledger, JOINT, said.append)
    (line,) = said
    assert line.startswith("optuna.db of s is not up to date")
    write_database(ledger, JOINT, said.append)
    assert said == [line]
    assert states(ledger) == ENDED
