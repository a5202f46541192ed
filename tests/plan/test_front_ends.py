"""The front ends of a study's trials, and what happens where there are no stereo recordings."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.planning import plan_study, write_layout

from audiotag.corpus.corpus import Corpus, CorpusError, open_corpus
from audiotag.features.log_mel import LogMel
from search_spaces import Space, load_space
from study.ledger.ledger import Ledger
from study.plan.front_ends import front_ends, leave_out, needs_stereo, stereo_fingerprint
from study.plan.preflight import PlanError
from study.search.searcher import make_searcher
from study.search.space import check_space, scan_space

Write = Callable[..., Path]
ROWS = [("a.wav", 0, "x"), ("b.wav", 0, ""), ("c.wav", 1, "x"), ("d.wav", 1, "")]
STEREO_ROWS = ["cgrnn, imd", "att_loc, imd"]


@pytest.fixture
def mono(folder_corpus: Write) -> Corpus:
    return open_corpus(folder_corpus(ROWS, seconds=0.5))


@pytest.fixture
def stereo(folder_corpus: Write) -> Corpus:
    root = folder_corpus(ROWS, seconds=0.5, name="stereo")
    for number, path in enumerate(sorted((root / "audio").iterdir())):
        soundfile.write(path, np.random.default_rng(number).uniform(-0.1, 0.1, (4000, 2)), 8000)
    return open_corpus(root)


@pytest.fixture
def chime_home(tmp_path: Path) -> Corpus:
    return open_corpus(write_layout(tmp_path / "small"))


def names_left_out(space: Space, corpus: Corpus) -> list[str]:
    scan = scan_space(space)
    return [trial.name for trial in leave_out(scan, corpus, {}, check_space(scan, {}))]


def only_stereo(trial: Any) -> dict[str, Any]:
    trial.suggest_categorical("model", ["cgrnn", "att_loc"])
    return {"imd": True}


# reference


@pytest.mark.parametrize(("space", "front_ends_", "in_stereo"), [("joint", 1, 0), ("stereo", 2, 1), ("table1", 3, 1)])
def test_a_space_has_each_front_end_once(space: str, front_ends_: int, in_stereo: int) -> None:
    scan = scan_space(load_space(space))
    found = front_ends(scan, {}, [])
    assert len(set(found)) == len(found) == front_ends_
    assert sum(front_end.imd for front_end in found) == in_stereo
    assert needs_stereo(scan) == bool(in_stereo)
    assert (LogMel() in found) == (space != "stereo")


def test_a_study_without_stereo_runs_the_other_rows(mono: Corpus, tmp_path: Path) -> None:
    plan = plan_study(tmp_path, corpus=mono.root, space="table1", epochs=1)
    assert [trial.name for trial in plan.study.left_out] == STEREO_ROWS
    assert (plan.study.trials, plan.study.stereo) == (12, None)
    searcher = make_searcher(plan.scan, plan.open_ledger(), plan.context)
    searcher.set_search_properties("eer_mean", "min", {})
    rows = [searcher.suggest(f"{number}") for number in range(12)]
    assert [row["model"] for row in rows] == ["dae_dnn", *["crnn"] * 11]
    resumed = plan_study(tmp_path, corpus=mono.root, resume=plan.root.name)
    assert (resumed.study.trials, resumed.study.left_out) == (12, plan.study.left_out)


def test_a_study_with_stereo_runs_all(stereo: Corpus, tmp_path: Path) -> None:
    study = plan_study(tmp_path, corpus=stereo.root, space="table1", epochs=1).study
    assert (study.trials, study.left_out, study.stereo) == (14, (), stereo_fingerprint(stereo))


def test_the_layout_of_chime_home_has_stereo_files_beside_the_mono_ones(chime_home: Corpus) -> None:
    assert names_left_out(load_space("stereo"), chime_home) == []
    assert [path.name for path in chime_home.stereo_paths] == [f"{clip}.48kHz.wav" for clip in chime_home.clips]
    gone = chime_home.stereo_paths[3]
    gone.unlink()
    shutil.copy(chime_home.paths[4], chime_home.stereo_paths[4])
    assert names_left_out(load_space("stereo"), chime_home) == STEREO_ROWS
    with pytest.raises(CorpusError, match=re.escape(f"`{gone}`: there is no such file (so for 2 of 8 clips)")):
        names_left_out(Space("in_stereo", "Which?", only_stereo, "exhaustive", None, "0"), chime_home)
    assert open_corpus(chime_home.root).fingerprint == chime_home.fingerprint  # mono trials are not concerned


def test_the_stereo_recordings_of_skipped_clips_are_not_missed(chime_home: Corpus) -> None:
    chime_home.paths[4].unlink()
    chime_home.stereo_paths[4].unlink()
    corpus = open_corpus(chime_home.root, skip_bad=True)
    assert names_left_out(load_space("stereo"), corpus) == []
    names = [path.name.removesuffix(".48kHz.wav") for path in corpus.stereo_paths]
    assert names == list(corpus.clips) == [clip for clip in chime_home.clips if clip != chime_home.clips[4]]


# property


def test_only_a_trial_in_stereo_depends_on_the_stereo_recordings(stereo: Corpus, tmp_path: Path) -> None:
    context = plan_study(tmp_path, corpus=stereo.root, space="stereo", epochs=1).context
    other = replace(context, study=replace(context.study, stereo="another"))
    for imd in (False, True):
        config = context.config({"model": "cgrnn", "imd": imd})
        assert (context.key(config) != other.key(config)) == imd


def test_other_stereo_recordings_are_another_study(chime_home: Corpus, tmp_path: Path) -> None:
    plan = plan_study(tmp_path, corpus=chime_home.root, space="stereo", epochs=1)
    plan.open_ledger()
    soundfile.write(chime_home.stereo_paths[0], np.zeros((48_000, 2)), 48_000)
    with pytest.raises(PlanError, match=r"the stereo recordings of .* was .*, now it is"):
        plan_study(tmp_path, corpus=chime_home.root, resume=plan.root.name)


def test_other_front_ends_are_another_study(mono: Corpus, tmp_path: Path) -> None:
    plan = plan_study(tmp_path, corpus=mono.root, space="joint", epochs=1)
    plan.open_ledger().update_study(features=(replace(LogMel(), n_mels=64).to_dict(),))
    with pytest.raises(PlanError, match=r"front ends was .*n_mels.: 64.*, now it is .*n_mels.: 128"):
        plan_study(tmp_path, corpus=mono.root, resume=plan.root.name)


def test_each_model_has_its_own_budget(stereo: Corpus, tmp_path: Path) -> None:
    context = plan_study(tmp_path, corpus=stereo.root, space="table1", epochs=3).context
    assert context.config({"model": "cgrnn", "imd": True}).batch_size == 100
    assert context.config({}).batch_size == 44
    assert context.config({"model": "dae_dnn"}).pretrain_epochs == 3


# malformed


def test_a_space_of_stereo_rows_alone_needs_a_corpus_with_stereo(mono: Corpus, chime_home: Corpus) -> None:
    space = Space("in_stereo", "Which?", only_stereo, "exhaustive", None, "0")
    with pytest.raises(CorpusError, match=r"`in_stereo` need: cgrnn, imd; att_loc, imd\."):
        names_left_out(space, mono)
    with pytest.raises(CorpusError, match="it has none"):
        names_left_out(space, replace(mono, stereo_paths=()))
    for path in chime_home.stereo_paths:
        path.unlink()
    with pytest.raises(CorpusError, match=r"python -m audiotag\.chime_home --stereo"):
        names_left_out(space, chime_home)


def test_a_sampled_space_may_draw_a_stereo_row_at_any_time(mono: Corpus, stereo: Corpus) -> None:
    def define(trial: Any) -> dict[str, Any]:
        trial.suggest_categorical("imd", [False, True])
        trial.suggest_float("dropout", 0.0, 0.5)
        return {"model": "cgrnn"}

    space = Space("sampled", "Which?", define, "tpe", 5, "0")
    with pytest.raises(CorpusError, match=r"need: cgrnn, imd, .*; and \d+ more\. .*a\.wav"):
        names_left_out(space, mono)
    assert names_left_out(space, stereo) == []


@pytest.mark.parametrize("sampler", ["exhaustive", "tpe", "random"])
def test_a_space_with_an_end_leaves_stereo_rows_out(mono: Corpus, sampler: str) -> None:
    assert names_left_out(replace(load_space("table1"), sampler=sampler), mono) == STEREO_ROWS


def test_a_study_that_grows_keeps_what_it_left_out(mono: Corpus, tmp_path: Path) -> None:
    plan = plan_study(tmp_path, corpus=mono.root, space="table1", epochs=1, trials=2)
    assert plan.study.trials == 2
    plan.open_ledger()
    grown = plan_study(tmp_path, corpus=mono.root, resume=plan.root.name, trials=99)
    assert (grown.study.trials, grown.grows) == (12, True)
    grown.open_ledger()
    study = Ledger.open(plan.root).study
    assert (study.trials, study.left_out) == (12, plan.study.left_out)
