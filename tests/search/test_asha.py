"""Which trials are worth another fold: the arithmetic, and that decisions survive whatever kills a study."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.made_up import make_corpus, make_study

from study.cli import make_console
from study.ledger.ledger import Ledger
from study.ledger.pruning import passed, pruned, write_passed, write_pruned
from study.ledger.results import is_complete, running_means, study_results
from study.report import markdown_report, show_results
from study.search.asha import Rungs, bound, rung_folds

FIVE = make_corpus(groups=15, clips=4, tags=2, folds=5)
CONFIGS: list[dict[str, Any]] = [{"augmentation": "mixup", "alpha": alpha} for alpha in (0.0, 0.5, 1.0, 1.5, 2.0)]


def make(root: Path, *eers: list[float], **study: Any) -> Ledger:
    """A study of five folds whose trials have these mean EERs in their first folds."""
    ledger = make_study(root, CONFIGS[: len(eers)], corpus=FIVE, finished=len(eers), scheduler="asha", **study)
    for folder, values in zip(ledger.trials(), eers, strict=True):
        for fold in range(5):
            path = folder.path / f"fold_{fold}.json"
            if fold >= len(values):
                path.unlink()
                continue
            record = json.loads(path.read_text())
            record |= {"eer": dict.fromkeys(record["eer"], values[fold]), "eer_mean": values[fold]}
            path.write_text(json.dumps(record))
    return ledger


# reference: worked by hand


@pytest.mark.parametrize(
    ("folds", "rungs"),
    [(1, []), (2, [1]), (3, [1]), (4, [1, 2]), (5, [1, 2]), (7, [1, 2]), (8, [1, 2, 4]), (10, [1, 2, 4])],
)
def test_rungs_double_as_long_as_as_many_folds_again_would_follow(folds: int, rungs: list[int]) -> None:
    assert rung_folds(folds) == rungs


def test_the_bound_parts_the_better_third() -> None:
    assert bound([]) is None
    assert bound([0.1, 0.3]) is None
    assert bound([0.1, 0.4, 0.3]) == pytest.approx(0.1 + (2 / 3) * 0.2)  # a third of the way from the 1st to the 3rd
    assert bound([0.4, 0.3, 0.2, 0.1]) == pytest.approx(0.2)
    assert bound([0.2] * 5) == 0.2


def test_a_mean_over_r_folds_is_of_the_first_r(tmp_path: Path) -> None:
    ledger = make(tmp_path / "s", [0.2, 0.4, 0.3])
    (folder,) = ledger.trials()
    assert running_means(folder, ledger.study()) == pytest.approx([0.2, 0.3, 0.3])
    (folder.path / "fold_1.json").unlink()  # a gap ends it: folds 0 and 2 are no first two
    assert running_means(folder, ledger.study()) == pytest.approx([0.2])


# property


def test_a_trial_is_compared_over_the_same_folds_only(tmp_path: Path) -> None:
    """The folds are of different difficulty: .5 in the second is good here, and would be bad after the first."""
    ledger = make(tmp_path / "s", [0.1, 0.9], [0.1, 0.9], [0.1, 0.9], [0.2, 0.6])
    last = ledger.trials()[-1]
    assert Rungs(ledger).arrive(last.key, 2, 0.4) is None
    assert passed(last) == [2]


def test_the_first_three_pass_and_equals_pass(tmp_path: Path) -> None:
    ledger = make(tmp_path / "s", [], [], [], [])
    rungs, keys = Rungs(ledger), [folder.key for folder in ledger.trials()]
    assert [rungs.arrive(key, 1, mean) for key, mean in zip(keys[:3], (0.9, 0.2, 0.2), strict=True)] == [None] * 3
    assert rungs.arrive(keys[3], 1, 0.2) is None


def test_a_trial_above_the_bound_is_stopped_and_the_ledger_says_why(tmp_path: Path) -> None:
    ledger = make(tmp_path / "s", [0.1], [0.2], [0.3], [0.31])
    last = ledger.trials()[-1]
    record = Rungs(ledger).arrive(last.key, 1, 0.31)
    limit = 0.1 + (2 / 3) * 0.1
    assert record == pruned(last)
    assert record is not None
    assert (record["folds"], record["rung"], record["mean"]) == (1, 1, 0.31)
    assert record["bound"] == pytest.approx(limit)
    assert record["reason"] == "stopped after 1 fold: mean .310, the bound was .167"


@pytest.mark.parametrize("folds", [3, 4, 5])
def test_between_rungs_nothing_is_decided(folds: int, tmp_path: Path) -> None:
    ledger = make(tmp_path / "s", [0.1] * 5, [0.1] * 5, [0.1] * 5, [0.9] * 5)
    assert Rungs(ledger).arrive(ledger.trials()[-1].key, folds, 0.9) is None
    assert passed(ledger.trials()[-1]) == []


def test_failed_trials_do_not_count_and_stopped_ones_do(tmp_path: Path) -> None:
    ledger = make(tmp_path / "s", [0.1], [0.1], [0.1], [0.2])
    folders = ledger.trials()
    folders[0].write_failure("diverged")
    write_pruned(folders[1], 1, 0.1, 0.05)
    assert Rungs(ledger)._means[1] == {
        folder.key: mean for folder, mean in zip(folders[1:], (0.1, 0.1, 0.2), strict=True)
    }
    rungs = Rungs(ledger)
    rungs.leave(folders[2].key)
    assert rungs.arrive(folders[3].key, 1, 0.2) is None  # one other is left


def test_rungs_are_the_same_after_a_kill(tmp_path: Path) -> None:
    ledger = make(tmp_path / "s", [0.3, 0.1], [0.2, 0.2], [0.1, 0.3], [0.25])
    live = Rungs(make(tmp_path / "t", [], [], [], []))
    keys = [folder.key for folder in ledger.trials()]
    for key, first in zip(keys, (0.3, 0.2, 0.1, 0.25), strict=True):
        live.arrive(key, 1, first)
    for key in keys[:3]:
        live.arrive(key, 2, 0.2)
    again = Rungs(ledger)
    assert {rung: pytest.approx(means) for rung, means in again._means.items()} == live._means


def test_a_decision_is_made_once(tmp_path: Path) -> None:
    """A trial that passed with a mean that would not pass any more goes on after a kill; a stopped one stays so."""
    ledger = make(tmp_path / "s", [0.1], [0.1], [0.1], [0.9], [0.05])
    *_, weak, strong = ledger.trials()
    write_passed(weak, 1)
    stopped = write_pruned(strong, 1, 0.05, 0.01)
    assert Rungs(ledger).arrive(weak.key, 1, 0.9) is None
    assert pruned(weak) is None
    assert Rungs(ledger).arrive(strong.key, 1, 0.05) == stopped


# what users see of a stopped trial


@pytest.fixture
def study(tmp_path: Path) -> Ledger:
    """Two finished trials, and one with better folds than theirs that was stopped nevertheless."""
    ledger = make(tmp_path / "s", [0.2] * 5, [0.3] * 5, [0.1, 0.1])
    write_pruned(ledger.trials()[2], 2, 0.31, 0.25)
    return ledger


def test_results_have_its_folds_and_no_figures_to_rank_it_by(study: Ledger) -> None:
    results = study_results(study, "finished")
    trial = results["trials"][2]
    assert [entry["status"] for entry in results["trials"]] == ["finished", "finished", "pruned"]
    assert trial["eer"] == dict.fromkeys(results["tags"])
    assert [trial[name] for name in ("eer_mean", "eer_var_classes", "eer_var_folds")] == [None] * 3
    assert [fold["eer_mean"] for fold in trial["folds"]] == [0.1, 0.1]
    assert trial["seconds"] == sum(fold["seconds"] for fold in trial["folds"]) > 0
    assert trial["reason"] == "stopped after 2 folds: mean .310, the bound was .250"
    assert "eval_eer" not in trial
    assert is_complete(study)


def test_tables_show_it_apart_in_words(study: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    results = study_results(study, "finished")
    first, apart = markdown_report(results, study.study()).split("## Stopped early")
    assert "1.0" not in first.split("| alpha")[1]
    assert "| mixup | 1 | stopped after 2 folds: mean .310, the bound was .250 |" in apart
    show_results(results, study.study(), make_console())
    assert "stopped after 2 folds: mean .310, the bound was .250" in capsys.readouterr().out


def test_the_report_counts_it_and_leaves_it_out_of_statistics(study: Ledger) -> None:
    from study.reporting.html import study_page
    from study.reporting.prose import cost, notes
    from study.stats.analysis import find

    findings = find(study, study_results(study, "finished"))
    assert [row.mean for row in findings.rows] == pytest.approx([0.2, 0.3])
    assert findings.best is findings.rows[0]
    assert cost(findings)[0] == "2 trials finished, 1 stopped early by a scheduler, 0 failed, 0 without a result yet."
    assert cost(findings)[2].startswith("The stopped trials had 2 folds of 5")
    assert any("1 trial stopped early" in note for note in notes(findings))
    sections = dict.fromkeys(("differences", "parameters", "search", "training", "errors"), ())
    page = study_page(findings, {name: list(panels) for name, panels in sections.items()})
    assert "stopped after 2 folds: mean .310, the bound was .250" in page
    assert np.isfinite(findings.rows[0].mean)
