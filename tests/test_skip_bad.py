"""A study that leaves out what cannot be used: it says so, records it and is resumed alike."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from audiotag.corpus import CorpusError
from study.plan import Plan, make_plan
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


def test_without_the_option_nothing_is_left_out(root: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="Unusable audio, 2 of 10 files"):
        plan(tmp_path, "--space", "mixup_alpha", "--corpus", str(root))
    assert not (tmp_path / "studies").exists()


def test_the_cache_is_named_again_when_a_study_is_continued(tmp_path: Path) -> None:
    arguments = parse(["--space", "joint", "--cache", "my cache"])
    assert resume_command(tmp_path / "s", arguments).endswith("--cache 'my cache'")
