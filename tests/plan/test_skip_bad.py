"""A study that leaves out what cannot be used: it says so, records it and is resumed alike."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from plan.test_front_ends import write_layout
from rich.console import Console

from audiotag.corpus.corpus import CorpusError, open_corpus
from study.plan.plan import Plan, features_of, make_plan
from study.run import parse
from study.session import announce, resume_command

Write = Callable[..., Path]
ROWS = [(f"{number}.wav", number % 2, "x" if number % 4 < 2 else "") for number in range(8)]


@pytest.fixture
def root(folder_corpus: Write) -> Path:
    root = folder_corpus([*ROWS, ("torn.wav", 0, "x"), ("gone.wav", 1, "")], seconds=0.2)
    torn = root / "audio" / "torn.wav"
    torn.write_bytes(torn.read_bytes()[:-100])
    (root / "audio" / "gone.wav").unlink()
    return root


def plan(tmp_path: Path, *words: str) -> tuple[Plan, str]:
    console = Console(file=io.StringIO(), width=500)
    made = make_plan(parse([*words, "--studies", str(tmp_path / "studies")]), console)
    announce(made, "sqlite:///x", console)
    return made, console.file.getvalue()  # type: ignore[attr-defined]


def test_what_is_left_out_is_said_and_recorded(root: Path, tmp_path: Path) -> None:
    made, said = plan(tmp_path, "--space", "mixup_alpha", "--corpus", str(root), "--skip-bad", "--name", "s")
    skipped = {"torn.wav": "it is truncated: 1550 of 1600 samples are there", "gone.wav": "there is no such file"}
    for clip, reason in skipped.items():
        assert f"note: without {clip}: {reason}" in said
    made.ledger()
    study = json.loads((tmp_path / "studies" / "s" / "study.json").read_text())
    assert study["corpus"]["skipped"] == skipped
    assert study["corpus"]["development_clips"] == 8
    resumed, _ = plan(tmp_path, "--resume", "s")  # without saying --skip-bad again
    assert resumed.corpus.fingerprint == study["corpus"]["fingerprint"]


def test_more_that_went_bad_since_is_a_changed_corpus(root: Path, tmp_path: Path) -> None:
    made, _ = plan(tmp_path, "--space", "mixup_alpha", "--corpus", str(root), "--skip-bad", "--name", "s")
    made.ledger()
    (root / "audio" / "3.wav").unlink()
    with pytest.raises(ValueError, match="A study keeps its settings: the corpus"):
        plan(tmp_path, "--resume", "s")


def test_damage_that_only_resampling_meets_is_left_out(root: Path, tmp_path: Path) -> None:
    wave = np.random.default_rng(0).uniform(-0.1, 0.1, 11 * 48_000).astype(np.float32)
    for number in range(8):  # all of them long, so that clips are as long as clips can be
        soundfile.write(root / "audio" / f"{number}.wav", wave, 48_000, subtype="FLOAT")
    wave[10 * 48_000 + 5] = np.nan  # behind the clip, where the filter still looks
    soundfile.write(root / "audio" / "torn.wav", wave, 48_000, subtype="FLOAT")
    words = ("--space", "mixup_alpha", "--corpus", str(root))
    with pytest.raises(CorpusError, match="Unusable audio, 2 of 10 files"):
        plan(tmp_path, *words)
    made, _ = plan(tmp_path, *words, "--skip-bad")
    assert made.corpus.skipped["torn.wav"] == "it holds a NaN or an infinity"
    features_of(made, tmp_path / "cache", Console(file=io.StringIO()))


def test_damaged_stereo_recordings_count_where_they_are_heard(tmp_path: Path) -> None:
    corpus = open_corpus(write_layout(tmp_path / "small"))
    wave = np.full((4800, 2), np.nan, np.float32)
    soundfile.write(corpus.stereo_paths[5], wave, 48_000, subtype="FLOAT")
    words = ("--corpus", str(corpus.root), "--name", "s")
    made, _ = plan(tmp_path, *words, "--space", "mixup_alpha")
    assert made.corpus.fingerprint == corpus.fingerprint  # who hears in mono is not concerned
    with pytest.raises(CorpusError, match=r"_chunk0\.48kHz\.wav` \(it holds a NaN or an infinity\): replace them"):
        plan(tmp_path, *words, "--space", "stereo")
    made, _ = plan(tmp_path, *words, "--space", "stereo", "--skip-bad")
    assert made.corpus.skipped == {corpus.clips[5]: "it holds a NaN or an infinity"}
    assert made.study["left_out"] == []
    features_of(made, tmp_path / "cache", Console(file=io.StringIO()))
    made.ledger()
    resumed, _ = plan(tmp_path, "--resume", "s")
    assert resumed.corpus.fingerprint == made.corpus.fingerprint


def test_without_the_option_nothing_is_left_out(root: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="Unusable audio, 2 of 10 files"):
        plan(tmp_path, "--space", "mixup_alpha", "--corpus", str(root))
    assert not (tmp_path / "studies").exists()


def test_the_cache_is_named_again_when_a_study_is_continued(tmp_path: Path) -> None:
    arguments = parse(["--space", "joint", "--cache", "my cache"])
    assert resume_command(tmp_path / "s", arguments).endswith("--cache 'my cache'")
