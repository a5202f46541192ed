"""Plans of studies on one fixed split: their protocol, and what only a corpus with folds has."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.planning import plan_study

from audiotag.corpus.errors import CorpusError
from study.plan.preflight import PlanError

ROWS = [
    (f"{n:02}.wav", ";".join(tag for tag, every in (("x", 2), ("y", 3)) if n % every == 0), part)
    for n, part in enumerate(["train"] * 12 + ["validation"] * 6 + ["test"] * 6)
]


@pytest.fixture
def root(folder_corpus: Callable[..., Path]) -> Path:
    return folder_corpus(ROWS, "filename,tags,split", seconds=0.2)


def test_a_study_has_the_protocol_of_its_corpus(root: Path, tmp_path: Path) -> None:
    plan = plan_study(tmp_path, space="mixup_alpha", corpus=root, name="s", repeats=3)
    assert (plan.study.protocol, plan.study.has_fixed_split, plan.study.folds) == ("split", True, (1,))
    assert plan.study.corpus.split == {"train": 12, "validation": 6, "test": 6}
    ledger = plan.open_ledger()
    clips = ledger.clips()
    assert clips is not None
    assert clips.held_out(1, clips.names[18:]).targets.shape == (6, 2)
    again = plan_study(tmp_path, resume="s")
    assert again.study == ledger.study


def test_a_corpus_with_folds_has_no_split_in_its_record(folder_corpus: Callable[..., Path], tmp_path: Path) -> None:
    rows = [(name, n // 2 % 3, tags) for n, (name, tags, _) in enumerate(ROWS)]
    plan = plan_study(tmp_path, space="mixup_alpha", corpus=folder_corpus(rows, seconds=0.2), name="s")
    assert (plan.study.protocol, plan.study.corpus.split) == ("paper", None)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"protocol": "nested"}, "--protocol is nested, but the corpus `own` has one fixed split"),
        ({"until_clear": True}, "--until-clear is given, but the corpus `own` has one fixed split"),
        ({"partitions": 2}, "has one fixed split, which is not drawn anew: leave out --partitions"),
        ({"scheduler": "asha"}, "--scheduler is asha, but .* and there is 1: add --repeats 3"),
    ],
)
def test_what_only_folds_have_is_refused(root: Path, tmp_path: Path, options: dict[str, Any], line: str) -> None:
    with pytest.raises((PlanError, CorpusError), match=line):
        plan_study(tmp_path, space="mixup_alpha", corpus=root, **options)
    assert not (tmp_path / "studies").exists()
