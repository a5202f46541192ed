"""A trial with several partitions: what is trained, in which order, and what it leaves in the ledger."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.small_trial import (
    CONFIG,
    FOLDS,
    SEED,
    broken_off,
    content,
    make_context,
    make_corpus,
    make_features,
    make_folder,
    reports,
)

from audiotag.corpus.partitions import partition_seed
from study.ledger.files import LedgerWarning
from study.ledger.progress import Report
from study.ledger.results import merged_folds
from study.ledger.trial_folder import TrialFolder

PARTITIONS = (1, 2)
TRAININGS = [(partition, fold) for partition in PARTITIONS for fold in FOLDS]
both = partial(reports, partitions=2)


def contents(folder: TrialFolder) -> list[list[Any]]:
    return [content(folder.for_partition(partition)) for partition in PARTITIONS]


def epochs_of(seen: list[Report]) -> list[tuple[int, int | None, int]]:
    return [(report.partition, report.fold, report.epoch.epoch) for report in seen if report.epoch]


@pytest.mark.parametrize("protocol", ["paper", "nested"])
def test_each_partition_gives_what_a_study_of_it_alone_gives(tmp_path: Path, protocol: str) -> None:
    """Partition 2 is that of a corpus whose own folds are these, with the seed that study.json names."""
    folder = make_folder(tmp_path, "both")
    list(both(folder, protocol=protocol))
    study = make_context(partitions=2).study
    divided = replace(make_corpus(), folds=study.clip_folds(2))
    alone = [make_folder(tmp_path, name) for name in ("first", "second")]
    list(reports(alone[0], protocol=protocol))
    list(reports(alone[1], protocol=protocol, corpus=divided, seed=study.drawn[0].seed))
    assert contents(folder) == [content(each) for each in alone]  # bit for bit
    assert contents(folder)[0] != contents(folder)[1]


def test_each_seed_of_a_partition_has_numbers_of_its_own(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, "all")
    list(reports(folder, partitions=2, repeats=2))
    study = make_context(partitions=2).study
    divided, alone = replace(make_corpus(), folds=study.clip_folds(2)), make_folder(tmp_path, "alone")
    list(reports(alone, corpus=divided, seed=partition_seed(SEED + 1, 2)))
    first, second = folder.for_partition(2).for_seeds([SEED, SEED + 1])
    assert content(second) == content(alone) != content(first)


def test_one_partition_is_whole_before_the_next_begins(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    seen = list(both(folder))
    assert epochs_of(seen) == [(*training, epoch) for training in TRAININGS for epoch in range(3)]
    study = make_context(partitions=2).study
    means = [fold.figures["eer"].mean for fold in merged_folds(folder, study)]
    assert [report.mean for report in seen if report.partition == 2] == pytest.approx([np.mean(means)] * 6)
    assert [(report.folds_done, report.mean) for report in seen if report.ends_fold] == [
        *((1, pytest.approx(means[0])), (2, pytest.approx(np.mean(means)))),
        *((3, pytest.approx(np.mean(means))), (4, pytest.approx(np.mean(means)))),
    ]
    assert sorted(path.name for path in folder.path.glob("fold*.json")) == [
        *("fold_0.json", "fold_0_partition_2.json", "fold_1.json", "fold_1_partition_2.json")
    ]


@pytest.mark.parametrize("stop", [2, 6, 8, 9, 12, 13])
def test_a_trial_broken_off_in_any_partition_ends_as_an_unbroken_one(tmp_path: Path, stop: int) -> None:
    unbroken, stopped = make_folder(tmp_path, "unbroken"), make_folder(tmp_path, "stopped")
    list(both(unbroken))
    seen = broken_off(both, stopped, stop)
    assert contents(stopped) == contents(unbroken)
    assert epochs_of(seen) == [(*training, epoch) for training in TRAININGS for epoch in range(3)]  # none twice


def test_a_finished_trial_that_gets_another_partition_ends_as_one_that_had_it_from_the_start(tmp_path: Path) -> None:
    whole, grown = make_folder(tmp_path, "whole"), make_folder(tmp_path, "grown")
    list(both(whole))
    list(reports(grown))
    first, *later = both(grown)
    assert (first.folds_done, first.ends_fold) == (2, True)  # where it goes on from
    assert epochs_of(later) == [(2, fold, epoch) for fold in FOLDS for epoch in range(3)]
    assert contents(grown) == contents(whole)


def test_a_damaged_file_costs_its_own_training(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    list(both(folder))
    before, name = contents(folder), "fold_0_partition_2.pt"
    (folder.path / name).write_bytes((folder.path / name).read_bytes()[:50])
    with pytest.warns(LedgerWarning, match=name):
        again = {training[:2] for training in epochs_of(list(both(folder)))}
    assert again == {(2, 0)}
    assert contents(folder) == before


def test_a_trial_that_diverges_in_a_later_partition_is_no_failed_one(tmp_path: Path) -> None:
    folder, values = make_folder(tmp_path), make_features()
    steps = reports(folder, values, partitions=3)
    for _ in range(9):  # the first epoch of partition 2
        report = next(steps)
    assert (report.partition, report.fold) == (2, 0)
    values[:] = np.nan
    with pytest.warns(
        LedgerWarning, match=r"Trial \w+ failed in partition 2: .* epoch 1 of fold 0; it keeps its result"
    ):
        (last,) = steps
    assert (last.failed, last.folds_done, last.ends_fold) == (None, 2, True)
    assert folder.read_failure() is None
    assert "epoch 1 of fold 0" in (folder.for_partition(2).read_failure() or "")
    assert CONFIG.to_dict() == folder.trial.config
