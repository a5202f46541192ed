"""A confirmation that is planned: which trials, folds and seeds it has, and what cannot be confirmed."""

import io
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.planning import plan_study
from rich.console import Console

from study.ledger.confirmation import ConfirmationError, fresh_seed
from study.ledger.context import StudyContext
from study.ledger.ledger import Ledger
from study.ledger.own_code import OwnCodeError
from study.ledger.saved_state import pack_fold
from study.ledger.schema import Figures, FoldRecord
from study.plan.confirmation import plan_confirmation
from study.plan.plan import Plan
from study.plan.preflight import PlanError
from study.plan.request import Request
from study.search.searcher import make_searcher

ROWS = [(f"{name}.wav", number // 6, "x" * (number % 2)) for number, name in enumerate("abcdefghijkl")]
OWN = '''"""How strong?"""
BASELINE = {"alpha": 0.0}


def define(trial):
    trial.suggest_float("alpha", 0.0, 3.0)
    return {"augmentation": "mixup"}
'''


@pytest.fixture
def root(folder_corpus: Callable[..., Path]) -> Path:
    return folder_corpus(ROWS, seconds=0.2)


def finish(plan: Plan, means: Sequence[float]) -> Ledger:
    """The study with these mean EERs of its trials, in the order of the space."""
    ledger = plan.open_ledger()
    for number, (parameters, mean) in enumerate(zip(plan.scan.parameters, means, strict=False)):
        config = plan.context.config(parameters)
        folder = ledger.trial(plan.context.key(config))
        folder.write_trial(number, config.to_dict())
        for fold in plan.study.folds:
            for part in folder.for_seeds(plan.study.seeds):
                record = FoldRecord(fold, {"eer": Figures({"x": mean}, mean)}, 0, 1, 1.0, (), (), folder.trial)
                part.write_fold(record, pack_fold({"held_out": np.zeros((1, 1))}, {"w": torch.zeros(1)}))
    return ledger


def study_of(root: Path, tmp_path: Path, means: Sequence[float] = (0.3, 0.2, 0.1), **options: Any) -> Ledger:
    options = {"space": "mixup_alpha", "trials": len(means), "epochs": 2, "name": "s"} | options
    return finish(plan_study(tmp_path, corpus=root, **options), means)


def confirm(ledger: Ledger, **options: Any) -> Plan:
    request = Request(studies=ledger.root.parent, **options)
    return plan_confirmation(request, Console(file=io.StringIO()), Ledger.open(ledger.root))


def test_winner_and_baseline_are_trained_on_other_folds_with_another_seed(root: Path, tmp_path: Path) -> None:
    ledger = study_of(root, tmp_path, epochs=3, repeats=2, protocol="nested", margin=0.02)
    plan, study = confirm(ledger), ledger.study
    found, of = plan.study, plan.study.confirms
    assert (plan.root, found.name, plan.root.exists()) == (tmp_path / "studies" / "s-confirmed", "s-confirmed", False)
    assert of is not None
    keys = [folder.key for folder in ledger.trials()]
    assert (of.study, of.id, of.baseline.key, of.winner.key) == ("s", study.id, keys[0], keys[2])
    assert [config["alpha"] for config in of.configs] == [0.0, 0.5]
    assert found.id != study.id
    assert (found.seed, found.repeats, found.trials) == (fresh_seed(study), 2, 2)
    assert (found.protocol, found.margin, found.settings) == ("nested", 0.02, study.settings)
    folds, own = plan.corpus.folds.tolist(), [fold for _, fold, _ in ROWS]
    assert folds == of.partition.clip_folds.tolist() != own
    assert folds != [1 - fold for fold in own]
    assert found.corpus == study.corpus


def test_its_trials_are_the_two(root: Path, tmp_path: Path) -> None:
    plan = confirm(study_of(root, tmp_path))
    ledger = plan.open_ledger()
    searcher = make_searcher(plan.scan, ledger, plan.context)
    proposed = [searcher.suggest(str(number)) for number in range(plan.study.trials)]
    assert [proposal["alpha"] for proposal in proposed] == [0.0, 0.5]
    assert ledger.study.confirms is not None
    assert [folder.trial.config for folder in ledger.trials()] == ledger.study.confirms.configs
    assert ledger.clips().folds.tolist() == plan.corpus.folds.tolist()


def test_partitions_that_the_study_had_are_not_drawn_again(root: Path, tmp_path: Path) -> None:
    ledger = study_of(root, tmp_path)
    first = confirm(ledger).corpus.folds
    ledger.update_study(drawn=(replace(confirm(ledger).study.confirms.partition, seed=1),))
    for folder in ledger.trials():
        for fold in ledger.study.folds:
            shutil.copy(folder.path / f"fold_{fold}.npz", folder.path / f"fold_{fold}_partition_2.npz")
            record = folder.read_fold(fold)
            folder.for_partition(2).write_fold(record, pack_fold({"held_out": np.zeros((1, 1))}, {"w": torch.zeros(1)}))
    assert confirm(ledger).corpus.folds.tolist() not in (first.tolist(), (1 - first).tolist())


def test_one_that_was_begun_is_continued(root: Path, tmp_path: Path) -> None:
    ledger = study_of(root, tmp_path)
    begun = confirm(ledger)
    assert begun.open_ledger().study.confirms == begun.study.confirms
    again, resumed = confirm(ledger), plan_study(tmp_path, resume="s-confirmed")
    for plan in (again, resumed):
        assert plan.ledger is not None
        assert (plan.study, plan.grows) == (replace(begun.study, folder=str(begun.root)), False)
        assert plan.corpus.folds.tolist() == begun.corpus.folds.tolist()
        assert plan.scan.combinations == begun.scan.combinations
        assert [plan.context.key_of(own) for own in plan.scan.parameters] == [
            begun.context.key_of(own) for own in begun.scan.parameters
        ]


def test_it_cannot_grow(root: Path, tmp_path: Path) -> None:
    confirm(study_of(root, tmp_path)).open_ledger()
    assert plan_study(tmp_path, resume="s-confirmed", trials=9).study.trials == 2
    with pytest.raises(PlanError, match="--partitions is 2, but a confirmation has 1"):
        plan_study(tmp_path, resume="s-confirmed", partitions=2)


def test_a_space_without_an_end(root: Path, tmp_path: Path) -> None:
    own = tmp_path / "strong.py"
    own.write_text(OWN)
    plan = plan_study(tmp_path, corpus=root, space=str(own), sampler="random", trials=2, epochs=2, name="s")
    parameters = [{"augmentation": "mixup", "alpha": alpha} for alpha in (0.0, 1.25)]
    ledger = finish(replace(plan, scan=replace(plan.scan, parameters=parameters)), (0.3, 0.2))
    found = confirm(ledger)
    assert found.scan.combinations == [{"alpha": 0.0}, {"alpha": 1.25}]
    assert (found.study.baseline, found.study.sampler) == ({"alpha": 0.0}, "exhaustive")
    found.open_ledger()
    own.write_text(f"{OWN}\n# changed\n")
    with pytest.raises(OwnCodeError, match="--trust-code"):
        confirm(ledger)
    assert confirm(ledger, trust_code=True).scan.combinations == found.scan.combinations


def test_source_that_was_changed_is_not_run(root: Path, tmp_path: Path) -> None:
    own = tmp_path / "strong.py"
    own.write_text(OWN.replace('suggest_float("alpha", 0.0, 3.0)', 'suggest_categorical("alpha", [0.0, 1.0])'))
    ledger = finish(plan_study(tmp_path, corpus=root, space=str(own), epochs=2, name="s"), (0.3, 0.2))
    own.write_text("raise SystemExit")
    with pytest.raises(OwnCodeError, match="must be as it was"):
        confirm(ledger)
    assert confirm(ledger, trust_code=True).study.confirms is not None


@pytest.mark.parametrize(
    ("means", "line"),
    [
        ((0.1, 0.2, 0.3), r"chose its own baseline \(mixup, alpha 0\): there is no winner to confirm"),
        ((0.1, 0.2), "is not finished: continue it first, with study/run.py --resume s"),
    ],
)
def test_nothing_to_confirm(means: Sequence[float], line: str, root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfirmationError, match=line):
        confirm(study_of(root, tmp_path, means, trials=3))


def test_a_study_whose_trials_failed(root: Path, tmp_path: Path) -> None:
    ledger = study_of(root, tmp_path)
    for folder in ledger.trials():
        folder.write_failure("no reason")
    with pytest.raises(ConfirmationError, match="has no trial with a result"):
        confirm(ledger)


def test_a_confirmation_is_not_confirmed(root: Path, tmp_path: Path) -> None:
    begun = confirm(study_of(root, tmp_path)).open_ledger()
    with pytest.raises(ConfirmationError, match="is itself a confirmation, of `s`"):
        confirm(begun)


def test_one_of_other_trials_is_not_continued(root: Path, tmp_path: Path) -> None:
    ledger = study_of(root, tmp_path, (0.3, 0.1, 0.2))
    confirm(ledger).open_ledger()
    record = ledger.trials()[2].read_fold(0)
    for fold in ledger.study.folds:
        better = replace(record, fold=fold, figures={"eer": Figures({"x": 0.0}, 0.0)})
        ledger.trials()[2].write_fold(better, pack_fold({"held_out": np.zeros((1, 1))}, {"w": torch.zeros(1)}))
    with pytest.raises(
        ConfirmationError, match=r"confirms mixup, alpha 0\.1, but .* now to be confirmed in mixup, alpha 0\.5"
    ):
        confirm(ledger)


def test_a_study_of_its_name_is_in_the_way(root: Path, tmp_path: Path) -> None:
    ledger = study_of(root, tmp_path)
    Ledger.create(tmp_path / "studies" / "s-confirmed", replace(ledger.study, id="1" * 32))
    with pytest.raises(ConfirmationError, match="is no confirmation of `s`, but has its name"):
        confirm(ledger)


def test_groups_that_can_be_divided_in_one_way_only(folder_corpus: Callable[..., Path], tmp_path: Path) -> None:
    rows = [(f"{number}.wav", number // 4, "x" * (number % 2), f"g{number // 4}") for number in range(8)]
    root = folder_corpus(rows, header="filename,fold,tags,group", seconds=0.2)
    with pytest.raises(ConfirmationError, match="has too few of them to be divided into 2 folds in another way"):
        confirm(study_of(root, tmp_path))


def test_its_trials_have_keys_of_their_own(root: Path, tmp_path: Path) -> None:
    ledger = study_of(root, tmp_path)
    plan = confirm(ledger)
    keys = {plan.context.key_of(own) for own in plan.scan.parameters}
    assert len(keys) == 2
    assert not keys & {folder.key for folder in ledger.trials()}
    assert StudyContext(replace(plan.study, seed=ledger.study.seed)).key_of(plan.scan.parameters[0]) in {
        folder.key for folder in ledger.trials()
    }
