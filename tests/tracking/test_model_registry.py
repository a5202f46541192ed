"""study.tracking.model_registry: the best trial's models in MLflow, loaded by MLflow, once each."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from helpers.networks import SMALL, make_network, score_waveforms
from helpers.tracked import (
    FOLDS,
    TAGS,
    client_of,
    cut_off,
    epoch_row,
    finish,
    key_of,
    make_ledger,
    make_older,
    registered,
    runs_of,
)

from audiotag.features.log_mel import LogMel
from study.ledger.ledger import Ledger
from study.ledger.saved_state import pack_fold
from study.ledger.schema import Figures, FoldRecord
from study.tracking import model_registry
from study.tracking.mlflow_sync import MlflowCopy
from study.tracking.tracker import Progress
from study.tracking.tracking_uri import TrackingError, TrackingWarning

SAMPLES = 4096
WAVES = np.random.default_rng(0).normal(0, 0.1, (6, SAMPLES)).astype(np.float32)
CORPUS = {"name": "tiny", "fingerprint": "f00d", "tags": list(TAGS), "folds": list(FOLDS), "evaluation_targets": {}}
FINISHED = Progress("finished")
WRITES = ("create_registered_model", "log_artifacts", "create_model_version", "set_registered_model_alias")


def register(ledger: Ledger, uri: str, progress: Progress = FINISHED) -> None:
    MlflowCopy(Ledger.open(ledger.root), uri).update(progress)


def make_trained(root: Path, study_id: str = "a" * 32, **study: Any) -> Ledger:
    """A finished study of two trials whose folds have weights; the second trial is the better one."""
    corpus = CORPUS | {"clip_seconds": SAMPLES / 16000}
    ledger = make_ledger(root, study_id, features=[LogMel().to_dict()], corpus=corpus, **study)
    for number, key in enumerate(("key0", "key1")):
        ledger.trial(key).write_trial(number, replace(SMALL, alpha=float(number)).to_dict())
        figures = {"eer": Figures(dict.fromkeys(TAGS, 0.3 - number / 10), 0.3 - number / 10)}
        for fold in FOLDS:
            for repeat, folder in enumerate(ledger.trial(key).for_seeds(ledger.study.seeds)):
                network = 100 * repeat + 10 * number + fold
                record = FoldRecord(fold, figures, 0, 1, 1.0, (epoch_row(key, fold, 0),), (), folder.trial)
                scores = {"held_out": score_waveforms(WAVES, network)}
                folder.write_fold(record, pack_fold(scores, make_network(network).state_dict()))
    return ledger


@pytest.fixture
def trained(tmp_path: Path) -> Ledger:
    return make_trained(tmp_path / "trained" / "first")


@pytest.fixture
def _small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models without the code of the library, which take a second each to upload."""

    def save(path: Path, *_: Any) -> None:
        path.mkdir()
        (path / "MLmodel").write_text("flavors: {}\nmodel_uuid: x\n")

    monkeypatch.setattr(model_registry, "save_model", save)


@pytest.mark.slow
def test_mlflow_loads_a_model_that_gives_the_same_probabilities(trained: Ledger, uri: str, tmp_path: Path) -> None:
    register(trained, uri)
    waves = tmp_path / "waves.npy"
    np.save(waves, WAVES)
    code = (  # in a process of its own, away from the checkout: the code comes with the model
        "import sys, numpy as np, mlflow; mlflow.set_tracking_uri(sys.argv[1])\n"
        "model = mlflow.pyfunc.load_model('models:/first@fold_1')\n"
        "print(model.metadata.metadata['tags'])\n"
        "np.save(sys.argv[3], model.predict(np.load(sys.argv[2])))"
    )
    command = [sys.executable, "-c", code, uri, str(waves), str(tmp_path / "scores.npy")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, timeout=300, check=True)
    assert str(list(TAGS)) in done.stdout
    assert np.array_equal(np.load(tmp_path / "scores.npy"), trained.trial("key1").read_scores(1)["held_out"])


