"""The command study/tag.py: the winner of a study applied to recordings."""

import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from encode import RATE
from helpers.light import heavy_imports
from helpers.pages import Page
from helpers.planning import plan_study
from helpers.recordings import noise
from helpers.small_trial import train
from rich.console import Console

from audiotag.corpus.corpus import Corpus, open_corpus
from audiotag.features.load import load_features
from audiotag.features.log_mel import LogMel
from study import tag
from study.ledger.ledger import Ledger
from study.listening import options
from study.tagging.table import clock, tag_table
from study.tagging.tagging import Tagged, TaggedClip
from study.tuning.features import TrialFeatures

SECONDS = 0.5
PARAMETERS = {"augmentation": "mixup", "alpha": 1.0, "batch_size": 4, "gru_units": 4}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Two folds of six clips and four clips for evaluation, half a second each."""
    root = tmp_path_factory.mktemp("corpus")
    (root / "audio").mkdir()
    lines = ["filename,fold,tags,split"]
    for number in range(16):
        split = "development" if number < 12 else "evaluation"
        lines.append(f"{number:02}.wav,{number % 2},{('', 'x', 'y', 'x;y')[number // 2 % 4]},{split}")
        soundfile.write(root / "audio" / f"{number:02}.wav", noise(SECONDS, number) * 0.9**number, RATE)
    (root / "clips.csv").write_text("\n".join(lines))
    return open_corpus(root)


@pytest.fixture(scope="module")
def studies(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study `tiny`: one of its two trials has been trained, in both folds with two seeds."""
    place = tmp_path_factory.mktemp("place")
    options = {"space": "mixup_alpha", "trials": 2, "epochs": 1, "repeats": 2}
    plan = plan_study(place, corpus=corpus.root, name="tiny", **options)
    ledger, config = plan.open_ledger(), plan.context.config(PARAMETERS)
    folder = ledger.trial("key")
    folder.write_trial(0, config.to_dict())
    features = load_features(corpus, LogMel(), place / "cache")
    train(config, folder, plan.context, corpus, TrialFeatures(features))
    return place / "studies"


@pytest.fixture
def call(
    studies: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command line; return its exit code and what it printed, to stdout and to stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["study/tag.py", *map(str, words), "--studies", str(studies)])
        try:
            code = tag.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return run


Call = Callable[..., tuple[int, str, str]]


# reference


def test_probabilities_are_those_that_the_study_scored_its_evaluation_clips_with(
    corpus: Corpus, studies: Path, call: Call
) -> None:
    paths = [corpus.paths[clip] for clip in corpus.evaluation]
    code, out, _ = call("tiny", *paths, "--json")
    assert code == 0
    found = json.loads(out)
    assert [clip["file"] for clip in found["clips"]] == list(map(str, paths))
    folders = Ledger.open(studies / "tiny").trial("key").for_seeds([0, 1])
    scores = [folder.read_scores(fold)["evaluation"] for folder in folders for fold in (0, 1)]
    probabilities = [list(clip["probabilities"].values()) for clip in found["clips"]]
    assert probabilities == pytest.approx(np.mean(scores, axis=0), abs=1e-6)
    assert np.std(scores, axis=0).max() > 1e-3  # the models differ, a mean is not any one of them


# property


