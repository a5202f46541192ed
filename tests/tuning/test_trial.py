"""One trial without Ray: what it writes, what it reports, and that it goes on where it was interrupted."""

import math
import platform
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.small_trial import (
    CLIPS,
    CONFIG,
    FOLDS,
    PARAMETERS,
    TAGS,
    broken_off,
    content,
    make_context,
    make_corpus,
    make_features,
    make_folder,
    reports,
)

import study.tuning.trial
from audiotag.augment import build_augmentations
from audiotag.augment.noises import NO_CLIP
from audiotag.augment.variants import Variants
from audiotag.config import TrialConfig
from audiotag.corpus.splits import FoldSplit, split_fold
from audiotag.corpus.tables import TEST, TRAIN, VALIDATION
from audiotag.declarations.own_code import OwnCode, OwnCodeFailed
from audiotag.metrics import tag_eers
from audiotag.training.device import GPUError
from audiotag.training.fit import predict, start_fit
from study.ledger.context import StudyContext
from study.ledger.files import LedgerWarning, WriteError
from study.ledger.progress import Report
from study.ledger.saved_state import Training, pack_state, unpack_state
from study.ledger.trial_folder import TrialFolder
from study.tuning.failures import explain
from study.tuning.features import StudyFeatures
from study.tuning.fold_training import SaveTimes
from study.tuning.trial import coalesce, run_trial

# reference


def test_each_epoch_is_reported_once_the_ledger_has_it(tmp_path: Path) -> None:
    folder, seen = make_folder(tmp_path), []
    for report in reports(folder):
        if report.epoch is not None:
            content = folder.read_running()
            assert content is not None
            saved = unpack_state(content)
            assert saved.names == {"fold": report.fold}
            assert len(saved.state["history"]) == report.epoch.epoch + 1
        seen.append(report)
    steps = [(row.fold, row.epoch and row.epoch.epoch, row.folds_done, row.ends_fold) for row in seen]
    first, second = (
        [*((fold, epoch, fold, False) for epoch in range(3)), (None, None, fold + 1, True)] for fold in FOLDS
    )
    assert steps == [*first, *second]
    first, second = (folder.read_fold(fold).figures["eer"] for fold in FOLDS)
    assert seen[3] == Report(pytest.approx(first.mean), 1)
    mean = np.mean([list(first.by_tag.values()), list(second.by_tag.values())])
    assert seen[-1] == Report(pytest.approx(mean), 2)
    assert all(math.isfinite(row.mean) for row in seen)
    assert not (folder.path / "running.pt").exists()


