"""One trial without Ray: what it writes, what it reports, and that it goes on where it was stopped."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import study.tuning.trial
from audiotag.config import TrialConfig
from audiotag.corpus.corpus import EVALUATION, Corpus
from audiotag.metrics import tag_eers
from audiotag.training.device import GPUShareError
from audiotag.training.fit import predict, start_fit
from study.ledger.context import TrialSettings
from study.ledger.files import LedgerWarning
from study.ledger.ledger import Ledger, TrialFolder
from study.tuning.trial import FAILED, HALTED, METRIC, run_trial, trial_reports

CLIPS, TAGS, FOLDS = 30, ("a", "b"), (0, 1)
CONFIG = TrialConfig(augmentation="mixup", alpha=1.0, max_epochs=3, batch_size=8, gru_units=4)


def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    folds = np.arange(CLIPS) % 2
    folds[24:] = EVALUATION
    names = tuple(f"clip {number}" for number in range(CLIPS))
    targets = rng.integers(0, 2, (CLIPS, 2)).astype(np.float32)
    targets[:4] = [[0, 0], [0, 0], [1, 1], [1, 1]]  # both classes in both folds
    paths = tuple(Path(name) for name in names)
    return Corpus("made_up", "folder", Path(), TAGS, names, paths, targets, folds, np.array(names), 1.0)


def features(clips: Corpus) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (rng.normal(size=(CLIPS, 6, 8)) + clips.targets.sum(axis=1)[:, None, None]).astype(np.float32)


def folder_of(root: Path, name: str = "s", config: TrialConfig = CONFIG) -> TrialFolder:
    ledger = Ledger.create(root / name, {"study": name})
    ledger.trial("key").write_trial(0, config.to_dict())
    return ledger.trial("key")


def reports(
    folder: TrialFolder, values: np.ndarray | None = None, config: TrialConfig = CONFIG, protocol: str = "paper"
) -> Iterator[dict[str, Any]]:
    clips = corpus()
    settings = TrialSettings(str(folder.path.parents[1]), {}, "f", seed=5, protocol=protocol)
    return trial_reports(config, folder, settings, clips, features(clips) if values is None else values, "cpu")


def content(folder: TrialFolder) -> list[Any]:
    """All that a finished trial holds, without the clock's figures."""
    held: list[Any] = []
    for fold in FOLDS:
        record = folder.fold(fold)
        assert record is not None
        history = [{name: value for name, value in row.items() if name != "seconds"} for row in record["history"]]
        scores = {name: values.tolist() for name, values in folder.scores(fold).items()}
        weights = torch.load(folder.path / f"fold_{fold}.pt", weights_only=True)
        held += [
            record["eer"],
            record["best_epoch"],
            history,
            scores,
            {k: v.numpy().tobytes() for k, v in weights.items()},
        ]
    return held


def broken_off(
    begin: Callable[[TrialFolder], Iterator[dict[str, Any]]], folder: TrialFolder, stop: int
) -> list[dict[str, Any]]:
    """The reports of a trial that is broken off after so many and then taken up again."""
    first = begin(folder)
    before = [next(first) for _ in range(stop)]
    first.close()  # type: ignore[attr-defined]
    return [*before, *begin(folder)]


# reference


def test_each_epoch_is_reported_and_the_ledger_is_first(tmp_path: Path) -> None:
    folder, seen = folder_of(tmp_path), []
    for report in reports(folder):
        if "epoch" in report:
            saved = folder.running(report["fold"])
            assert saved is not None
            assert len(saved["history"]) == report["epoch"] + 1
        seen.append(report)
    places = [(row.get("fold"), row.get("epoch"), row["folds_done"]) for row in seen]
    ends = (
        [(None, None, 1)],
        [(None, None, 2)],
    )  # of each fold: there a trial may be stopped
    assert places == [row for fold in FOLDS for row in [*((fold, epoch, fold) for epoch in range(3)), *ends[fold]]]
    first = folder.fold(0)
    assert first is not None
    assert seen[3] == {METRIC: pytest.approx(first["eer_mean"]), "folds_done": 1}
    records = [folder.fold(fold) for fold in FOLDS]
    mean = np.mean([[record["eer"][tag] for tag in TAGS] for record in records if record])
    assert seen[-1] == {METRIC: pytest.approx(mean), "folds_done": 2}
    assert all(math.isfinite(row[METRIC]) for row in seen)
    assert not (folder.path / "running.pt").exists()


@pytest.mark.parametrize("protocol", ["paper", "nested"])
def test_scores_are_those_of_the_best_weights(tmp_path: Path, protocol: str) -> None:
    folder, clips = folder_of(tmp_path), corpus()
    list(reports(folder, protocol=protocol))
    network = start_fit(CONFIG, features(clips), len(TAGS), np.arange(4), seed=0, fold=0, device="cpu").model
    for fold in FOLDS:
        record, scores = folder.fold(fold), folder.scores(fold)
        assert record is not None
        held_out = np.flatnonzero(clips.folds == fold)
        assert scores["held_out_clips"].tolist() == [clips.clips[clip] for clip in held_out]
        assert scores["evaluation_clips"].tolist() == list(clips.clips[24:])
        assert list(record["eer"].values()) == pytest.approx(tag_eers(clips.targets[held_out], scores["held_out"]))
        network.load_state_dict(torch.load(folder.weights_path(fold), weights_only=True))
        for part, chosen in (("held_out", held_out), ("evaluation", np.arange(24, CLIPS))):
            assert np.array_equal(scores[part], predict(network, features(clips), chosen))
        losses = [row["val_loss"] for row in record["history"]]
        assert record["best_epoch"] == losses.index(min(losses))
        if protocol == "nested":
            continue
        best = record["history"][record["best_epoch"]]
        assert record["eer_mean"] == pytest.approx(best["val_eer_mean"])  # protocol paper: the same clips


