"""What goes into MLflow beside runs: the corpus as a dataset, and the best trial's fold models in the registry.

Each is there once. A model is found again by what it is (study, trial, fold, hash of its weights), so that a writer may
stop anywhere and go on later. It holds the code of `audiotag` beside its weights: `mlflow.pyfunc.load_model` needs no
checkout.
"""

import hashlib
import json
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audiotag.config import TrialConfig
from study import PROJECT
from study.ledger.ledger import TrialFolder
from study.ledger.seeds import seeds_in_words, seeds_of
from study.tracking.mlflow_store import Run, Store, load_mlflow
from study.tracking.run_keys import fold_places

REQUIREMENTS = ("numpy", "scipy", "soundfile", "torch", "torchaudio")  # of what a tagger imports
IDENTITY = "audiotag.study_id"


@dataclass(frozen=True)
class FoldModel:
    """The weights of a finished fold, its MLflow run, and what tells it from any other model."""

    weights: Path
    name: str  # and alias, models:/NAME@fold_0; of a repeat after the first fold_0_seed_1
    run: Run
    tags: dict[str, str]


def register_best(store: Store, folder: TrialFolder, summary: str) -> None:
    """Brings a trial's fold models, with repeats those of every seed, into the registry, and aliases to them."""
    models = fold_models(store, folder)
    if not models:
        return
    client, name = store.client, model_name(store)
    versions = client.search_model_versions(f"name = '{name}'")
    aliases = client.get_registered_model(name).aliases
    for model in models:
        there = [version for version in versions if model.tags.items() <= version.tags.items()]
        version = there[0] if there else _new_version(store, model, folder, name, summary)
        if str(aliases.get(model.name)) != str(version.version):
            client.set_registered_model_alias(name, model.name, str(version.version))


def fold_models(store: Store, folder: TrialFolder) -> list[FoldModel]:
    """What there is to register: nothing where the study does not say that its networks hear what they hear here."""
    study = store.study
    if _heard(folder) not in study.get("features", []) or "clip_seconds" not in study["corpus"]:
        return []
    models = []
    for fold in study["corpus"]["folds"]:
        for part, place in zip(folder.repeats(seeds_of(study)), fold_places(study, folder.key, fold), strict=True):
            weights = part.weights_path(fold)
            digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
            tags = {IDENTITY: study["id"], "audiotag.study": study["study"], "audiotag.trial": folder.key}
            tags |= {"audiotag.fold": str(fold), "audiotag.weights": digest}
            tags |= {"audiotag.seed": place[-1]} if place[-1] else {}
            models.append(FoldModel(weights, weights.stem, store.runs[place], tags))
    return models


def _heard(folder: TrialFolder) -> dict[str, Any]:
    """The settings of a trial's front end."""
    return _config(folder).front_end.to_dict()


def _config(folder: TrialFolder) -> TrialConfig:
    trial = folder.trial()
    assert trial is not None, "a trial with finished folds has a configuration"
    return TrialConfig.from_dict(trial["config"])


def model_name(store: Store) -> str:
    """The registered model of a study, made if need be: the study's name, or with its id where another has that."""
    study, client = store.study, store.client
    for name in (study["study"], f"{study['study']}-{study['id'][:8]}"):
        found = client.search_registered_models(f"name = '{name}'")
        if not found:
            tags = {IDENTITY: study["id"], "audiotag.space": study["space"], "audiotag.corpus": study["corpus"]["name"]}
            client.create_registered_model(name, tags, _description(study, name))
            return name
        if found[0].tags.get(IDENTITY) == study["id"]:
            return name
    raise AssertionError("a study's id is its own")


def _description(study: dict[str, Any], name: str) -> str:
    tags = ", ".join(f"`{tag}`" for tag in study["corpus"]["tags"])
    repeats = f", once with each of {seeds_in_words(study)}" if len(seeds_of(study)) > 1 else ""
    return (
        f"The fold models of the best trial of **{study['study']}** on `{study['corpus']['name']}`: "
        f"{study['question'].splitlines()[0]}"
        f'\n\n`mlflow.pyfunc.load_model("models:/{name}@fold_0").predict(waveforms)` takes mono waveforms (clips, '
        "samples), of a system that hears in stereo (clips, 2, samples), float32 in [-1, 1], and gives the probability "
        f"of each tag (clips, tags): {tags}. Each model was trained without its own fold{repeats}; their mean is what "
        "the evaluation split is scored with."
    )


