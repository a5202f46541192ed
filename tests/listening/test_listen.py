"""The page of a study, and the command that makes it."""

import base64
import io
import re
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
from encode import RATE
from helpers.light import heavy_imports
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study
from helpers.pages import Page
from helpers.recordings import noise

from audiotag.corpus.corpus import open_corpus
from audiotag.corpus.layouts import LAYOUTS
from study.cli import make_console
from study.listening import held_out
from study.listening.held_out import FoldModels
from study.listening.options import Options
from study.listening.question import ask
from study.listening.study_page import write_study_page
from study.tagging.winner import find_winner

from .conftest import TAGS, Call


def page_of(studies: Path, name: str = "tiny") -> str:
    return (studies / name / "listen.html").read_text(encoding="utf-8")


@pytest.fixture
def own(studies: Path, tmp_path: Path) -> Path:
    """A folder of studies of the test's own, with a copy of `tiny`."""
    shutil.copytree(studies / "tiny", tmp_path / "own" / "tiny", ignore=shutil.ignore_patterns("listen.html"))
    return tmp_path / "own"


# reference


def test_a_clip_is_heard_by_the_models_of_its_own_fold(studies: Path, own_corpus: Path) -> None:
    """They give the scores that the study has of it; those of another fold do not."""
    winner = find_winner(studies, "tiny")
    question, models = ask(winner, 3), FoldModels(winner, open_corpus(own_corpus))
    clips = question.clips
    stored = question.rows[0].scored.scores
    heard = models.hear(clips.names.tolist(), clips.folds.tolist())
    assert np.array([one.scores for one in heard]) == pytest.approx(stored, abs=1e-6)
    others = models.hear(clips.names.tolist(), np.roll(winner.study.folds, 1)[clips.folds].tolist())
    assert np.abs(np.array([one.scores for one in others]) - stored).max() > 1e-4


