"""study.tracking.model_registry and audiotag.tagger: the best trial's models in MLflow, loaded by MLflow, once each."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tracked import FOLDS, client_of, epoch_result, make_ledger, runs_of
from torch import nn

from audiotag.config import TrialConfig
from audiotag.features.log_mel import LogMel, log_mel
from audiotag.inference.tagger import load_tagger, write_description
from audiotag.models.build import build_network
from audiotag.training.fit import predict
from study.ledger.ledger import Ledger
from study.ledger.results import fold_eers
from study.tracking import model_registry as registry
from study.tracking.mlflow_store import TrackingError, load_mlflow
from study.tracking.mlflow_sync import Projection

SAMPLES = 4096
WAVES = np.random.default_rng(0).normal(0, 0.1, (6, SAMPLES)).astype(np.float32)
TARGETS = np.array([[0, 1, 1], [1, 0, 1]] * 3, np.float32)
FRONT_END = LogMel()
WRITES = (
    "create_registered_model",
    "create_logged_model",
    "log_model_artifacts",
    "log_outputs",
    "finalize_logged_model",
)
WRITES += ("create_model_version", "set_registered_model_alias")


SMALL = TrialConfig(augmentation="mixup", alpha=1.0, gru_units=4)


def network(seed: int, config: TrialConfig = SMALL) -> nn.Module:
    torch.manual_seed(seed)
    columns = config.front_end.columns
    made = build_network(config, columns, 3, torch.full((columns,), -9.0), torch.full((columns,), 2.0))
    return made.to(memory_format=torch.channels_last).eval()


def scores_of(seed: int) -> np.ndarray:
    return predict(network(seed), log_mel(WAVES, FRONT_END), np.arange(len(WAVES)))


@pytest.fixture
def trained(tmp_path: Path) -> Ledger:
    """A finished study of two trials whose folds have weights; the second trial is the better one."""
    ledger = make_ledger(tmp_path / "studies" / "first", "a" * 32)
    study = ledger.study()
    study.pop("format")
    study |= {"features": [FRONT_END.to_dict()], "corpus": study["corpus"] | {"clip_seconds": SAMPLES / 16000}}
    ledger.write_study(study)
    for number, key in enumerate(("key0", "key1")):
        config = replace(SMALL, alpha=float(number)).to_dict()
        ledger.trial(key).write_trial(number, config)
        for fold in FOLDS:
            seed = 10 * number + fold
            eers = fold_eers(TARGETS, scores_of(seed), ("c", "door/bell (far)", "mean"))
            record = {"fold": fold, **eers, "eer_mean": 0.3 - number / 10, "best_epoch": 0, "epochs": 1, "seconds": 1.0}
            record["eer"] = dict.fromkeys(eers["eer"], 0.3 - number / 10)
            weights = network(seed).state_dict()
            scores = {"held_out": scores_of(seed), "evaluation": np.zeros((40, 3), np.float32)}
            ledger.trial(key).write_fold(fold, {**record, "history": [epoch_result(key, fold, 0)]}, scores, weights)
    return ledger


def registered(uri: str, name: str = "first") -> dict[str, Any]:
    """{alias: its version} of a registered model, and how many versions and logged models there are."""
    client = client_of(uri)
    versions = {version.version: version for version in client.search_model_versions(f"name = '{name}'")}
    aliases = client.get_registered_model(name).aliases
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    logged = client.search_logged_models(experiments)
    found = {alias: versions[int(number)] for alias, number in aliases.items()}
    return {"aliases": found, "versions": len(versions), "logged": len(logged)}


# reference


def test_mlflow_loads_the_models_and_they_give_the_same_probabilities(
    trained: Ledger, uri: str, tmp_path: Path
) -> None:
    Projection(trained, uri).update({}, "finished")
    there = registered(uri)
    assert set(there["aliases"]) == {"fold_0", "fold_1"}
    assert there["versions"] == 2
    waves = tmp_path / "waves.npy"
    np.save(waves, WAVES)
    code = (  # in a process of its own, away from the checkout: the code comes with the model
        "import sys, numpy as np, mlflow; mlflow.set_tracking_uri(sys.argv[1])\n"
        "model = mlflow.pyfunc.load_model('models:/first@fold_1')\n"
        "import audiotag; print(audiotag.__file__); print(model.metadata.metadata['tags'])\n"
        "np.save(sys.argv[3], model.predict(np.load(sys.argv[2])))"
    )
    command = [sys.executable, "-c", code, uri, str(waves), str(tmp_path / "scores.npy")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "['c', 'door/bell (far)', 'mean']" in done.stdout
    found = np.load(tmp_path / "scores.npy")
    assert np.array_equal(found, trained.trial("key1").scores(1)["held_out"])


def test_models_belong_to_the_runs_of_the_best_trials_folds(trained: Ledger, uri: str) -> None:
    Projection(trained, uri).update({}, "finished")
    runs = {run.info.run_id: run for run in runs_of(uri)}
    for alias, version in registered(uri)["aliases"].items():
        run = runs[version.run_id]
        assert run.data.tags["audiotag.trial"] == "key1"
        assert alias == f"fold_{run.data.tags['audiotag.fold']}"
        (output,) = run.outputs.model_outputs
        assert output.model_id in version.source
        assert version.tags["audiotag.trial"] == "key1"
        assert "alpha 1" in version.description


# property


def test_registering_again_changes_nothing(trained: Ledger, uri: str) -> None:
    Projection(trained, uri).update({}, "finished")
    before = registered(uri)
    Projection(trained, uri).update({}, "finished")
    after = registered(uri)
    assert (after["versions"], after["logged"]) == (2, 2)
    assert {a: v.version for a, v in after["aliases"].items()} == {a: v.version for a, v in before["aliases"].items()}


@pytest.mark.parametrize("broken", WRITES)
@pytest.mark.parametrize("after", [True, False], ids=["answer lost", "not arrived"])
def test_a_broken_off_registration_is_completed(
    broken: str, after: bool, trained: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = load_mlflow().MlflowClient
    original = getattr(client, broken)

    def once(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(client, broken, original)
        if after:
            original(*arguments, **named)
        raise ConnectionError("cut off")

    monkeypatch.setattr(registry, "save_model", _small_model)
    monkeypatch.setattr(client, broken, once)
    with pytest.raises(TrackingError, match="cut off"):
        Projection(trained, uri).update({}, "finished")
    Projection(trained, uri).update({}, "finished")
    there = registered(uri)
    assert (set(there["aliases"]), there["versions"], there["logged"]) == ({"fold_0", "fold_1"}, 2, 2)
    for run in runs_of(uri):
        is_best_fold = run.data.tags["audiotag.level"] == "fold" and run.data.tags["audiotag.trial"] == "key1"
        assert len(run.outputs.model_outputs) == is_best_fold


def _small_model(path: Path, *_: Any) -> None:
    path.mkdir()
    (path / "MLmodel").write_text("flavors: {}\nmodel_uuid: x\n")


def test_a_new_best_trial_gets_versions_and_the_aliases(
    trained: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "save_model", _small_model)
    failed = trained.trial("key1")
    failed.write_failure("for a while")
    Projection(trained, uri).update({}, "finished")
    assert {version.tags["audiotag.trial"] for version in registered(uri)["aliases"].values()} == {"key0"}
    (failed.path / "failed.json").unlink()
    Projection(trained, uri).update({}, "finished")
    there = registered(uri)
    assert there["versions"] == 4
    assert {version.tags["audiotag.trial"] for version in there["aliases"].values()} == {"key1"}


def test_studies_of_one_name_have_models_of_their_own(
    trained: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "save_model", _small_model)
    Projection(trained, uri).update({}, "finished")
    study = trained.study()
    study.pop("format")
    trained.write_study(study | {"id": "b" * 32})
    Projection(trained, uri).update({}, "finished")
    names = {model.name for model in client_of(uri).search_registered_models()}
    assert names == {"first", "first-bbbbbbbb"}


# degenerate


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_nothing_is_registered_before_the_end(status: str, trained: Ledger, uri: str) -> None:
    Projection(trained, uri).update({}, status)
    assert client_of(uri).search_registered_models() == []


def test_a_study_that_does_not_say_what_its_networks_hear_has_no_models(ledger: Ledger, uri: str) -> None:
    from helpers.tracked import finish

    finish(ledger, "key0", "key1")
    Projection(ledger, uri).update({}, "finished")
    assert client_of(uri).search_registered_models() == []


def test_tagger_takes_one_clip_none_and_many(tmp_path: Path) -> None:
    write_description(tmp_path, SMALL, FRONT_END.to_dict(), ["a", "b", "c"], 0.256)
    torch.save(network(3).state_dict(), tmp_path / "weights.pt")
    tagger = load_tagger(tmp_path)
    assert tagger.tags == ("a", "b", "c")
    wanted = scores_of(3)
    assert tagger.predict(WAVES) == pytest.approx(wanted)
    assert tagger.predict(WAVES[0]) == pytest.approx(wanted[:1], abs=1e-6)
    assert tagger.predict(WAVES[:0]).shape == (0, 3)
    many = np.concatenate([WAVES] * 12)
    assert tagger.predict(many)[-6:] == pytest.approx(wanted, abs=1e-6)
    with pytest.raises(ValueError, match="must be at least one window"):
        tagger.predict(WAVES[:, :100])
    with pytest.raises(ValueError, match="hold a NaN or an infinity"):
        tagger.predict(np.full((1, SAMPLES), np.nan, np.float32))
    assert json.loads((tmp_path / "tagger.json").read_text())["clip_seconds"] == 0.256


@pytest.mark.parametrize(
    "config",
    [
        TrialConfig(model="dae_dnn"),
        TrialConfig(model="cgrnn", gru_units=4, gru_layers=1),
        TrialConfig(model="cgrnn", imd=True, gru_units=4, gru_layers=1),
        TrialConfig(model="att_loc", imd=True, gru_units=4, gru_layers=1),
    ],
    ids=lambda config: f"{config.model}{'_imd' if config.imd else ''}",
)
def test_tagger_of_every_system(config: TrialConfig, tmp_path: Path) -> None:
    heard = config.front_end
    write_description(tmp_path, config, heard.to_dict(), ["a", "b", "c"], 1.0)
    torch.save(network(1, config).state_dict(), tmp_path / "weights.pt")
    shape = (3, 2, 18_000) if config.imd else (3, 18_000)
    waves = np.random.default_rng(1).normal(0, 0.1, shape).astype(np.float32)
    tagger = load_tagger(tmp_path)
    wanted = predict(network(1, config), log_mel(waves, heard), np.arange(3))
    assert tagger.predict(waves) == pytest.approx(wanted, abs=1e-6)
    assert tagger.predict(waves[0]) == pytest.approx(wanted[:1], abs=1e-5)
    with pytest.raises(ValueError, match=r"must be \(clips, 2, S\)" if config.imd else r"must be \(clips, S\)"):
        tagger.predict(waves[:, 0] if config.imd else waves[:, None])


AT_THE_END = """
import threading, time
from contextlib import suppress
from unittest.mock import MagicMock
import study.tracking.model_registry

def save(path, *others):
    while True:
        with suppress(OSError):
            path.mkdir(exist_ok=True)
            (path / str(time.time_ns())).touch()
            begun.set()

begun, store = threading.Event(), MagicMock()
store.client.search_logged_models.return_value = []
registry = study.tracking.model_registry
registry.save_model, registry.load_mlflow = save, MagicMock()
threading.Thread(target=registry._logged_model, args=(store, MagicMock(tags={}), None), daemon=True).start()
begun.wait()
"""


def test_a_program_that_ends_while_a_model_is_written_says_nothing_of_it(tmp_path: Path) -> None:
    """An interrupted study's last line is the command that continues it."""
    command, place = [sys.executable, "-c", AT_THE_END], {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=place, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
