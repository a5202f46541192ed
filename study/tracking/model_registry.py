"""The best trial's fold models in MLflow's model registry.

Each is there once: a model is found again by its study, trial, fold and the hash of its weights, so that a writer may
be killed anywhere and another go on. It holds the code of `audiotag` beside its weights: `mlflow.pyfunc.load_model`
needs no checkout.
"""

import hashlib
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audiotag.config import TrialConfig
from study import PROJECT
from study.format import seeds_in_words
from study.ledger.schema import StudyRecord
from study.ledger.trial_folder import TrialFolder
from study.tracking.mlflow_store import Run, Store, load_mlflow
from study.tracking.run_keys import fold_key

REQUIREMENTS = ("av", "numpy", "scipy", "soundfile", "soxr", "torch", "torchaudio")  # that a tagger imports
PROJECT_PACKAGE = "audiotag-study"  # whose part `audiotag` a model holds
STUDY_ID = "audiotag.study_id"
ARTIFACTS = "model"  # folder among those of a fold's run


def register_best(store: Store, folder: TrialFolder, summary: str) -> None:
    """Bring a trial's fold models, of every seed, into the registry, and aliases to them.

    Nothing is registered of a study that does not record the front end and the length of its clips, or whose network
    this version does not have.
    """
    study, client = store.study, store.client
    try:
        config = TrialConfig.from_dict(folder.trial.config, study.code)
    except ValueError:
        return
    if config.front_end.to_dict() not in study.features or study.corpus.clip_seconds is None:
        return
    name = model_name(store)
    try:
        _register(store, folder, config, name, summary)
    except Exception:
        with suppress(Exception):  # an empty model would only be in the way
            if not client.search_model_versions(f"name = '{name}'"):
                client.delete_registered_model(name)
        raise


@dataclass(frozen=True)
class FoldModel:
    """A fold's model with one seed: its alias, the run of its fold, and the tags by which it is found again."""

    alias: str
    run: Run
    weights: Path
    tags: dict[str, str]


def _register(store: Store, folder: TrialFolder, config: TrialConfig, name: str, summary: str) -> None:
    """Bring the models that are not there yet into the registry, and all aliases to them."""
    client = store.client
    versions = client.search_model_versions(f"name = '{name}'")
    aliases = client.get_registered_model(name).aliases
    models = _fold_models(store, folder)
    known = [next((it for it in versions if model.tags.items() <= it.tags.items()), None) for model in models]
    missing = [model for model, version in zip(models, known, strict=True) if version is None]
    upload_models(store, missing, config)
    for model, version in zip(models, known, strict=True):
        if version is None:
            tags = model.tags | {"audiotag.study": store.study.name}
            about = f"{model.alias.capitalize().replace('_', ' ')} of {summary}"
            source = f"{model.run.artifacts}/{ARTIFACTS}"
            version = client.create_model_version(name, source, model.run.id, tags, description=about)
        if str(aliases.get(model.alias)) != str(version.version):
            client.set_registered_model_alias(name, model.alias, str(version.version))


def _fold_models(store: Store, folder: TrialFolder) -> list[FoldModel]:
    """A trial's models, of every fold with every seed."""
    study, found = store.study, []
    for fold in study.folds:
        for seed, part in zip(study.seeds, folder.for_seeds(study.seeds), strict=True):
            weights, key = part.weights_path(fold), fold_key(study, folder.key, fold, seed)
            digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
            tags = {STUDY_ID: study.id, **key.tags, "audiotag.weights": digest}
            found.append(FoldModel(weights.stem, store.runs[key], weights, tags))
    return found


def model_name(store: Store) -> str:
    """The registered model of a study, made if need be: the study's name, or with its id where another has that.

    It is found by the study's id, and keeps its name where the study's folder was renamed: others load it by that.
    """
    study, client = store.study, store.client
    if own := client.search_registered_models(f"tags.`{STUDY_ID}` = '{study.id}'"):
        return str(own[0].name)
    for name in (study.name, f"{study.name}-{study.id[:8]}"):
        found = _find_model(client, name)
        if found is None:
            tags = {STUDY_ID: study.id, "audiotag.space": study.space, "audiotag.corpus": study.corpus.name}
            client.create_registered_model(name, tags, _describe(study, name))
        if found is None or found.tags.get(STUDY_ID) == study.id:
            return name
    raise AssertionError("a study's id is its own")


