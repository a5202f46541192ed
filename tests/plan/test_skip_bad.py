"""A study that leaves out clips that cannot be used records them and is resumed alike."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.planning import plan_study, write_layout
from rich.console import Console

from audiotag.corpus.corpus import CorpusError, open_corpus
from study.ledger.ledger import Ledger
from study.plan.features import compute_features
from study.plan.plan import Plan
from study.plan.preflight import PlanError

Write = Callable[..., Path]
ROWS = [(f"{number}.wav", number % 2, "x" if number % 4 < 2 else "") for number in range(8)]


@pytest.fixture
def root(folder_corpus: Write) -> Path:
    """Eight good recordings, a truncated and a missing one."""
    root = folder_corpus([*ROWS, ("torn.wav", 0, "x"), ("gone.wav", 1, "")], seconds=0.2)
    torn = root / "audio" / "torn.wav"
    torn.write_bytes(torn.read_bytes()[:-100])
    (root / "audio" / "gone.wav").unlink()
    return root


def check_features(plan: Plan, folder: Path) -> None:
    for features in compute_features(plan, folder / "cache", Console(file=io.StringIO())).clips.values():
        assert np.isfinite(features).all()


def test_skipped_clips_are_recorded(root: Path, tmp_path: Path) -> None:
    plan = plan_study(tmp_path, corpus=root, space="mixup_alpha", skip_bad=True, name="s")
    assert list(plan.corpus.skipped) == ["torn.wav", "gone.wav"]
    plan.open_ledger()
    record = Ledger.open(plan.root).study.corpus
    assert (record.skipped, record.development_clips) == (plan.corpus.skipped, 8)
    resumed = plan_study(tmp_path, resume="s")  # without saying --skip-bad again
    assert resumed.corpus.fingerprint == record.fingerprint


def test_what_is_left_may_be_too_little(folder_corpus: Write, tmp_path: Path) -> None:
    root = folder_corpus(ROWS[:4], seconds=0.2)
    (root / "audio" / "0.wav").unlink()
    with pytest.raises(ValueError, match="Fold 0 has one class only"):
        plan_study(tmp_path, corpus=root, space="joint", skip_bad=True)


def test_more_that_went_bad_since_is_a_changed_corpus(root: Path, tmp_path: Path) -> None:
    plan_study(tmp_path, corpus=root, space="mixup_alpha", skip_bad=True, name="s").open_ledger()
    (root / "audio" / "3.wav").unlink()
    with pytest.raises(PlanError, match=r"A study keeps its settings: the corpus .* 8, now it is development_clips 7"):
        plan_study(tmp_path, resume="s")


def test_damage_that_only_resampling_meets_is_left_out(root: Path, tmp_path: Path) -> None:
    wave = np.random.default_rng(0).uniform(-0.1, 0.1, 11 * 48_000).astype(np.float32)
    for number in range(8):  # all of them long, so that clips are as long as clips can be
        soundfile.write(root / "audio" / f"{number}.wav", wave, 48_000, subtype="FLOAT")
    wave[10 * 48_000 + 5] = np.nan  # behind the clip, where the filter still looks
    soundfile.write(root / "audio" / "torn.wav", wave, 48_000, subtype="FLOAT")
    plan = plan_study(tmp_path, corpus=root, space="mixup_alpha", skip_bad=True)
    assert "NaN" in plan.corpus.skipped["torn.wav"]
    check_features(plan, tmp_path)


def test_damaged_stereo_recordings_count_where_trials_use_them(tmp_path: Path) -> None:
    corpus = open_corpus(write_layout(tmp_path / "small"))
    soundfile.write(corpus.stereo_paths[5], np.full((4800, 2), np.nan, np.float32), 48_000, subtype="FLOAT")
    mono = plan_study(tmp_path, corpus=corpus.root, space="mixup_alpha")
    assert mono.corpus.fingerprint == corpus.fingerprint
    with pytest.raises(CorpusError, match=r"_chunk0\.48kHz\.wav`"):
        plan_study(tmp_path, corpus=corpus.root, space="stereo")
    plan = plan_study(tmp_path, corpus=corpus.root, space="stereo", skip_bad=True, name="s")
    assert (list(plan.corpus.skipped), plan.study.left_out) == ([corpus.clips[5]], ())
    check_features(plan, tmp_path)
    plan.open_ledger()
    assert plan_study(tmp_path, resume="s").corpus.fingerprint == plan.corpus.fingerprint


def test_without_the_option_nothing_is_left_out(root: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="Unusable audio, 2 of 10 files"):
        plan_study(tmp_path, corpus=root, space="mixup_alpha")
    assert not (tmp_path / "studies").exists()
