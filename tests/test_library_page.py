"""docs/library.md: its examples run as they stand, on a small study, and give what the report gives."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study
from helpers.planning import plan_study
from helpers.recordings import noise
from helpers.small_trial import train
from place import write_sounds

import study
from audiotag.corpus.corpus import open_corpus
from audiotag.features.load import load_features
from audiotag.features.log_mel import LogMel
from study.ledger.results import study_results
from study.stats.analysis import analyse
from study.stats.comparison import differences_of
from study.tuning.features import TrialFeatures

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[1] / "docs" / "library.md"
BLOCKS = re.findall(r"^```python\n(.+?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, a recording and two studies, of which one was trained."""
    root = tmp_path_factory.mktemp("place")
    corpus = open_corpus(write_sounds(root / "mine"))
    plan = plan_study(root, corpus=corpus.root, name="mixup_alpha-1", space="mixup_alpha", epochs=1)
    features = TrialFeatures(load_features(corpus, LogMel(), root / "cache" / "audiotag" / "features"))
    ledger = plan.open_ledger()
    ledger.update_study(trials=3)
    for number, alpha in enumerate((0.0, 0.5, 5.0)):
        config = plan.context.config({"augmentation": "mixup", "alpha": alpha, "gru_units": 4, "batch_size": 4})
        folder = ledger.trial(plan.context.key(config))
        folder.write_trial(number, config.to_dict())
        train(config, folder, plan.context, corpus, features)
    make_study(root / "studies" / "other", corpus=make_corpus(**SMALL), finished=2)
    soundfile.write(root / "garden.wav", noise(1.3, rate=44_100, channels=2), 44_100)
    return root


def test_every_example_runs(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    assert len(BLOCKS) == 10
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, block in enumerate(BLOCKS, start=1):
        exec(compile(block, f"{PAGE.name}, example {number}", "exec"), names)
    assert "<Corpus mine (folder): 24 clips" in capsys.readouterr().out
    check(place, names)


def check(place: Path, names: dict[str, Any]) -> None:
    """What the examples leave behind."""
    mixing, ledger = names["mixing"], names["winner"].ledger
    analysis = analyse(ledger, study_results(ledger, "finished"))
    assert analysis.best is not None
    assert names["table"].index[0] == mixing.best == analysis.best.result.number
    assert names["differences"].index.names == ["partition", "fold"]
    assert names["curves"].columns.tolist() == [0, 1, 2]
    assert names["one"]["epoch"].tolist() == [0]
    assert names["rates"].shape == (2, 3)
    assert names["rates"].stack().between(0, 1).all()
    assert names["log_mels"].shape == (124, 64)
    assert names["tagged"].index.tolist() == [0.0, 0.5, 1.0]
    assert names["everything"].index.get_level_values("study").value_counts().to_dict() == {
        "mixup_alpha-1": 3,
        "other": 7,
    }
    assert (place / "eer_over_alpha.svg").stat().st_size > 1000


def test_the_winner_is_compared_as_in_the_report(tmp_path: Path) -> None:
    """Over two partitions, with means over two seeds."""
    options: dict[str, Any] = {"corpus": make_corpus(**SMALL), "partitions": 2, "repeats": 2}
    ledger = make_study(tmp_path / "s", ALPHAS[:3], gains=[0.2, 0.9, 0.0], **options)
    analysis = analyse(ledger, study_results(ledger, "finished"))
    assert analysis.baseline is not None
    assert analysis.best is not None
    names: dict[str, Any] = {"mixing": study.load(ledger.root)}
    exec(next(block for block in BLOCKS if "corrected_t" in block), names)
    assert (names["mixing"].best, names["mixing"].baseline) == (1, 0)
    assert names["differences"].tolist() == pytest.approx(
        differences_of(analysis.best.result, analysis.baseline.result, "eer")
    )
    assert analysis.best.tested is not None
    assert asdict(names["test"]) == pytest.approx(asdict(analysis.best.tested))


def test_evaluation_clips_are_tagged_as_they_were_scored(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tagger's example and the study's own scores agree on a recording of one clip."""
    monkeypatch.chdir(place)
    names: dict[str, Any] = {"np": np, "pd": pd, "Path": Path}
    corpus = open_corpus("mine")
    clip = int(corpus.evaluation[0])
    block = next(block for block in BLOCKS if "fold_taggers" in block)
    exec(block.replace("garden.wav", str(corpus.paths[clip])), names)
    loaded = study.load("mixup_alpha-1")
    expected = loaded.scores(loaded.best, split="evaluation").loc[corpus.clips[clip]]
    assert names["tagged"].loc[0.0].to_dict() == pytest.approx(expected.to_dict(), abs=1e-5)
