"""study.tracking.mlflow_store: which store, whether it can be used, and the names of metrics and trials in it."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.tracked import client_of, wait_for

from audiotag.config import TrialConfig
from study.tracking.mlflow_store import TrackingError, check_server, default_uri
from study.tracking.mlflow_sync import metric_names, trial_name

# Names


def test_metric_names_keep_plain_tags() -> None:
    assert metric_names(["c", "Tür auf", "b-1.x:y"]) == {"c": "c", "Tür auf": "Tür auf", "b-1.x:y": "b-1.x:y"}


def test_metric_names_are_distinct_and_accepted(uri: str) -> None:
    tags = [
        "a?",
        "a!",
        "a_",
        "a__2",
        "mean",
        "mean_2",
        "var_folds",
        ".",
        "..",
        "",
        "x/../y",
        "x" * 900,
        "x" * 901,
        "\n",
    ]
    names = metric_names(tags)
    assert len(set(names.values())) == len(tags)
    assert not set(names.values()) & {"mean", "var_folds", "var_classes"}
    client = client_of(uri)
    run = client.create_run("0")
    for name in names.values():
        client.log_metric(run.info.run_id, f"eer/{name}", 0.5)


@pytest.mark.parametrize(
    ("config", "varied", "name"),
    [
        (TrialConfig(augmentation="mixup", alpha=1.5), ["alpha"], "alpha 1.5"),
        (
            TrialConfig(augmentation="mixup", alpha=0.123456, dropout=0.0),
            ["augmentation", "alpha", "dropout"],
            "mixup, alpha 0.123, dropout 0",
        ),
        (TrialConfig(augmentation="sample_pairing"), ["augmentation", "alpha"], "sample_pairing"),
        (TrialConfig(gru_units=1024), ["gru_units"], "gru_units 1024"),
        (TrialConfig(), [], ""),
    ],
)
def test_trial_names(config: TrialConfig, varied: list[str], name: str) -> None:
    assert trial_name(config.to_dict(), varied) == name


# Where to track


def test_default_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    assert default_uri(Path("/50% or?/ä")) == "sqlite:////50%25 or%3F/ä/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    assert default_uri(tmp_path) == "http://there:5000"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("sqlite:///{tmp}/none/mlflow.db", r"mlflow\.db cannot be used \(there is no folder .*/none\): choose another"),
        ("sqlite:///{tmp}/file/mlflow.db", r"cannot be used \(there is no folder"),
        ("sqlite:///{tmp}/file", r"cannot be used \(it is something else than an SQLite database\)"),
        ("sqlite:///{tmp}", r"cannot be used \(it is something else"),
        ("sqlite://", r"'sqlite://', but must name a file"),
        ("sqlite:///:memory:", r"but must name a file"),
        (
            "postgresql://me:secret@there/db",
            r"'postgresql://there/db', but must begin with sqlite:///, http:// or https://",
        ),
        ("./mlruns", r"'./mlruns', but must begin with"),
        ("http://127.0.0.1:{port}", r"http://127.0.0.1:\d+ does not answer as an MLflow server \(Connection refused\)"),
    ],
)
def test_check_refuses(uri: str, message: str, tmp_path: Path, free_port: int) -> None:
    (tmp_path / "file").write_text("no database, but some text")
    with pytest.raises(TrackingError, match=message) as caught:
        check_server(uri.format(tmp=tmp_path, port=free_port))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_check_of_a_database_is_quick_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from study.tracking.mlflow_store import check_server\n"
        "check_server(sys.argv[1]); print('mlflow' in sys.modules)"
    )
    command = [sys.executable, "-c", code, default_uri(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_server_that_is_something_else(tmp_path: Path, free_port: int) -> None:
    command = [sys.executable, "-m", "http.server", str(free_port), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path) as server:
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", free_port)) == 0)
        with pytest.raises(TrackingError, match="does not answer as an MLflow server"):
            check_server(f"http://127.0.0.1:{free_port}")
        server.terminate()
