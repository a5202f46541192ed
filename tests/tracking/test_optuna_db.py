"""optuna.db: what Optuna's own tools find in it, live, after, and after a kill."""

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
from study.tracking import optuna_db as optuna_view
from study.tracking.optuna_db import Database, OptunaView, open_storage, write_view

FIVE = make_corpus(groups=15, clips=4, tags=2, folds=5)
CONFIGS: list[dict[str, Any]] = [
    {"augmentation": "mixup", "alpha": 1.5, "dropout": 0.1},
    {"augmentation": "none", "dropout": 0.2},
    {"augmentation": "mixup_lp", "alpha": 0.5, "dropout": 0.3},
    {"augmentation": "sample_pairing", "dropout": 0.4},
]
JOINT = load_space("joint")


def unfinished(ledger: Ledger, number: int, folds: int) -> None:
    for fold in range(folds, 5):
        (ledger.trials()[number].path / f"fold_{fold}.json").unlink()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A trial each that finished, was stopped after two folds, failed, and has had one fold."""
    made = make_study(tmp_path / "odd name %41?{x}" / "s", CONFIGS, corpus=FIVE, space="joint")
    unfinished(made, 1, 2)
    write_pruned(made.trials()[1], 2, 0.3, 0.2)
    made.trials()[2].write_failure("the loss is not finite")
    unfinished(made, 3, 1)
    return made


def study_in(ledger: Ledger) -> optuna.Study:
    return optuna.load_study(study_name=ledger.root.name, storage=open_storage(ledger.root / "optuna.db"))


def states(ledger: Ledger) -> list[str]:
    return [trial.state.name for trial in study_in(ledger).trials]


def fail(*_: Path) -> None:
    raise sqlite3.OperationalError("disk I/O error")


def refuse(text: str) -> None:
    raise AssertionError(text)


def test_each_trial_is_there_as_it_ended(ledger: Ledger) -> None:
    write_view(ledger, JOINT, refuse)
    study, results = study_in(ledger), study_results(ledger, "finished")["trials"]
    finished, stopped, failed, waiting = study.trials
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3]
    assert states(ledger) == ["COMPLETE", "PRUNED", "FAIL", "WAITING"]
    assert finished.value == results[0]["eer_mean"] == finished.intermediate_values[5]
    assert list(finished.intermediate_values) == [1, 2, 3, 4, 5]
    assert list(stopped.intermediate_values) == [1, 2]
    assert list(waiting.intermediate_values) == [1]
    assert failed.user_attrs["reason"] == "the loss is not finite"
    assert stopped.user_attrs["reason"].startswith("stopped after 2 folds")
    assert [trial.params for trial in study.trials] == CONFIGS
    assert finished.user_attrs["key"] == results[0]["key"]
    assert {tag: finished.user_attrs[f"eer/{tag}"] for tag in ("c", "m")} == results[0]["eer"]
    assert finished.duration is not None
    assert finished.duration.total_seconds() == pytest.approx(results[0]["seconds"])
    assert study.user_attrs == {"space": "joint", "corpus": "made_up", "question": ledger.study()["question"]}
    assert study.best_trial.number == 0
    assert study.metric_names == ["eer_mean"]


def test_the_rows_are_those_that_optuna_itself_would_write(ledger: Ledger, tmp_path: Path) -> None:
    write_view(ledger, JOINT, refuse)
    trials = study_in(ledger).trials
    own = optuna.create_study(storage=open_storage(tmp_path / "own.db"))
    own.add_trials(trials)
    assert own.trials == trials
    rows = []
    for path in (tmp_path / "own.db", ledger.root / "optuna.db"):
        with closing(sqlite3.connect(path)) as database:
            tables = ("params", "values", "intermediate_values", "user_attributes")
            found = [database.execute(f"select * from trial_{table}").fetchall() for table in tables]
            rows.append([sorted(row[1:] for row in table) for table in found])
    assert rows[0] == rows[1]


def test_an_address_of_optunas_own_opens_it(tmp_path: Path) -> None:
    made = make_study(tmp_path / "s", CONFIGS[:1], corpus=FIVE, space="joint")
    write_view(made, JOINT, refuse)
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{made.root / 'optuna.db'}")
    assert study.best_value == study_results(made, "finished")["trials"][0]["eer_mean"]


def test_a_session_shows_what_runs_and_leaves_nothing_running(ledger: Ledger) -> None:
    database, key = Database(ledger, JOINT, set()), ledger.trials()[3].key
    database.update({key})
    assert states(ledger)[3] == "RUNNING"
    ledger.trial("late").write_trial(4, ledger.trials()[0].trial()["config"] | {"alpha": 2.0})  # type: ignore[index]
    database.update({key, "late"})
    assert states(ledger)[3:] == ["RUNNING", "RUNNING"]
    write_pruned(ledger.trial(key), 1, 0.4, 0.3)
    database.update(set())
    assert states(ledger)[3:] == ["PRUNED", "WAITING"]
    assert study_in(ledger).trials[3].user_attrs["reason"].startswith("stopped after 1 fold:")
    database.close()


def test_what_a_killed_session_left_is_made_again(ledger: Ledger) -> None:
    Database(ledger, JOINT, {ledger.trials()[3].key}).close()
    assert states(ledger)[3] == "RUNNING"
    with closing(sqlite3.connect(ledger.root / "optuna.db")) as watching:  # a dashboard that stays open
        left = [ledger.root / name for name in (".optuna.db.1.tmp", ".optuna.db.1.tmp-journal")]
        for path in left:
            path.write_bytes(b"torn")
        write_view(ledger, JOINT, refuse)
        seen = watching.execute("select state from trials order by number").fetchall()
    assert [state for (state,) in seen] == states(ledger) == ["COMPLETE", "PRUNED", "FAIL", "WAITING"]
    assert not [path for path in left if path.exists()]


def test_a_damaged_file_is_replaced(ledger: Ledger) -> None:
    for name in ("optuna.db", "optuna.db-journal"):
        (ledger.root / name).write_bytes(b"no database" * 1000)
    write_view(ledger, JOINT, refuse)
    assert states(ledger) == ["COMPLETE", "PRUNED", "FAIL", "WAITING"]
    assert not (ledger.root / "optuna.db-journal").exists()


def test_a_view_made_twice_is_the_same(ledger: Ledger) -> None:
    write_view(ledger, JOINT, refuse)
    first = study_in(ledger).trials
    write_view(ledger, JOINT, refuse)
    assert study_in(ledger).trials == first


def test_the_thread_follows_its_study(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna_view, "INTERVAL", 0.0)
    monkeypatch.setattr(optuna_view, "PATIENCE", 600.0)
    view, key = OptunaView(ledger, JOINT, refuse), ledger.trials()[3].key
    view.start()
    view.started(key, {})
    view.reported(key, {"folds_done": 1})
    view.ended(key, None)
    view.close()
    assert not view._thread.is_alive()
    assert states(ledger) == ["COMPLETE", "PRUNED", "FAIL", "WAITING"]


def test_a_failure_costs_one_warning_and_is_made_good(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    view = OptunaView(ledger, JOINT, said.append)
    with monkeypatch.context() as broken:
        broken.setattr(
            optuna_view, "install", lambda *_: (_ for _ in ()).throw(sqlite3.OperationalError("disk I/O error"))
        )
        view._write(set())
        view._write(set())
    (line,) = said
    assert "optuna.db of s is not up to date" in line
    assert "disk I/O error" in line
    view._write(set())
    assert said == [line]
    assert states(ledger)[0] == "COMPLETE"