@pytest.mark.usefixtures("_small_models")
def test_models_belong_to_the_runs_of_the_best_trials_folds(uri: str, tmp_path: Path) -> None:
    ledger = make_trained(tmp_path / "first", repeats=2)
    for _ in range(2):  # the second time nothing is added
        register(ledger, uri)
    there, client = registered(uri), client_of(uri)
    assert set(there) == {f"fold_{fold}{tail}" for fold in FOLDS for tail in ("", "_seed_8")}
    assert len(client.search_model_versions("name = 'first'")) == 4
    runs = {run.info.run_id: run for run in runs_of(uri)}
    for alias, version in there.items():
        _, trial, fold, seed = key_of(runs[version.run_id])
        assert (trial, alias) == ("key1", f"fold_{fold}" + ("" if seed == "7" else f"_seed_{seed}"))
        assert version.tags["audiotag.trial"] == "key1"
        assert [file.path for file in client.list_artifacts(version.run_id, "model")] == ["model/MLmodel"]
        assert "alpha 1" in version.description


@pytest.mark.usefixtures("_small_models")
@pytest.mark.parametrize("broken", WRITES)
@pytest.mark.parametrize("after", [True, False], ids=["answer lost", "not arrived"])
def test_a_broken_off_registration_is_completed(
    broken: str, after: bool, trained: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        cut_off(patch, 1, after, [broken])
        with pytest.raises(TrackingError, match="cut off"):
            register(trained, uri)
    register(trained, uri)
    assert set(registered(uri)) == {"fold_0", "fold_1"}
    assert len(client_of(uri).search_model_versions("name = 'first'")) == 2


@pytest.mark.usefixtures("_small_models")
def test_a_new_best_trial_gets_versions_and_the_aliases(trained: Ledger, uri: str) -> None:
    failed = trained.trial("key1")
    failed.write_failure("for a while")
    register(trained, uri)
    assert {version.tags["audiotag.trial"] for version in registered(uri).values()} == {"key0"}
    (failed.path / "failed.json").unlink()
    register(trained, uri)
    assert {version.tags["audiotag.trial"] for version in registered(uri).values()} == {"key1"}
    assert len(client_of(uri).search_model_versions("name = 'first'")) == 4


@pytest.mark.usefixtures("_small_models")
@pytest.mark.parametrize("missing", ["create_model_version", "create_registered_model"])
def test_a_server_without_a_registry_gets_the_rest(
    missing: str, trained: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_older(monkeypatch, missing)
    with pytest.warns(TrackingWarning, match="too old for registered models"):
        register(trained, uri)
    assert client_of(uri).search_registered_models() == []
    assert {run.info.status for run in runs_of(uri)} == {"FINISHED"}


@pytest.mark.usefixtures("_small_models")
def test_a_server_whose_search_finds_no_models_gets_none_twice(
    trained: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow.MlflowClient, "search_registered_models", lambda *args, **options: [])
    register(trained, uri)
    register(trained, uri)
    assert len(client_of(uri).search_model_versions("name = 'first'")) == len(FOLDS)


@pytest.mark.usefixtures("_small_models")
def test_a_renamed_study_keeps_its_model(trained: Ledger, uri: str) -> None:
    register(trained, uri)
    register(Ledger.open(trained.root.rename(trained.root.with_name("other"))), uri)
    assert [model.name for model in client_of(uri).search_registered_models()] == ["first"]
    assert len(client_of(uri).search_model_versions("name = 'first'")) == len(FOLDS)


@pytest.mark.usefixtures("_small_models")
def test_studies_of_one_name_have_models_of_their_own(trained: Ledger, uri: str, tmp_path: Path) -> None:
    register(trained, uri)
    register(make_trained(tmp_path / "elsewhere" / "first", "b" * 32), uri)
    assert {model.name for model in client_of(uri).search_registered_models()} == {"first", "first-bbbbbbbb"}


def test_nothing_is_registered_before_the_end_or_without_the_front_end_on_record(
    trained: Ledger, ledger: Ledger, uri: str
) -> None:
    for status in ("running", "interrupted"):
        register(trained, uri, Progress(status))
    finish(ledger, "key0", "key1")
    register(ledger, uri)
    trained.trial("key1").write_trial(1, {"model": "gone"})  # a network of another version
    register(trained, uri)
    assert client_of(uri).search_registered_models() == []