def test_reports_have_the_mean_of_the_objective(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    rows = list(reports(folder, metric="auroc"))
    means = [folder.read_fold(fold).figures["auroc"].mean for fold in FOLDS]
    assert [row.mean for row in rows if row.ends_fold] == pytest.approx([means[0], np.mean(means)])
    assert rows[0].mean == rows[0].epoch.val_means["auroc"]


@pytest.mark.parametrize("protocol", ["paper", "nested"])
def test_scores_are_those_of_the_best_weights(tmp_path: Path, protocol: str) -> None:
    folder, corpus, features = make_folder(tmp_path), make_corpus(), make_features()
    list(reports(folder, protocol=protocol))
    network = start_fit(CONFIG, features, len(TAGS), np.arange(4), seed=0, fold=0, device="cpu").model
    for fold in FOLDS:
        record, scores = folder.read_fold(fold), folder.read_scores(fold)
        assert record is not None
        held_out = np.flatnonzero(corpus.folds == fold)
        assert scores["held_out_clips"].tolist() == [corpus.clips[clip] for clip in held_out]
        assert scores["evaluation_clips"].tolist() == list(corpus.clips[24:])
        eer = record.figures["eer"]
        assert list(eer.by_tag.values()) == pytest.approx(tag_eers(corpus.targets[held_out], scores["held_out"]))
        network.load_state_dict(torch.load(folder.weights_path(fold), weights_only=True))
        for part, chosen in (("held_out", held_out), ("evaluation", np.arange(24, CLIPS))):
            assert np.array_equal(scores[part], predict(network, features, chosen))
        place = record.trained_on or {}
        assert (place["host"], place["device"], place["torch"]) == (platform.node(), "CPU", version("torch"))
        losses = [result.val_loss for result in record.history]
        assert record.best_epoch == losses.index(min(losses))
        if protocol == "paper":  # validated on the same clips
            assert eer.mean == pytest.approx(record.history[record.best_epoch].val_means["eer"])


# property


@pytest.mark.parametrize("stop", range(1, 8))
def test_a_trial_interrupted_after_any_epoch_ends_as_an_unbroken_one(tmp_path: Path, stop: int) -> None:
    unbroken, stopped = make_folder(tmp_path, "unbroken"), make_folder(tmp_path, "stopped")
    list(reports(unbroken))
    seen = broken_off(reports, stopped, stop)
    assert content(stopped) == content(unbroken)
    epochs = [(row.fold, row.epoch.epoch) for row in seen if row.epoch is not None]
    assert epochs == [(fold, epoch) for fold in FOLDS for epoch in range(3)]  # none twice


@pytest.mark.parametrize("stop", [1, 4, 6])
def test_a_trial_with_variants_that_is_interrupted_ends_as_an_unbroken_one(tmp_path: Path, stop: int) -> None:
    config = replace(CONFIG, augmentation="time_stretch", augmenting={})
    clips = make_corpus().development
    values = make_features()[clips][:, None] + np.arange(4, dtype=np.float32)[:, None, None]
    variants = Variants(values, clips, np.full((len(clips), 4), NO_CLIP))

    def run(folder: TrialFolder) -> Iterator[Report]:
        return reports(folder, config=config, variants=variants)

    unbroken, stopped = (make_folder(tmp_path, name, config) for name in ("unbroken", "stopped"))
    list(run(unbroken))
    broken_off(run, stopped, stop)
    assert content(stopped) == content(unbroken)
    plain = make_folder(tmp_path, "plain")
    list(reports(plain, config=replace(CONFIG, augmentation="none", augmenting={})))
    assert content(plain) != content(unbroken)


@pytest.mark.slow
@pytest.mark.parametrize("saves", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(5, marks=pytest.mark.slow)])
def test_a_trial_killed_in_its_pretraining_ends_as_an_unbroken_one(
    tmp_path: Path, saves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed right after a state was saved, of which each fold has two in its pretraining and two after it."""
    config = TrialConfig.from_dict({"model": "dae_dnn", "max_epochs": 2, "pretrain_epochs": 2, "batch_size": 8})
    unbroken, killed = (make_folder(tmp_path, name, config) for name in ("unbroken", "killed"))
    seen = [row for row in reports(unbroken, config=config) if row.fold is not None]
    assert [row.pretraining and row.pretraining.epoch for row in seen] == [0, 1, None, None] * 2
    assert [row.epoch.epoch for row in seen if row.epoch is not None] == [0, 1] * 2
    left = iter(range(saves - 1, -1, -1))
    write = TrialFolder.write_running

    def dying(folder: TrialFolder, content: bytes) -> None:
        write(folder, content)
        if next(left) == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrialFolder, "write_running", dying)
        with pytest.raises(KeyboardInterrupt):
            list(reports(killed, config=config))
    content_left = killed.read_running()
    assert content_left is not None
    assert unpack_state(content_left).names == {"fold": saves // 4}
    list(reports(killed, config=config))
    assert content(killed) == content(unbroken)
    record = killed.read_fold(0)
    assert record is not None
    stages = [*record.pretraining, *record.history]
    assert [row.epoch for row in stages] == [0, 1, 0, 1]
    assert record.seconds >= sum(row.seconds for row in stages)


@pytest.mark.parametrize("name", ["fold_0.json", "fold_0.npz", "fold_0.pt"])
def test_only_a_damaged_fold_is_trained_again(tmp_path: Path, name: str) -> None:
    folder = make_folder(tmp_path)
    list(reports(folder))
    before = content(folder)
    (folder.path / name).write_bytes((folder.path / name).read_bytes()[:50])
    with pytest.warns(LedgerWarning, match=name):
        again = [row.fold for row in reports(folder) if row.epoch is not None]
    assert again == [0, 0, 0]
    assert (folder.path / f"{name}.damaged").stat().st_size == 50
    assert content(folder) == before


def test_a_finished_trial_only_reports_its_result(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    *_, last = reports(folder)
    assert list(reports(folder)) == [last]


def test_a_trial_killed_at_the_end_of_a_fold_reports_it_again(tmp_path: Path) -> None:
    """The driver may have been killed before it decided whether the trial goes on."""
    folder = make_folder(tmp_path)
    steps = reports(folder)
    *_, end = (next(steps) for _ in range(4))
    steps.close()  # type: ignore[attr-defined]
    assert next(reports(folder)) == end


# degenerate


def test_a_foreign_state_of_the_fold_in_progress_is_set_aside(tmp_path: Path) -> None:
    unbroken, folder = make_folder(tmp_path, "unbroken"), make_folder(tmp_path)
    list(reports(unbroken))
    folder.write_running(pack_state(Training(1, 0), {"model": {}}))
    with pytest.warns(LedgerWarning, match=r"running\.pt"):
        list(reports(folder))
    assert content(folder) == content(unbroken)
    assert (folder.path / "running.pt.damaged").is_file()


@pytest.mark.parametrize("torn", [b"", b"garbage", b"PK\x03\x04 torn"])
def test_a_torn_state_of_the_fold_in_progress_is_set_aside(tmp_path: Path, torn: bytes) -> None:
    folder = make_folder(tmp_path)
    folder.write_running(torn)
    with pytest.warns(LedgerWarning, match=r"running\.pt cannot be used .* the fold starts again"):
        assert next(reports(folder)).epoch is not None
    assert (folder.path / "running.pt.damaged").read_bytes() == torn


def test_short_epochs_are_not_each_saved_and_a_killed_trial_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    unbroken, folder = make_folder(tmp_path, "unbroken"), make_folder(tmp_path)
    list(reports(unbroken))
    seldom = SaveTimes(3600.0)
    steps = reports(folder, save_times=seldom)
    for _ in range(6):  # the second epoch of the second fold
        next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert folder.read_running() is None
    again = [(row.fold, row.epoch.epoch) for row in reports(folder) if row.epoch is not None]
    assert again == [(1, epoch) for epoch in range(3)]
    assert content(folder) == content(unbroken)


def test_a_trial_that_was_given_up_meanwhile_trains_no_more(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    next(reports(folder))
    folder.write_failure("it broke off 4 times")
    (last,) = reports(folder)
    assert last == Report(1.0, failed="it broke off 4 times")


def test_a_diverged_trial_says_why_and_keeps_its_folds(tmp_path: Path) -> None:
    folder, features = make_folder(tmp_path), make_features()
    steps = reports(folder, features)
    for _ in range(5):  # the end of the first fold, and the first epoch of the second
        next(steps)
    features[:] = np.nan
    (last,) = steps
    assert "epoch 1 of fold 1" in (last.failed or "")
    assert (last.mean, last.ends_fold, last.folds_done) == (1.0, False, 1)
    assert folder.read_failure() == last.failed
    assert folder.read_fold(0) is not None
    assert folder.read_fold(1) is None


# under Ray


def shared_with(card: float) -> dict[str, Any]:
    """What the trials of a study share; nobody reaches its writer."""
    features = StudyFeatures({CONFIG.front_end: make_features()})
    shared = {"context": make_context(), "corpus": make_corpus(), "features": features, "writer": None}
    return shared | {"save_seconds": 0.0, "report_seconds": 0.0, "threads": 1, "card": card}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a trial whose training raises an error or whose reports are given; return what Ray Tune was told."""

    def call(outcome: Exception | list[Report], card: float = 0.0) -> list[Report]:
        told: list[dict[str, Any]] = []

        def trained(*_: Any) -> Any:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(study.tuning.trial.tune, "report", told.append)
        monkeypatch.setattr(study.tuning.trial, "use_gpu", lambda share: "cuda")
        monkeypatch.setattr(study.tuning.trial, "explain_full_memory", lambda share: f"--gpus-per-trial is {share}")
        monkeypatch.setattr(study.tuning.trial, "trial_reports", trained)
        run_trial(PARAMETERS, **shared_with(card))
        return [Report.from_dict(values) for values in told]

    return call


def test_epochs_that_follow_soon_are_reported_together_and_ends_of_folds_at_once(tmp_path: Path) -> None:
    made = list(reports(make_folder(tmp_path)))
    for seconds, number in ((0.0, len(made)), (3600.0, 1 + 2 * 2 - 1 + 1)):
        told = [Report.from_dict(report.to_dict()) for report in coalesce(made, seconds)]
        assert len(told) == number, "of two folds, with the first epoch of the first by itself"
        assert [each for report in told for each in report.by_epoch()] == made
        assert [report for report in told if report.ends_fold] == [report for report in made if report.ends_fold]


def test_reports_survive_the_way_through_ray(tmp_path: Path, run: Any) -> None:
    config = TrialConfig.from_dict({"model": "dae_dnn", "max_epochs": 1, "pretrain_epochs": 1, "batch_size": 8})
    made = list(reports(make_folder(tmp_path, config=config), config=config))
    assert any(report.pretraining for report in made)
    assert run(made) == made


def test_what_own_code_raises_is_told_with_its_line(tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnCode("question.py", "class Odd(Exception): ...\ndef odd(x, y, rng):\n    raise Odd('late')\n")
    config = TrialConfig(augmentation="odd", code=own)
    with pytest.raises(Exception, match="late") as caught:
        build_augmentations(config)[0](0, 0, 0)
    with pytest.raises(type(caught.value)):
        run(caught.value)  # as long as the trial has nothing of a user's own
    monkeypatch.setattr(StudyContext, "config", lambda *_: config)
    with pytest.raises(OwnCodeFailed, match=r"^Odd: late \(line 3 of question\.py\)$") as told:
        run(caught.value)
    assert explain(told.value) == "of Odd: late (line 3 of question.py)"
    with pytest.raises(MemoryError):
        run(MemoryError())


@pytest.mark.parametrize(
    ("error", "card", "why"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB\nof 4"), 0.25, "--gpus-per-trial is 0.25"),
        (GPUError("A trial got 0.25 GPU, but CUDA does not start"), 0.25, "CUDA does not start"),
        (WriteError(Path("fold_0.pt"), OSError(28, "No space left on device")), 0.0, "No space left on device"),
    ],
)
def test_a_full_disk_or_gpu_ends_the_study_and_blames_no_trial(
    tmp_path: Path, run: Any, error: Exception, card: float, why: str
) -> None:
    (report,) = run(error, card)
    assert why in report.halted
    assert report.failed is None
    assert not list(tmp_path.glob("trials/*/failed.json"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA starts here")
def test_a_share_of_a_gpu_is_never_trained_on_a_cpu_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(study.tuning.trial.tune, "report", told.append)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    for flag in ("deterministic", "allow_tf32"):
        monkeypatch.setattr(torch.backends.cudnn, flag, getattr(torch.backends.cudnn, flag))
    run_trial(PARAMETERS, **shared_with(card=0.25))
    (report,) = told
    assert "CUDA does not start" in Report.from_dict(report).halted
    assert not list(tmp_path.rglob("running.pt"))


# one fixed split


def test_a_fixed_split_trains_on_its_training_clips_and_reports_each_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = np.arange(CLIPS) % 5
    corpus = replace(make_corpus(), folds=np.select([part < 3, part == 3], [TRAIN, VALIDATION], TEST))
    splits, folder = [], make_folder(tmp_path)

    def spy(*given: Any) -> FoldSplit:
        splits.append(split_fold(*given))
        return splits[-1]

    monkeypatch.setattr("study.tuning.fold_training.split_fold", spy)
    seen = list(reports(folder, corpus=corpus, protocol="split", repeats=3))
    ends = [(row.folds_done, row.seeds_done) for row in seen if row.ends_fold]
    assert ends == [(0, 1), (0, 2), (1, 0)]
    for split in splits:
        assert split.train.tolist() == np.flatnonzero(part < 3).tolist()
        assert split.validation.tolist() == np.flatnonzero(part == 3).tolist()
        assert split.held_out.tolist() == np.flatnonzero(part == 4).tolist()
    means = []
    for view in folder.for_seeds([5, 6, 7]):
        record, scores = view.read_fold(TEST), view.read_scores(TEST)
        assert record is not None
        assert scores["held_out_clips"].tolist() == [f"clip {number}" for number in np.flatnonzero(part == 4)]
        assert record.figures["eer"].by_tag["a"] == tag_eers(corpus.targets[part == 4], scores["held_out"])[0]
        means.append(record.figures["eer"].mean)
    assert [row.mean for row in seen if row.ends_fold] == pytest.approx([np.mean(means[:done]) for done in (1, 2, 3)])


def test_a_fixed_split_goes_on_between_two_seeds(tmp_path: Path) -> None:
    corpus = replace(make_corpus(), folds=np.select([np.arange(CLIPS) % 4 < 3], [TRAIN], TEST))

    def begin(folder: TrialFolder) -> Iterator[Report]:
        return reports(folder, corpus=corpus, protocol="split", repeats=2)

    whole, broken = make_folder(tmp_path / "whole"), make_folder(tmp_path / "broken")
    list(begin(whole))
    broken_off(begin, broken, 4)  # three epochs of the first seed, and its end
    for one, other in zip(whole.for_seeds([5, 6]), broken.for_seeds([5, 6]), strict=True):
        scores = [each.read_scores(TEST)["held_out"] for each in (one, other)]
        np.testing.assert_array_equal(*scores)
