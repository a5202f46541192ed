"""Where the runs of a study are, and stay, in a store: renamed experiments, copied and renamed studies, odd paths."""

import shutil
from pathlib import Path

import pytest
from helpers.tracked import (
    client_of,
    copy_to,
    finish,
    key_of,
    make_ledger,
    make_older,
    runs_of,
)

from study.ledger.files import LedgerWarning
from study.ledger.ledger import Ledger
from study.tracking.mlflow_store import SPACE
from study.tracking.mlflow_sync import MlflowCopy
from study.tracking.tracker import Progress
from study.tracking.tracking_uri import TrackingError, TrackingWarning, default_uri

FINISHED = Progress("finished")


def test_a_copied_folder_is_a_study_of_its_own(ledger: Ledger, uri: str) -> None:
    finish(ledger, "key0", "key1")
    original = copy_to(uri, ledger)
    root = shutil.copytree(ledger.root, ledger.root.with_name("second"))
    with pytest.warns(LedgerWarning, match="`second` is a copy of"), Ledger.open(root).locked():
        pass
    copied = Ledger.open(root)
    (copied.trial("key1").path / "failed.json").write_text('{"reason": "only here"}')
    own = copy_to(uri, copied)
    assert own["study",]["tags"]["mlflow.runName"] == own["study",]["tags"]["audiotag.study"] == "second"
    assert own["trial", "key1"]["status"] == "FAILED"
    assert copy_to(uri, Ledger.open(ledger.root)) == original


def test_a_renamed_folder_keeps_its_runs_under_its_new_name(ledger: Ledger, uri: str) -> None:
    finish(ledger, "key0", "key1")
    ids = {key_of(run): run.info.run_id for run in runs_of(uri)} if copy_to(uri, ledger) else {}
    renamed = Ledger.open(ledger.root.rename(ledger.root.with_name("other")))
    store = copy_to(uri, renamed)
    assert {key_of(run): run.info.run_id for run in runs_of(uri)} == ids
    assert {run["tags"]["audiotag.study"] for run in store.values()} == {"other"}
    assert store["study",]["tags"]["mlflow.runName"] == "other"


@pytest.mark.parametrize("tagged", [True, False], ids=["tagged", "of an earlier version"])
def test_an_experiment_renamed_in_mlflow_is_found_again(tagged: bool, ledger: Ledger, uri: str, tmp_path: Path) -> None:
    client, before = client_of(uri), copy_to(uri, ledger, Progress("interrupted"))
    experiment = client.get_experiment_by_name("mixup_alpha").experiment_id
    client.rename_experiment(experiment, "my favourite")
    if not tagged:
        client.delete_experiment_tag(experiment, SPACE)
    assert copy_to(uri, ledger, Progress("interrupted")) == before
    twin = make_ledger(tmp_path / "elsewhere" / "twin", "b" * 32)  # a new study of the space
    assert len(copy_to(uri, twin, Progress("interrupted"))) == 3
    assert {each.name for each in client.search_experiments()} == {"Default", "my favourite"}


def test_a_new_experiment_of_the_old_name_gets_new_studies_only(ledger: Ledger, uri: str, tmp_path: Path) -> None:
    client, before = client_of(uri), copy_to(uri, ledger, Progress("interrupted"))
    client.rename_experiment(client.get_experiment_by_name("mixup_alpha").experiment_id, "of last year")
    fresh = client.create_experiment("mixup_alpha")
    assert copy_to(uri, ledger, Progress("interrupted")) == before
    copy_to(uri, make_ledger(tmp_path / "elsewhere" / "twin", "b" * 32), Progress("interrupted"))
    assert {run.info.experiment_id for run in runs_of(uri, "b" * 32)} == {fresh}
    assert fresh not in {run.info.experiment_id for run in runs_of(uri)}


def test_a_store_in_a_folder_of_any_name_is_whole(ledger: Ledger, empty_store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "50%41 a?b#c;d" / "ü&x=y"
    folder.mkdir(parents=True)
    shutil.copy(empty_store, folder / "mlflow.db")
    (ledger.root / "table.md").write_text("| a |")
    finish(ledger, "key0", "key1")
    uri = default_uri(folder)
    MlflowCopy(ledger, uri).update(FINISHED)
    MlflowCopy(ledger, uri).update(FINISHED)
    assert len(runs_of(uri)) == 1 + 2 + 4
    study = next(run for run in runs_of(uri) if key_of(run) == ("study",))
    assert [file.path for file in client_of(uri).list_artifacts(study.info.run_id)] == ["table.md"]
    assert len(list((folder / "mlartifacts").rglob("table.md"))) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["50%41 a?b#c;d", "studies"]
    assert sorted(path.name for path in folder.iterdir()) == ["mlartifacts", "mlflow.db"]


def test_a_deleted_experiment_is_named(ledger: Ledger, uri: str) -> None:
    client = client_of(uri)
    client.delete_experiment(client.create_experiment("mixup_alpha"))
    with pytest.raises(TrackingError, match=r"experiment `mixup_alpha` .* was deleted: .*mlflow experiments restore"):
        MlflowCopy(ledger, uri).update(Progress())


# an older server


def test_a_server_without_data_sets_gets_the_rest(ledger: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(ledger, "key0", "key1")
    make_older(monkeypatch, "log_inputs")
    with pytest.warns(TrackingWarning, match="data sets") as said:
        store = copy_to(uri, ledger)
    assert len({str(warning.message) for warning in said}) == 1
    assert {run["status"] for run in store.values()} == {"FINISHED"}
