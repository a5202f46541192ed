"""What a study's trials hear, and what happens where there are no stereo recordings."""

import argparse
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from audiotag.corpus.corpus import Corpus, CorpusError, open_corpus
from audiotag.corpus.layouts.chime_home import DEVELOPMENT_LIST, FOLD_LIST
from audiotag.corpus.validate import stereo_problem
from audiotag.features.log_mel import LogMel
from audiotag.models.build import FRAMES_OF_20_MS, MAGNITUDES, MAGNITUDES_WITH_IMD
from search_spaces import Space, load_space
from study.cli import make_console
from study.ledger.ledger import Ledger
from study.plan import plan
from study.plan.front_ends import front_ends, leave_out, stereo_fingerprint
from study.plan.plan import make_plan
from study.plan.presets import SYNTHETIC, budgets
from study.run import parse
from study.search.searcher import make_search
from study.search.space import check_space, models

Write = Callable[..., Path]
ROWS = [("a.wav", 0, "x"), ("b.wav", 0, ""), ("c.wav", 1, "x"), ("d.wav", 1, "")]


def in_stereo(root: Path) -> Path:
    for number, path in enumerate(sorted((root / "audio").iterdir())):
        soundfile.write(path, np.random.default_rng(number).uniform(-0.1, 0.1, (4000, 2)), 8000)
    return root


def write_layout(root: Path) -> Path:
    """Eight chunks of silence and noise in the layout of CHiME-Home, with their stereo recordings."""
    (root / "chunks").mkdir(parents=True)
    names = [f"home.s{number}_chunk0" for number in range(8)]
    for number, name in enumerate(names):
        base, letters = root / "chunks" / name, "cmfvpbo" if number % 4 < 2 else "S"
        noise = np.random.default_rng(number).uniform(-0.1, 0.1, (4800, 2))
        soundfile.write(f"{base}.16kHz.wav", noise[:1600, 0], 16_000)
        soundfile.write(f"{base}.48kHz.wav", noise, 48_000)
        text = f"segmentname,{name.split('_')[0]}\nmajorityvote,{letters}\nchunkname,{name}\n"
        Path(f"{base}.csv").write_text(text)
    (root / DEVELOPMENT_LIST).write_text("".join(f"0,{name}\n" for name in names))
    (root / FOLD_LIST).write_text("".join(f"0,{name},{number % 2}\n" for number, name in enumerate(names)))
    return root


@pytest.fixture
def mono(folder_corpus: Write) -> Corpus:
    return open_corpus(folder_corpus(ROWS, seconds=0.5))


@pytest.fixture
def stereo(folder_corpus: Write) -> Corpus:
    return open_corpus(in_stereo(folder_corpus(ROWS, seconds=0.5, name="stereo")))


def left_out(space: Space, corpus: Corpus) -> list[dict[str, Any]]:
    return leave_out(space, corpus, {}, check_space(space, {}))


def planned(root: Path, tmp_path: Path, *words: str) -> plan.Plan:
    arguments = parse([*words, "--corpus", str(root), "--studies", str(tmp_path / "studies")])
    assert isinstance(arguments, argparse.Namespace)
    return make_plan(arguments, make_console())


# reference


def test_front_ends_of_spaces() -> None:
    assert front_ends(load_space("joint"), {}, []) == [LogMel()]
    assert set(front_ends(load_space("stereo"), {}, [])) == {MAGNITUDES, MAGNITUDES_WITH_IMD}
    assert set(front_ends(load_space("table1"), {}, [])) == {LogMel(), FRAMES_OF_20_MS, MAGNITUDES_WITH_IMD}


def test_a_study_without_stereo_runs_the_other_rows(mono: Corpus, tmp_path: Path) -> None:
    made = planned(mono.root, tmp_path, "--space", "table1", "--epochs", "1")
    assert [row["name"] for row in made.study["left_out"]] == ["cgrnn, imd", "att_loc, imd"]
    assert (made.trials, made.study["stereo"]) == (12, None)
    ledger = made.ledger()
    search = make_search(made.space, ledger, made.settings)
    search.set_search_properties("eer_mean", "min", {})
    rows = [search.suggest(f"{number}") for number in range(12)]
    assert [row["model"] for row in rows] == ["dae_dnn", *["crnn"] * 11]
    resumed = planned(mono.root, tmp_path, "--resume", ledger.root.name)
    assert (resumed.trials, resumed.study["left_out"]) == (12, made.study["left_out"])


