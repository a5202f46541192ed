"""A trial with several seeds: what is trained, in which order, and what it leaves in the ledger."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.small_trial import FOLDS, SEED, broken_off, content, make_features, make_folder, reports

from study.ledger.files import LedgerWarning
from study.ledger.progress import Report
from study.ledger.saved_state import unpack_state
from study.ledger.trial_folder import TrialFolder

SEEDS = [SEED, SEED + 1]
TRAININGS = [(fold, seed) for fold in FOLDS for seed in SEEDS]
both_seeds = partial(reports, repeats=2)


def contents(folder: TrialFolder) -> list[list[Any]]:
    return [content(part) for part in folder.for_seeds(SEEDS)]


def epochs_of(seen: Iterator[Report] | list[Report]) -> list[tuple[int | None, int | None, int]]:
    return [(report.fold, report.seed, report.epoch.epoch) for report in seen if report.epoch]


@pytest.mark.parametrize("protocol", ["paper", "nested"])
def test_each_seed_gives_what_a_study_with_this_seed_gives(tmp_path: Path, protocol: str) -> None:
    both = make_folder(tmp_path, "both")
    list(both_seeds(both, protocol=protocol))
    alone = []
    for seed in SEEDS:
        folder = make_folder(tmp_path, f"seed {seed}")
        list(reports(folder, seed=seed, protocol=protocol))
        alone.append(content(folder))
    assert contents(both) == alone  # bit for bit
    assert alone[0] != alone[1]


def test_a_fold_is_trained_with_each_seed_before_the_next_begins(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    seen = list(both_seeds(folder))
    assert epochs_of(seen) == [(*training, epoch) for training in TRAININGS for epoch in range(3)]
    records = [part.read_fold(fold) for fold in FOLDS for part in folder.for_seeds(SEEDS)]
    means = [record.figures["eer"].mean for record in records if record is not None]
    first = np.mean(means[:2])  # type: ignore[arg-type]
    assert [report.mean for report in seen if report.fold == 1] == pytest.approx([first] * 6)
    assert seen[-1] == Report(pytest.approx(np.mean(means)), folds_done=2)  # type: ignore[arg-type]
    assert sorted(path.name for path in folder.path.glob("fold*.json")) == [
        *("fold_0.json", "fold_0_seed_6.json", "fold_1.json", "fold_1_seed_6.json")
    ]


@pytest.mark.parametrize("stop", [2, 3, 4, 6, 11, 12])
def test_a_trial_broken_off_with_any_seed_ends_as_an_unbroken_one(tmp_path: Path, stop: int) -> None:
    unbroken, stopped = make_folder(tmp_path, "unbroken"), make_folder(tmp_path, "stopped")
    list(both_seeds(unbroken))
    seen = broken_off(both_seeds, stopped, stop)
    assert contents(stopped) == contents(unbroken)
    assert epochs_of(seen) == [(*training, epoch) for training in TRAININGS for epoch in range(3)]  # none twice


@pytest.mark.parametrize("name", ["fold_0_seed_6.json", "fold_1.npz", "fold_1_seed_6.pt"])
def test_a_damaged_file_costs_its_own_training(tmp_path: Path, name: str) -> None:
    folder = make_folder(tmp_path)
    list(both_seeds(folder))
    before = contents(folder)
    (folder.path / name).write_bytes((folder.path / name).read_bytes()[:50])
    with pytest.warns(LedgerWarning, match=name):
        again = {training[:2] for training in epochs_of(both_seeds(folder))}
    assert again == {(int(name[5]), 6 if "seed_6" in name else 5)}
    assert contents(folder) == before


def test_a_state_is_continued_with_its_own_seed(tmp_path: Path) -> None:
    """The first seed's fold was lost while the second one's was in progress."""
    unbroken, folder = make_folder(tmp_path, "unbroken"), make_folder(tmp_path)
    list(both_seeds(unbroken))
    steps = both_seeds(folder)
    for _ in range(4):
        next(steps)
    steps.close()  # type: ignore[attr-defined]
    content = folder.read_running()
    assert content is not None
    assert unpack_state(content).names == {"fold": 0, "seed": SEEDS[1]}
    folder.weights_path(0).unlink()
    with pytest.warns(LedgerWarning, match="missing or damaged"):
        again = [(row.fold, row.seed, row.epoch.epoch) for row in both_seeds(folder) if row.epoch is not None]
    assert again[:5] == [(0, SEEDS[0], 0), (0, SEEDS[0], 1), (0, SEEDS[0], 2), (0, SEEDS[1], 1), (0, SEEDS[1], 2)]
    assert contents(folder) == contents(unbroken)


def test_a_diverged_seed_is_named(tmp_path: Path) -> None:
    folder, values = make_folder(tmp_path), make_features()
    steps = both_seeds(folder, values)
    for _ in range(4):  # the first epoch of the second seed
        next(steps)
    values[:] = np.nan
    (last,) = steps
    assert last.failed is not None
    assert last.failed.endswith("in epoch 1 of fold 0 with seed 6")
    assert folder.read_failure() == last.failed
