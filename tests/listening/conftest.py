"""A small study of two rows that can be listened to."""

from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from encode import RATE
from helpers.planning import plan_study
from helpers.recordings import noise
from helpers.small_trial import train

from audiotag.features.load import load_features
from audiotag.features.log_mel import LogMel
from study import listen
from study.tuning.features import TrialFeatures

SECONDS = 0.5
TAGS = ("<b>x</b>", "y & z")
SMALL = {"augmentation": "mixup", "batch_size": 4, "gru_units": 4}
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def own_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three folds of eight clips with odd names, half a second each."""
    root = tmp_path_factory.mktemp("own") / "corpus"
    (root / "audio").mkdir(parents=True)
    lines = ["filename,fold,tags"]
    for number in range(24):
        name, tags = f"<i>{number:02} #%.wav", ("", TAGS[0], TAGS[1], ";".join(TAGS))
        lines.append(f"{name},{number % 3},{tags[number // 3 % 4]}")
        soundfile.write(root / "audio" / name, noise(SECONDS, number) * 0.9**number, RATE)
    (root / "clips.csv").write_text("\n".join(lines), encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def studies(own_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study `tiny`: two trials, trained with two seeds."""
    from audiotag.corpus.corpus import open_corpus

    place = tmp_path_factory.mktemp("place")
    plan = plan_study(place, corpus=own_corpus, name="tiny", space="mixup_alpha", trials=2, epochs=1, repeats=2)
    ledger, corpus = plan.open_ledger(), open_corpus(own_corpus)
    features = TrialFeatures(load_features(corpus, LogMel(), place / "cache"))
    for number, alpha in enumerate((0.0, 1.0)):
        config, folder = plan.context.config(SMALL | {"alpha": alpha}), ledger.trial(f"key{number}")
        folder.write_trial(number, config.to_dict())
        train(config, folder, plan.context, corpus, features)
    return place / "studies"


@pytest.fixture
def call(studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command line; return its exit code and what it printed, to stdout and to stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        command = ["study/listen.py", *map(str, words), "--cache", str(tmp_path / "cache")]
        monkeypatch.setattr("sys.argv", [*command, *["--studies", str(studies)] * ("--studies" not in words)])
        try:
            code = listen.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return run