# property


@pytest.mark.parametrize("stop", range(1, 8))
def test_a_trial_stopped_after_any_epoch_ends_as_an_unbroken_one(tmp_path: Path, stop: int) -> None:
    unbroken, stopped = folder_of(tmp_path, "unbroken"), folder_of(tmp_path, "stopped")
    list(reports(unbroken))
    seen = broken_off(reports, stopped, stop)
    assert content(stopped) == content(unbroken)
    epochs = [(row["fold"], row["epoch"]) for row in seen if "epoch" in row]
    assert epochs == [(fold, epoch) for fold in FOLDS for epoch in range(3)]  # none twice


@pytest.mark.parametrize("saves", [1, 2, 5])
def test_a_trial_killed_in_its_stage_without_tags_ends_as_an_unbroken_one(
    tmp_path: Path, saves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed right after a state was saved: in the stage without tags (two saves), or in the training."""
    config = TrialConfig(model="dae_dnn", max_epochs=2, pretrain_epochs=2, batch_size=8)
    unbroken, killed = (folder_of(tmp_path, name, config) for name in ("unbroken", "killed"))
    seen = [row for row in reports(unbroken, config=config) if "fold" in row]
    assert [row.get("unsupervised_epoch") for row in seen] == [0, 1, None, None] * 2
    assert [row["epoch"] for row in seen if "epoch" in row] == [0, 1] * 2
    left = iter(range(saves - 1, -1, -1))
    write = TrialFolder.write_running

    def dying(folder: TrialFolder, fold: int, state: dict[str, Any]) -> None:
        write(folder, fold, state)
        if next(left) == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrialFolder, "write_running", dying)
        with pytest.raises(KeyboardInterrupt):
            list(reports(killed, config=config))
    saved = killed.running(0 if saves < 5 else 1)
    assert saved is not None
    assert len(saved["unsupervised"]) == (1 if saves in (1, 5) else 2)
    list(reports(killed, config=config))
    assert content(killed) == content(unbroken)
    record = killed.fold(0)
    assert record is not None
    stages = [*record["unsupervised"], *record["history"]]
    assert [row["epoch"] for row in stages] == [0, 1, 0, 1]
    assert record["seconds"] >= sum(row["seconds"] for row in stages)


@pytest.mark.parametrize("name", ["fold_0.json", "fold_0.npz", "fold_0.pt"])
def test_a_damaged_fold_is_trained_again_alone(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path)
    list(reports(folder))
    before = content(folder)
    (folder.path / name).write_bytes((folder.path / name).read_bytes()[:50])
    with pytest.warns(LedgerWarning, match=name):
        again = [row["fold"] for row in reports(folder) if "epoch" in row]
    assert again == [0, 0, 0]
    assert (folder.path / f"{name}.damaged").stat().st_size == 50
    assert content(folder) == before


def test_a_finished_trial_only_reports_its_result(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    *_, last = reports(folder)
    assert list(reports(folder)) == [last]


def test_a_trial_killed_at_the_end_of_a_fold_reports_it_again(tmp_path: Path) -> None:
    """The driver may have been killed before it decided whether the trial goes on."""
    folder = folder_of(tmp_path)
    steps = reports(folder)
    *_, end = (next(steps) for _ in range(4))
    steps.close()
    assert next(reports(folder)) == end


# degenerate


def test_a_foreign_state_of_the_fold_in_progress_is_set_aside(tmp_path: Path) -> None:
    unbroken, folder = folder_of(tmp_path, "unbroken"), folder_of(tmp_path)
    list(reports(unbroken))
    folder.write_running(0, {"model": {}})
    with pytest.warns(LedgerWarning, match=r"running.pt cannot be used .* the fold starts again"):
        list(reports(folder))
    assert content(folder) == content(unbroken)
    assert (folder.path / "running.pt.damaged").is_file()


def test_a_diverged_trial_says_why_and_keeps_its_folds(tmp_path: Path) -> None:
    folder, clips = folder_of(tmp_path), corpus()
    values = features(clips)
    steps = reports(folder, values)
    for _ in range(5):  # the end of the first fold, and the first epoch of the second
        next(steps)
    values[:] = np.nan
    last = list(steps)
    assert len(last) == 1
    assert "not finite in epoch 1 of fold 1" in last[0][FAILED]
    assert math.isfinite(last[0][METRIC])
    assert folder.failure() == last[0][FAILED]
    assert folder.fold(0) is not None
    assert folder.fold(1) is None


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB\nof 4"), "CUDA out of memory. Tried 2 GiB"),
        (GPUShareError("0.05 of a GPU with 8.0 GB is no more than CUDA itself takes"), "0.05 of a GPU with 8.0 GB"),
    ],
)
def test_too_little_memory_on_a_gpu_ends_the_study_and_blames_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    told: list[dict[str, Any]] = []

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(study.tuning.trial.tune, "report", told.append)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(study.tuning.trial, "use_gpu", lambda share: None)
    monkeypatch.setattr(study.tuning.trial, "trial_reports", fail)
    settings = TrialSettings(str(folder_of(tmp_path).path.parents[1]), {}, "f", seed=5, protocol="paper")
    heard = {CONFIG.front_end: features(corpus())}
    shared: dict[str, Any] = {"settings": settings, "corpus": corpus(), "features": heard, "threads": 1}
    run_trial({"augmentation": "mixup", "alpha": 1.0}, **shared, card=0.25)
    (report,) = told
    assert report[HALTED].startswith("--gpus-per-trial is 0.25, but a trial needs more of the GPU's memory")
    assert why in report[HALTED]
    assert not list(tmp_path.glob("s/trials/*/failed.json"))