def _find_model(client: Any, name: str) -> Any:
    """The registered model of a name, None where there is none; a search of a server before 3.0 finds nothing."""
    try:
        return client.get_registered_model(name)
    except load_mlflow().exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _describe(study: StudyRecord, name: str) -> str:
    tags = ", ".join(f"`{tag}`" for tag in study.tags)
    repeats = f", once with each of {seeds_in_words(study.seeds)}" if study.has_several_seeds else ""
    trained = "Each model was trained without its own fold{}; the evaluation split is scored with the mean of their "
    trained += "probabilities."
    if study.has_fixed_split:
        trained = "Trained on the training clips{}; the test clips were only scored."
    return (
        f"The fold models of the best trial of `{study.name}` on `{study.corpus.name}`: "
        f"{study.question.splitlines()[0]}"
        f'\n\n`mlflow.pyfunc.load_model("models:/{name}@fold_{study.folds[0]}").predict(waveforms)` takes mono '
        "waveforms (clips, samples), or (clips, 2, samples) for a stereo front end, float32 in [-1, 1], and returns "
        f"the probability of each tag (clips, tags): {tags}. {trained.format(repeats)}"
    )


def upload_models(store: Store, models: Sequence[FoldModel], config: TrialConfig) -> None:
    """Upload models to the runs of their folds, over what a killed writer has left there.

    A model is some hundred small files, with a call for each.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:  # the program may end during the upload
        folders = {model.alias: Path(place, model.alias, ARTIFACTS) for model in models}
        for model in models:
            folders[model.alias].parent.mkdir()
            save_model(folders[model.alias], store.study, config, model.weights)
        store.each(lambda model: store.client.log_artifacts(model.run.id, str(folders[model.alias]), ARTIFACTS), models)


def _own_packages(config: TrialConfig) -> list[str]:
    """The packages beyond REQUIREMENTS that a network of the user's own imports."""
    from importlib.metadata import packages_distributions

    if config.code is None or config.model not in config.own_names:
        return []
    installed = packages_distributions()
    found = {package for name in config.code.imported for package in installed.get(name, [])}
    return sorted(found - {*REQUIREMENTS, PROJECT_PACKAGE})


def save_model(path: Path, study: StudyRecord, config: TrialConfig, weights: Path) -> None:
    """Write a fold's model in MLflow's form: tagger.json, weights.pt and the package `audiotag`."""
    from importlib.metadata import version

    import numpy as np

    from audiotag.inference.tagger import WEIGHTS, write_description

    assert study.corpus.clip_seconds is not None, "checked by register_best"
    mlflow, tags, front_end = load_mlflow(), list(study.tags), config.front_end
    data = path.with_name("tagger")
    data.mkdir()
    shutil.copyfile(weights, data / WEIGHTS)
    write_description(data, config, front_end.to_dict(), tags, config.crop_seconds or study.corpus.clip_seconds)
    tensor, schema, float32 = mlflow.types.TensorSpec, mlflow.types.Schema, np.dtype(np.float32)
    inputs = tensor(float32, (-1, 2, -1) if front_end.imd else (-1, -1))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input example.*")  # the signature says all
        warnings.filterwarnings("ignore", message=".*Any type hint.*")  # about MLflow's own functions
        mlflow.pyfunc.save_model(
            path,
            loader_module="audiotag.inference.tagger",
            data_path=str(data),
            code_paths=[str(PROJECT / "audiotag")],
            signature=mlflow.models.ModelSignature(schema([inputs]), schema([tensor(float32, (-1, len(tags)))])),
            pip_requirements=[f"{package}=={version(package)}" for package in [*REQUIREMENTS, *_own_packages(config)]],
            metadata={"tags": tags, "sample_rate": front_end.sample_rate},
        )