def test_a_study_with_stereo_runs_all(stereo: Corpus, tmp_path: Path) -> None:
    made = planned(stereo.root, tmp_path, "--space", "table1", "--epochs", "1")
    assert (made.trials, made.study["left_out"]) == (14, [])
    assert made.study["stereo"] == stereo_fingerprint(stereo)
    keys = {
        made.settings.key(made.settings.config({"model": model, "imd": imd}))
        for model in ("cgrnn", "att_loc")
        for imd in (True, False)
    }
    assert len(keys) == 4


def test_the_layout_of_chime_home_has_stereo_files_beside_the_mono_ones(tmp_path: Path) -> None:
    corpus = open_corpus(write_layout(tmp_path / "small"))
    assert stereo_problem(corpus) is None
    assert [path.name for path in corpus.stereo_paths] == [f"{clip}.48kHz.wav" for clip in corpus.clips]
    gone = corpus.stereo_paths[3]
    gone.unlink()
    shutil.copy(corpus.paths[4], corpus.stereo_paths[4])
    assert stereo_problem(corpus) == f"`{gone}`: there is no such file (so for 2 of 8 clips)"
    assert open_corpus(corpus.root).fingerprint == corpus.fingerprint  # who hears in mono is not concerned


def test_the_stereo_recordings_of_clips_that_are_left_out_are_not_missed(tmp_path: Path) -> None:
    whole = open_corpus(write_layout(tmp_path / "small"))
    whole.paths[4].unlink()
    whole.stereo_paths[4].unlink()
    corpus = open_corpus(whole.root, skip_bad=True)
    assert stereo_problem(corpus) is None
    names = [path.name.removesuffix(".48kHz.wav") for path in corpus.stereo_paths]
    assert names == list(corpus.clips) == [clip for clip in whole.clips if clip != whole.clips[4]]


# property


def test_a_trial_that_hears_in_stereo_depends_on_the_stereo_recordings(stereo: Corpus, tmp_path: Path) -> None:
    made = planned(stereo.root, tmp_path, "--space", "stereo", "--epochs", "1")
    mono_key, stereo_key = (
        made.settings.key(made.settings.config({"model": "cgrnn", "imd": imd})) for imd in (False, True)
    )
    other = replace(made.settings, stereo="another")
    assert other.key(other.config({"model": "cgrnn", "imd": False})) == mono_key
    assert other.key(other.config({"model": "cgrnn", "imd": True})) != stereo_key


def test_other_stereo_recordings_are_another_study(tmp_path: Path) -> None:
    corpus = open_corpus(write_layout(tmp_path / "small"))
    name = planned(corpus.root, tmp_path, "--space", "stereo", "--epochs", "1").ledger().root.name
    soundfile.write(corpus.stereo_paths[0], np.zeros((48_000, 2)), 48_000)
    with pytest.raises(
        plan.PlanError, match=r"A study keeps its settings: the stereo recordings of .* was .*, now it is"
    ):
        planned(corpus.root, tmp_path, "--resume", name)


