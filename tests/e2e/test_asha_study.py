"""A whole study that prunes, killed and resumed: each configuration once, and what was pruned stays so."""

from collections import Counter
from pathlib import Path

import optuna
import pytest
from helpers.tracked import client_of
from helpers.whole_studies import catch_up, finish, wait_for, write_noise
from place import Place, kill
from soak import changed, saved_epochs

from study.ledger.ledger import Ledger
from study.ledger.results import study_results

pytestmark = pytest.mark.slow
WORDS = ("--space", "joint", "--trials", "8", "--epochs", "1", "--scheduler", "asha", "--sampler", "random")


def test_a_study_that_prunes_weak_trials_survives_a_kill(tmp_path: Path) -> None:
    place = Place(tmp_path)
    root = place.study("asha")
    process = place.start(*WORDS, "--name", "asha", "--corpus", str(write_noise(tmp_path / "corpus")))
    wait_for(process, root, "trials/*/fold_1.json", count=2)
    kill(process.pid)
    process.wait()
    before, keys = saved_epochs(root), {path.name for path in root.glob("trials/*")}
    finish(place.start("--resume", "asha"), place)
    catch_up(place, "asha")

    ledger = Ledger.open(root)
    results = study_results(ledger, "finished")
    statuses = Counter(trial.status for trial in results.trials)
    assert keys <= {trial.key for trial in results.trials}, "a configuration was lost"
    assert len({str(trial.params) for trial in results.trials}) == 8 == statuses.total()
    assert set(statuses) == {"finished", "pruned"}
    assert changed(before, saved_epochs(root)) <= 4, "more was trained again than what was in progress"
    for trial in results.trials:
        assert len(trial.folds) == (1 if trial.status == "pruned" else 3)
        assert not (ledger.trial(trial.key).path / "running.pt").exists(), "an epoch of the next fold was trained"

    stored = optuna.load_study(study_name="asha", storage=f"sqlite:///{root / 'optuna.db'}").trials
    assert Counter(trial.state.name for trial in stored) == {
        "COMPLETE": statuses["finished"],
        "PRUNED": statuses["pruned"],
    }
    client = client_of(place.store)
    (experiment,) = [found for found in client.search_experiments() if found.name == "joint"]
    runs = client.search_runs([experiment.experiment_id], "tags.`audiotag.level` = 'trial'")
    pruned = [run for run in runs if run.data.tags.get("audiotag.status") == "pruned"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert (len(runs), len(pruned)) == (8, statuses["pruned"])
    assert not [run for run in pruned if "eer/mean" in run.data.metrics]
    assert "pruned after 1 fold" in place.output()
    assert "Traceback" not in place.output()