def _new_version(store: Store, model: FoldModel, folder: TrialFolder, name: str, summary: str) -> Any:
    logged = _logged_model(store, model, folder)
    described = f"{model.name.capitalize().replace('_', ' ')} of {summary}"
    # A database is asked for the model at MLflow's global URI, which may be another one: name the place itself
    source = logged.artifact_location if store.is_database else f"models:/{logged.model_id}"
    return store.client.create_model_version(
        name, source, model.run.id, model.tags, description=described, model_id=logged.model_id
    )


def _logged_model(store: Store, model: FoldModel, folder: TrialFolder) -> Any:
    """MLflow's own entry of a model with its files, found or made; one whose upload broke off is uploaded again."""
    client, entities = store.client, load_mlflow().entities
    found = client.search_logged_models([store.experiment], f"source_run_id = '{model.run.id}'")
    there = [logged for logged in found if model.tags.items() <= logged.tags.items()]
    ready = [logged for logged in there if logged.status == entities.LoggedModelStatus.READY]
    if ready:
        return ready[0]
    logged = there[0] if there else None
    if logged is None:
        logged = client.create_logged_model(
            store.experiment, model.name, model.run.id, tags=model.tags, params=model.run.params
        )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:  # the program may end while it is written
        path = Path(place) / "model"
        save_model(path, store.study, folder, model, logged.model_id)
        client.log_model_artifacts(logged.model_id, str(path))
    outputs = client.get_run(model.run.id).outputs
    if logged.model_id not in [output.model_id for output in (outputs.model_outputs if outputs else [])]:
        client.log_outputs(model.run.id, [entities.LoggedModelOutput(logged.model_id, step=0)])
    return client.finalize_logged_model(logged.model_id, "READY")


def save_model(path: Path, study: dict[str, Any], folder: TrialFolder, model: FoldModel, model_id: str) -> None:
    """Writes a fold model in MLflow's form: tagger.json, weights.pt and the package `audiotag`."""
    from importlib.metadata import version

    import numpy as np

    from audiotag.inference.tagger import WEIGHTS, write_description

    mlflow = load_mlflow()
    from_mlflow = mlflow.types.TensorSpec
    tags, heard = study["corpus"]["tags"], _heard(folder)
    data = path.with_name("tagger")
    data.mkdir()
    shutil.copyfile(model.weights, data / WEIGHTS)
    write_description(data, _config(folder), heard, tags, study["corpus"]["clip_seconds"])
    waveforms = (-1, 2, -1) if heard["imd"] else (-1, -1)
    signature = mlflow.models.ModelSignature(
        inputs=mlflow.types.Schema([from_mlflow(np.dtype(np.float32), waveforms)]),
        outputs=mlflow.types.Schema([from_mlflow(np.dtype(np.float32), (-1, len(tags)))]),
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input example.*")  # the signature says all
        mlflow.pyfunc.save_model(
            path,
            loader_module="audiotag.inference.tagger",
            data_path=str(data),
            code_paths=[str(PROJECT / "audiotag")],
            mlflow_model=mlflow.models.Model(model_id=model_id, run_id=model.run.id),
            signature=signature,
            pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
            metadata={"tags": tags, "sample_rate": heard["sample_rate"]},
        )
    for cache in path.rglob("__pycache__"):
        shutil.rmtree(cache, ignore_errors=True)


def log_dataset(store: Store, run: Run) -> None:
    """Names the corpus, with its fingerprint, as what a run was trained on."""
    if run.has_dataset:
        return
    entities, corpus = load_mlflow().entities, store.study["corpus"]
    shown = {"development_clips", "evaluation_clips", "clip_seconds", "tags", "folds", "kind"} & corpus.keys()
    dataset = entities.Dataset(
        corpus["name"],
        corpus["fingerprint"],
        source_type="local",
        source=json.dumps({"uri": corpus.get("path", corpus["name"])}),
        profile=json.dumps({name: corpus[name] for name in sorted(shown)}),
    )
    context = entities.InputTag("mlflow.data.context", "cross-validation")
    store.client.log_inputs(run.id, datasets=[entities.DatasetInput(dataset, [context])])
    run.has_dataset = True