def test_other_front_ends_are_another_study(mono: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = planned(mono.root, tmp_path, "--space", "joint", "--epochs", "1").ledger().root.name
    monkeypatch.setattr("study.plan.front_ends.front_end", lambda config: replace(LogMel(), n_mels=64))
    with pytest.raises(plan.PlanError, match=r"what the systems hear was .*, now it is .*n_mels.: 64"):
        planned(mono.root, tmp_path, "--resume", name)


def test_budgets() -> None:
    every = models(load_space("table1"))
    assert every == set(SYNTHETIC)
    assert budgets(every, synthetic=True, epochs=None) == {model: SYNTHETIC[model] for model in sorted(every)}
    assert budgets({"crnn", "dae_dnn"}, synthetic=False, epochs=None) == {"crnn": {}, "dae_dnn": {}}
    assert budgets({"crnn"}, synthetic=False, epochs=None, precision="bf16") == {"crnn": {"precision": "bf16"}}
    short = budgets({"crnn", "dae_dnn"}, synthetic=False, epochs=7)
    assert short == {"crnn": {"max_epochs": 7}, "dae_dnn": {"max_epochs": 7, "pretrain_epochs": 7}}
    assert budgets({"dae_dnn"}, synthetic=False, epochs=500)["dae_dnn"] == {"max_epochs": 500, "pretrain_epochs": 100}
    assert budgets({"dae_dnn"}, synthetic=True, epochs=9)["dae_dnn"]["pretrain_epochs"] == 3


def test_each_model_has_its_own_budget(stereo: Corpus, tmp_path: Path) -> None:
    settings = planned(stereo.root, tmp_path, "--space", "table1", "--epochs", "3").settings
    assert settings.config({"model": "cgrnn", "imd": True}).batch_size == 100
    assert settings.config({}).batch_size == 44
    assert settings.config({"model": "dae_dnn"}).pretrain_epochs == 3


# malformed


def test_only_stereo_rows_without_stereo(mono: Corpus) -> None:
    def define(trial: Any) -> dict[str, Any]:
        trial.suggest_categorical("model", ["cgrnn", "att_loc"])
        return {"imd": True}

    space = Space("in_stereo", "Which?", define, "exhaustive", None, "0")
    with pytest.raises(
        CorpusError, match=r"lacks the stereo recordings .* `in_stereo` need: cgrnn, imd; att_loc, imd\."
    ):
        left_out(space, mono)
    assert [row["name"] for row in left_out(load_space("stereo"), mono)] == ["cgrnn, imd", "att_loc, imd"]


def test_a_sampled_space_may_draw_a_stereo_row_at_any_time(mono: Corpus, stereo: Corpus) -> None:
    def define(trial: Any) -> dict[str, Any]:
        trial.suggest_categorical("imd", [False, True])
        trial.suggest_float("dropout", 0.0, 0.5)
        return {"model": "cgrnn"}

    space = Space("sampled", "Which?", define, "tpe", 5, "0")
    with pytest.raises(
        CorpusError,
        match=r"need: cgrnn, imd, .*; and \d+ more\. It is about `.*a\.wav`: the number of its channels is 1, not 2",
    ):
        left_out(space, mono)
    assert left_out(space, stereo) == []


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_sampled_space_with_an_end_leaves_stereo_rows_out(mono: Corpus, sampler: str) -> None:
    assert [row["name"] for row in left_out(replace(load_space("table1"), sampler=sampler), mono)] == [
        "cgrnn, imd",
        "att_loc, imd",
    ]


def test_what_to_do_about_stereo_recordings_that_were_not_unpacked(tmp_path: Path) -> None:
    corpus = open_corpus(write_layout(tmp_path / "small"))
    for path in corpus.stereo_paths:
        path.unlink()

    def define(trial: Any) -> dict[str, Any]:
        trial.suggest_categorical("model", ["cgrnn", "att_loc"])
        return {"imd": True}

    space = Space("in_stereo", "Which?", define, "exhaustive", None, "0")
    with pytest.raises(
        CorpusError, match=r"Unpack them \(python -m audiotag\.chime_home --stereo\), or choose another"
    ):
        left_out(space, corpus)


def test_a_corpus_that_knows_of_no_stereo_recordings(mono: Corpus) -> None:
    assert stereo_problem(replace(mono, stereo_paths=())) == "it has none"


def test_a_study_of_an_unfinished_ledger_keeps_what_it_left_out(mono: Corpus, tmp_path: Path) -> None:
    made = planned(mono.root, tmp_path, "--space", "table1", "--epochs", "1", "--trials", "2")
    assert made.trials == 2
    made.ledger()
    grown = planned(mono.root, tmp_path, "--resume", made.root.name, "--trials", "99")
    assert grown.trials == 12
    assert Ledger.open(made.root).study()["left_out"] == made.study["left_out"]