def test_json_holds_study_thresholds_and_clips(call: Call, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.flac", noise(1.2, rate=44_100, channels=2), 44_100)
    code, out, err = call("tiny", tmp_path / "long.flac", "--json", "--threshold", "0")
    assert code == 0
    found = json.loads(out)
    assert (found["study"], found["trial"], found["tags"]) == ("tiny", "key", ["x", "y"])
    assert found["thresholds"] == {"x": 0.0, "y": 0.0}
    assert [(clip["start"], clip["end"]) for clip in found["clips"]] == [(0, 0.5), (0.5, 1), (1, 1.2)]
    assert all(clip["heard"] == ["x", "y"] for clip in found["clips"])
    assert found["failed"] == []
    assert "1 of 2 trials" in err  # an unfinished study: the best so far, with a note


def test_a_table_marks_what_is_above_its_threshold(call: Call, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(0.9), RATE)
    _, out, _ = call("tiny", tmp_path, "--threshold", "0.001")
    rows = [line.split() for line in out.splitlines() if line.strip().startswith("a.wav")]
    assert [row[1] for row in rows] == ["0:00-0:00.5", "0:00.5-0:00.9"]
    assert all(cell.endswith("*") for row in rows for cell in row[2:])
    _, out, _ = call("tiny", tmp_path, "--threshold", "1")
    assert "*" not in out


@pytest.mark.parametrize(("columns", "wide"), [(45, True), (44, False)])
def test_tags_that_do_not_fit_are_listed(columns: int, wide: bool) -> None:
    """A file and its time take 11 + 13 columns, tags 7, 7 and 6, the edge 1; listed, the most probable comes first."""
    console = Console(width=columns, file=io.StringIO())
    tagged = Tagged([TaggedClip(Path("a.wav"), 0.0, 0.5, np.array([0.3, 0.4, 0.2], np.float32))])
    console.print(tag_table(tagged, {"x": 0.1, "y": 0.1, "z": 0.9}, console))
    out = console.file.getvalue()  # type: ignore[attr-defined]
    (row,) = [line.split() for line in out.splitlines() if "a.wav" in line]
    assert row[2:] == ([".300*", ".400*", ".200"] if wide else ["y", ".400,", "x", ".300"])
    assert ("threshold" in out) == wide


def test_curves_are_drawn_for_each_recording(call: Call, tmp_path: Path) -> None:
    for name in ("a.wav", "sub/a.wav"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True, parents=True)
        soundfile.write(tmp_path / "in" / name, noise(1.2), RATE)
    code, _, _ = call("tiny", tmp_path / "in", "--curves", tmp_path / "out")
    assert code == 0
    drawn = sorted((tmp_path / "out").rglob("*.svg"))
    assert [path.relative_to(tmp_path / "out").as_posix() for path in drawn] == ["a.wav.svg", "sub/a.wav.svg"]
    assert "sub/a.wav" in drawn[1].read_text()


def test_recordings_are_heard_as_far_as_there_is_room(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two recordings: with room for both, for one of the sounds, for one drawing, and for none."""
    paths = [tmp_path / "<i>.wav", tmp_path / "long & loud.wav"]
    for path, seconds in zip(paths, (1.2, 2.2), strict=True):
        soundfile.write(path, noise(seconds), RATE)

    def players(limit: float) -> tuple[list[int], list[str], Page]:
        """The sizes of the players, the addresses of their sound, and the page."""
        monkeypatch.setattr(options, "LIMIT", limit)
        code, _, err = call("tiny", *paths, "--curves", tmp_path / "out")
        assert code == 0
        assert f"Listen: {tmp_path / 'out' / 'listen.html'}" in err
        text = (tmp_path / "out" / "listen.html").read_text()
        page = Page(text)
        assert page.open == []
        assert "i" not in page.tags
        articles = re.findall(r"<article.*?</article>", text, re.DOTALL)
        sources = re.findall(r'<audio[^>]* src="([^"]*)"', text)
        return [len(article.encode()) for article in articles], sources, page

    sizes, sounds, page = players(20)
    assert [source.partition(";")[0] for source in sounds] == ["data:audio/ogg"] * 2
    assert "(threshold " in page.text
    assert "it is linked" not in page.text
    _, sources, page = players((sum(sizes) - len(sounds[1]) / 2) / 1e6)
    assert sources == [sounds[0], "../long%20%26%20loud.wav"]
    assert "The sound of 1 recording does not fit: it is linked" in page.text
    _, sources, page = players((sizes[0] - len(sounds[0]) / 2) / 1e6)
    assert sources == ["../%3Ci%3E.wav"]
    assert "No room is left for 1 recording" in page.text
    assert players(0.001)[1] == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (4, "0:04"), (0.5, "0:00.5"), (59.999, "1:00"), (3723.25, "1:02:03.25")]
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


# degenerate


def test_broken_recordings_are_named_and_the_others_tagged(call: Call, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "good.wav", noise(0.5), RATE)
    (tmp_path / "torn.wav").write_bytes((tmp_path / "good.wav").read_bytes()[:5000])
    wave = noise(80.0)[:, 0]
    wave[-1] = math.nan  # found after its first clips have been tagged
    soundfile.write(tmp_path / "late.wav", wave, RATE, subtype="FLOAT")
    code, out, err = call("tiny", tmp_path)
    assert code == 3
    assert "good.wav" in out
    assert "late.wav" not in out
    named = [line for line in err.splitlines() if line.startswith("not tagged: ")]
    assert len(named) == 2
    assert "late.wav`: it holds a NaN" in named[0]
    assert "torn.wav`: it is cut off" in named[1]
    code, out, _ = call("tiny", tmp_path / "torn.wav")
    assert (code, out) == (2, "")


# malformed


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["tinny", "."], "did you mean tiny?"),
        (["qqqq", "."], "the studies there are tiny."),
        (["tiny"], "the following arguments are required: PATH"),
        (["tiny", "/nowhere.wav"], "There is no file or folder `/nowhere.wav`"),
        (["tiny", "EMPTY"], "holds no audio file"),
        (["tiny", ".", "--threshold", "1.5"], "must be from 0 to 1"),
        (["tiny", ".", "--hop", "0"], "must be above 0"),
        (["tiny", ".", "--hop", "0.6"], "must be from 0.032 to 0.5 s"),
        (["tiny", ".", "--hop", "0.3", "--curves", "c"], "exclude each other"),
        (["tiny", ".", "--trial", "nokey"], "no finished trial whose key begins with `nokey`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes(words: list[str], wanted: str, call: Call, tmp_path: Path) -> None:
    code, out, err = call(*(str(tmp_path) if word == "EMPTY" else word for word in words))
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert wanted in line


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["tiny", "/nowhere.wav"], 2)], ids=["help", "mistake"])
def test_help_and_mistakes_import_nothing_heavy(words: list[str], code: int, studies: Path, tmp_path: Path) -> None:
    assert heavy_imports("tag.py", [*words, "--studies", str(studies)], code, tmp_path) == "[]"
