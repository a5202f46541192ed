"""A whole study with early stopping, killed and resumed: each configuration once, and what was stopped stays so."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import soundfile
from helpers.tracked import client_of
from place import Place, kill
from soak import changed, saved_epochs

from study.ledger.ledger import Ledger
from study.ledger.results import study_results

pytestmark = pytest.mark.slow
WORDS = ("--space", "joint", "--trials", "8", "--epochs", "1", "--scheduler", "asha", "--sampler", "random")


def write_noise(root: Path) -> Path:
    """Three folds of noise with tags by chance: no two trials have the same EER, so that some are stopped."""
    rng, rows = np.random.default_rng(0), ["filename,fold,tags"]
    (root / "audio").mkdir(parents=True)
    for number in range(54):
        soundfile.write(root / "audio" / f"{number}.wav", rng.uniform(-0.2, 0.2, 4000), 16_000)
        rows.append(f"{number}.wav,{number % 3},{';'.join(tag for tag in ('a', 'b', 'c') if rng.random() < 0.5)}")
    (root / "clips.csv").write_text("\n".join(rows) + "\n")
    return root


def optuna_states(place: Place) -> Counter[str]:
    study = optuna.load_study(study_name="asha", storage=f"sqlite:///{place.study('asha') / 'optuna.db'}")
    return Counter(trial.state.name for trial in study.trials)


def mlflow_trials(place: Place) -> list[Any]:
    client = client_of(place.store)
    (experiment,) = [found for found in client.search_experiments() if found.name == "joint"]
    return list(client.search_runs([experiment.experiment_id], "tags.`audiotag.level` = 'trial'"))


def test_a_study_that_stops_weak_trials_survives_a_kill(tmp_path: Path) -> None:
    place = Place(tmp_path)
    write_noise(tmp_path / "corpus")
    process = place.start(*WORDS, "--name", "asha", "--corpus", str(tmp_path / "corpus"))
    while process.poll() is None and len(list(place.study("asha").glob("trials/*/fold_1.json"))) < 2:
        time.sleep(0.05)
    assert process.poll() is None, place.output()
    kill(process.pid)
    before, keys = saved_epochs(place.study("asha")), {path.name for path in place.study("asha").glob("trials/*")}
    assert place.start("--resume", "asha").wait(timeout=600) == 0, place.output()

    ledger = Ledger.open(place.study("asha"))
    results = study_results(ledger, "finished")
    statuses = Counter(trial["status"] for trial in results["trials"])
    assert keys <= {trial["key"] for trial in results["trials"]}, "a configuration was lost"
    assert len({str(trial["params"]) for trial in results["trials"]}) == 8 == statuses.total()
    assert set(statuses) == {"finished", "pruned"}
    assert changed(before, saved_epochs(place.study("asha"))) <= 4, "more was trained again than what was in progress"
    for trial in results["trials"]:
        folder = ledger.trial(trial["key"]).path
        assert len(trial["folds"]) == (1 if trial["status"] == "pruned" else 3)
        assert not (folder / "running.pt").exists(), "an epoch of the next fold was trained"
    assert optuna_states(place) == {"COMPLETE": statuses["finished"], "PRUNED": statuses["pruned"]}
    runs = mlflow_trials(place)
    assert {run.info.status for run in runs} == {"FINISHED"}
    stopped = [run for run in runs if run.data.tags.get("audiotag.status") == "pruned"]
    assert (len(runs), len(stopped)) == (8, statuses["pruned"])
    assert not [run for run in stopped if "eer/mean" in run.data.metrics]
    assert "stopped after 1 fold: mean ." in place.output()
    assert "Traceback" not in place.output()
    assert place.start("--resume", "asha", "--scheduler", "fifo").wait(timeout=120) == 2
    assert "--scheduler was asha, now it is fifo" in place.output()