def test_sound_scores_and_annotation_of_a_clip(call: Call, studies: Path, own_corpus: Path) -> None:
    code, out, err = call("tiny", "--clips", "1")
    assert (code, err) == (0, "")
    assert out.strip() == f"Listen: {studies / 'tiny' / 'listen.html'}"
    text = page_of(studies)
    question = ask(find_winner(studies, "tiny"), 1)
    clip = question.choices[0].clip
    (player,) = re.findall(rf'<article class="player" id="clip-{clip}".*?</article>', text, re.DOTALL)
    page = Page(player)
    (source,) = [value for name, value in page.attributes if name == "src" and value and "audio" in value]
    wave, rate = soundfile.read(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    assert (len(wave), rate) == (RATE // 2, 16_000)
    assert str(question.clips.names[clip]) in page.text
    for row in question.rows:
        score = f"{row.scored.scores[clip, question.choices[0].tag]:.3f}".removeprefix("0")
        assert f"{row.word} {score} (threshold" in page.text
    assert f"Annotated: {', '.join(question.tags_of(clip)) or 'none'}. Fold {question.clips.folds[clip]}." in page.text


# property


def test_the_page_is_whole_escaped_and_asks_for_nothing(call: Call, studies: Path) -> None:
    call("tiny")
    text = page_of(studies)
    page = Page(text)
    assert page.open == []
    assert "i" not in page.tags  # of the clips' names
    assert page.tags.count("script") == 2
    assert "https://" not in text.replace("http://www.w3.org", "")
    for name, value in page.attributes:
        if name in ("src", "href"):
            assert value is not None
            assert value.startswith(("data:", "#"))
    anchors = {value for name, value in page.attributes if name == "id"}
    assert {value[1:] for name, value in page.attributes if name == "href" and value and value[0] == "#"} <= anchors
    assert page.text.count(TAGS[0]) > 3
    assert page.tags.count("audio") == page.tags.count("article") > 3
    assert LAYOUTS["folder"].terms in page.text


def test_the_same_study_gives_the_same_bytes(call: Call, studies: Path) -> None:
    call("tiny")
    first = page_of(studies)
    call("tiny")
    assert page_of(studies) == first


def test_every_choice_is_a_player_or_a_link_to_one(call: Call, studies: Path) -> None:
    call("tiny", "--clips", "2")
    question, page = ask(find_winner(studies, "tiny"), 2), Page(page_of(studies))
    players = [value for name, value in page.attributes if name == "id" and value and value.startswith("clip-")]
    links = [value for name, value in page.attributes if name == "href" and value and value.startswith("#clip-")]
    assert sorted(players) == sorted({f"clip-{choice.clip}" for choice in question.choices})
    assert len(players) + len(links) == len(question.choices)


def test_the_limit_cuts_the_least_important_clips(call: Call, studies: Path) -> None:
    call("tiny", "--clips", "3")
    whole = page_of(studies)
    limit = 0.6 * len(whole.encode()) / 1e6
    code, _, _ = call("tiny", "--clips", "3", "--limit", limit)
    assert code == 0
    part = page_of(studies)
    assert 0.3e6 * limit < len(part.encode()) <= 1e6 * limit
    there = Page(part).tags.count("article")
    assert 0 < there < Page(whole).tags.count("article")
    assert f"{there} of them are here" in Page(part).text
    assert "all are here" in Page(whole).text
    first = ask(find_winner(studies, "tiny"), 3).choices[0]
    assert f'id="clip-{first.clip}"' in part


def test_linked_sound_is_that_of_the_corpus(call: Call, studies: Path, own_corpus: Path) -> None:
    call("tiny", "--link")
    text = page_of(studies)
    sources = re.findall(r'<audio[^>]* src="([^"]*)"', text)
    assert sources
    for source in sources:
        assert (studies / "tiny" / unquote(source)).resolve().parent == own_corpus / "audio"
    assert "data:audio" not in text


def test_a_winner_that_is_the_baseline_is_compared_with_the_next(tmp_path: Path) -> None:
    make_study(tmp_path / "s", ALPHAS[:3], corpus=make_corpus(**SMALL), gains=[2.0, 0.0, 1.0])
    rows = ask(find_winner(tmp_path, "s"), 1).rows
    assert [(row.word, row.result.key) for row in rows] == [("winner", "key0000"), ("runner-up", "key0002")]
    make_study(tmp_path / "t", ALPHAS[:3], corpus=make_corpus(**SMALL), gains=[0.0, 0.5, 2.0])
    rows = ask(find_winner(tmp_path, "t"), 1).rows
    assert [(row.word, row.result.key) for row in rows] == [("winner", "key0002"), ("baseline", "key0000")]


def test_a_corpus_that_must_not_be_passed_on_says_so(studies: Path, own_corpus: Path, tmp_path: Path) -> None:
    corpus = replace(open_corpus(own_corpus), kind="chime_home")
    question = ask(find_winner(studies, "tiny"), 1)
    path = write_study_page(question, corpus, Options(clips=1), make_console())
    page = path.read_text(encoding="utf-8")
    banner = page.index('<p class="banner">')
    assert "do not publish them or pass them on" in page[banner : page.index("</header>")]
    assert LAYOUTS["synthetic"].terms == ""
    assert "child speech" not in page  # the tags are others


# degenerate


def test_models_that_are_not_those_of_the_study_are_noticed(own: Path, call: Call) -> None:
    warning = "the models give other scores than in the study"
    assert call("tiny", "--studies", own)[0] == 0
    assert warning not in Page(page_of(own)).text
    for trial in (own / "tiny" / "trials").iterdir():
        first, second = (trial / f"fold_{fold}.pt" for fold in (0, 1))
        weights = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(weights)
    assert call("tiny", "--studies", own)[0] == 0
    assert warning in Page(page_of(own)).text


def test_a_network_without_curves_says_so(call: Call, studies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_out.FoldModels, "has_curves", False)
    assert call("tiny", "--clips", "1")[0] == 0
    text = page_of(studies)
    assert "has no curves over time" in text
    assert 'class="area' not in text
    assert 'class="score"' in text


def test_a_study_of_one_row_has_no_disagreements(own: Path, call: Call) -> None:
    shutil.rmtree(own / "tiny" / "trials" / "key1")
    assert call("tiny", "--studies", own)[0] == 0
    page = Page(page_of(own))
    assert "there is none to disagree with" in page.text
    assert "only the winner" not in page.text.lower()


def test_a_corpus_that_moved_is_named(own: Path, own_corpus: Path, call: Call, tmp_path: Path) -> None:
    there = shutil.copytree(own_corpus, tmp_path / "elsewhere")
    record = own / "tiny" / "study.json"
    record.write_text(record.read_text().replace(str(own_corpus), str(tmp_path / "gone")))
    code, out, err = call("tiny", "--studies", own)
    assert (code, out) == (2, "")
    assert f"is no longer at {tmp_path / 'gone'}: say where it is with --corpus PATH" in err
    assert not (own / "tiny" / "listen.html").exists()
    assert call("tiny", "--studies", own, "--corpus", there)[0] == 0


# malformed


def test_audio_that_changed_is_refused(own_corpus: Path, call: Call, studies: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(own_corpus, tmp_path / "changed")
    soundfile.write(sorted((changed / "audio").iterdir())[0], noise(0.5, 99), RATE)
    code, out, err = call("tiny", "--corpus", changed)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert f"The corpus {changed} is not as the study `tiny` had it" in err


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["tinny"], "did you mean tiny?"),
        (["tiny", "--limit", "0.001"], "--limit is 0.001 MB, but a page with one clip takes"),
        (["tiny", "--limit", "0"], "must be above 0"),
        (["tiny", "--clips", "0"], "must be above 0"),
        (["tiny", "--corpus", "/nowhere"], "The corpus `/nowhere` does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes(words: list[str], wanted: str, call: Call) -> None:
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert wanted in line


def test_studies_that_cannot_be_heard(tmp_path: Path, call: Call, studies: Path) -> None:
    make_study(tmp_path / "young", ALPHAS[:1], corpus=make_corpus(**SMALL), finished=0)
    make_study(tmp_path / "without", ALPHAS[:1], corpus=make_corpus(**SMALL), with_clips=False)
    for name, wanted in (("young", "has no finished trial"), ("without", "has no usable clips.npz")):
        code, _, err = call(name, "--studies", tmp_path)
        assert (code, len(err.splitlines())) == (2, 1)
        assert wanted in err


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["nothing"], 2)], ids=["help", "mistake"])
def test_help_and_mistakes_import_nothing_heavy(words: list[str], code: int, tmp_path: Path) -> None:
    assert heavy_imports("listen.py", words, code, tmp_path) == "[]"
