"""Whether a tracking store can be used: the check before a study begins."""

from importlib.util import find_spec

from audiotag.uris import is_server, public
from study.tracking.mlflow_store import load_mlflow
from study.tracking.store_errors import asks_for_credentials, reason
from study.tracking.tracking_uri import (
    StoreUnavailableError,
    TrackingError,
    check_address,
    check_database,
    database_path,
)

ARTIFACT_PACKAGES = {  # by scheme: a module, and the package that has it, which MLflow does not install itself
    "s3": ("boto3", "boto3"),
    "r2": ("boto3", "boto3"),
    "b2": ("boto3", "boto3"),
    "gs": ("google.cloud.storage", "google-cloud-storage"),
    "wasbs": ("azure.storage.blob", "azure-storage-blob"),
    "abfss": ("azure.storage.filedatalake", "azure-storage-file-datalake"),
    "sftp": ("pysftp", "pysftp"),
}


def check_store(uri: str, space: str | None = None) -> None:
    """Check within seconds whether a tracking store can be used; a database is inspected without MLflow.

    Args:
        uri: Of the store.
        space: Of the study, if it is known: where its experiment keeps artifacts is checked, too.

    Raises:
        TrackingError: When the URI names no store that a study can use.
        StoreUnavailableError: When it cannot be used now.
    """
    if uri.startswith("sqlite"):
        check_database(database_path(uri))
    elif is_server(uri):
        check_address(uri)
        try:
            client = load_mlflow().MlflowClient(uri)
            newest = client.search_experiments(max_results=1)
            own = client.get_experiment_by_name(space) if space is not None else None
        except Exception as error:  # MLflow lets through whatever a foreign answer breaks in it
            raise StoreUnavailableError(_why_unusable(uri, error)) from None
        for experiment in [own] if own else newest:
            _check_artifacts(uri, experiment.artifact_location)
    else:
        shown = public(uri).rpartition("@")[2]  # what is no URI may hold a password anywhere before it
        raise TrackingError(
            f"The tracking URI is {shown!r}, but must begin with sqlite:///, http:// or https:// "
            "(for other stores, start an mlflow server in front of them)."
        )


def _why_unusable(uri: str, error: Exception) -> str:
    if asks_for_credentials(error):
        return f"The tracking server {public(uri)} refuses access, {reason(error)}, or choose another --tracking-uri."
    return (
        f"The tracking server {public(uri)} does not answer as an MLflow server ({reason(error)}): "
        "start it (mlflow server), or choose another --tracking-uri."
    )


def _check_artifacts(uri: str, location: str) -> None:
    """Check for the package with which MLflow's client writes to a server's store of artifacts directly."""
    scheme = location.partition(":")[0].lower()
    module, package = ARTIFACT_PACKAGES.get(scheme, ("", ""))
    if module and not _is_installed(module):
        raise StoreUnavailableError(
            f"The tracking server {public(uri)} keeps artifacts in {public(location)}, which MLflow reaches with the "
            f"package {package}: install it (pip install {package}), or choose another --tracking-uri."
        )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False
