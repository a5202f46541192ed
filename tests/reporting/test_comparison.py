"""Studies side by side: over which partitions their rows are tested, and what is said beside them."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study, with_results
from helpers.small_study import STUDY

from study.ledger.partitions import record_partitions
from study.reporting.comparison import DIFFERENCES, common_partitions, join, other_code
from study.stats.analysis import Analysis, analyse, fold_means
from study.stats.significance import corrected_t_over_folds

CORPUS = make_corpus(**SMALL)


def analysed(root: Path, first: int, **changes: Any) -> Analysis:
    """A study of two trials, numbered from `first` on, so that studies share no trial."""
    ledger = make_study(root, ALPHAS[first : first + 2], corpus=CORPUS, epochs=1, prefix=f"key{first}", **changes)
    return analyse(ledger, with_results(ledger))


@pytest.mark.parametrize(("partitions", "common"), [((3, 3), 3), ((3, 2), 2), ((3, 1), 1)])
def test_rows_are_tested_over_the_partitions_that_all_studies_have(
    tmp_path: Path, partitions: tuple[int, int], common: int
) -> None:
    one, two = (analysed(tmp_path / str(place), 2 * place, partitions=own) for place, own in enumerate(partitions))
    joined = join([one, two])
    assert len(joined.study.partitions) == common
    means = fold_means(joined.rows)
    assert means.shape == (4, 3 * common)
    assert [row.test for row in joined.rows[1:]] == [
        corrected_t_over_folds(own - means[0], common) for own in means[1:]
    ]
    for row in joined.rows:
        held = row.result.over_partitions
        assert (held.partitions if held else 1) == common
    differs = DIFFERENCES["The partitions differ: differences are tested over those that all studies have."]
    assert (len({str(differs(each.study)) for each in (one, two)}) > 1) == (partitions[0] != partitions[1])


def test_partitions_of_other_seeds_are_not_paired(tmp_path: Path) -> None:
    study = analysed(tmp_path / "s", 0, partitions=2).study
    folds = study.clip_folds(2)
    others = [record_partitions([own], seed) for own, seed in ((folds, 5), (np.roll(folds, 1), 0))]
    same, other = (replace(study, drawn=drawn) for drawn in others)
    assert common_partitions([study, same]) == 2  # with other initial weights, which is said apart
    assert common_partitions([study, other]) == 1
    assert common_partitions([study]) == 2


OWN = "def own(x, y, rng):\n    return x, y\n"
NETWORK = "class Net:\n    def __init__(self, n_columns, n_tags): ...\n"


def analysis(text: str, augmentations: list[str], model: str = "crnn") -> Any:
    study = replace(STUDY, space_source=text, space_path="/somewhere/question.py")
    trials = [SimpleNamespace(params={"augmentation": name, "model": model}) for name in augmentations]
    return SimpleNamespace(study=study, results=SimpleNamespace(trials=trials))


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ((OWN, ["none", "own"]), (OWN, ["own"]), ""),
        ((OWN, ["none", "own"]), (f"{OWN}# more", ["mixup+own"]), "`own`"),
        ((OWN, ["own"]), (f"{OWN}# more", ["none", "gone"]), ""),
        ((f"{OWN}{NETWORK}", ["own"], "Net"), (f"{NETWORK}{OWN}", ["own"], "Net"), "`Net` and `own`"),
    ],
)
def test_names_that_files_define_differently_are_told(first: Any, second: Any, names: str) -> None:
    lines = other_code([analysis(*first), analysis(*second)])
    assert [line for line in lines if f"define {names} differ" in line] == lines
    assert len(lines) == bool(names)
