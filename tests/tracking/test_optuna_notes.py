"""Notes on a study and its trials, as optuna-dashboard reads them: it documents no names of its attributes."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from helpers.made_up import make_corpus, make_study
from optuna_dashboard import get_note, save_note

from search_spaces import load_space
from study.ledger.findings import Findings, TrialFindings, write_findings
from study.ledger.ledger import Ledger
from study.ledger.pruning import write_pruned
from study.tracking.optuna_db import open_storage, write_database
from study.tracking.optuna_notes import END

CONFIGS: list[dict[str, Any]] = [
    {"augmentation": "none", "dropout": 0.2},
    {"augmentation": "mixup", "alpha": 1.5, "dropout": 0.1},
    {"augmentation": "mixup", "alpha": 0.5, "dropout": 0.1},
    {"augmentation": "sample_pairing", "dropout": 0.4},
    {"augmentation": "mixup_lp", "alpha": 1.0, "dropout": 0.4},
]
JOINT = load_space("joint")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A baseline, a winner, one pruned and one failed, and one that goes on."""
    made = make_study(tmp_path / "s", CONFIGS, corpus=make_corpus(groups=15, clips=4, tags=2, folds=2), space="joint")
    trials = made.trials()
    write_pruned(trials[2], 1, 0.3, 0.2)
    trials[3].write_failure("the loss is not finite")
    (trials[4].path / "fold_1.json").unlink()
    return made


def refuse(text: str) -> None:
    raise AssertionError(text)


def write(ledger: Ledger, findings: Findings) -> optuna.Study:
    write_findings(ledger, findings)
    write_database(ledger, JOINT, refuse)
    return study_in(ledger)


def study_in(ledger: Ledger) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=open_storage(ledger.root / "optuna.db"))


def trials_of(study: optuna.Study) -> list[optuna.Trial]:
    return [optuna.Trial(study, trial._trial_id) for trial in study.trials]


def test_the_note_of_a_study_is_the_answer(ledger: Ledger) -> None:
    write_database(ledger, JOINT, refuse)
    assert get_note(study_in(ledger)) == ""
    long = Findings("Yes. " * 900, ("a.",), "python x")
    for findings in (long, Findings("No.")):  # a shorter note leaves nothing of the longer one
        assert get_note(write(ledger, findings)) == f"{findings.markdown}\n\n{END}"


def test_the_note_of_a_trial_is_what_the_report_finds_of_it(ledger: Ledger) -> None:
    base, winner, *_ = [folder.key for folder in ledger.trials()]
    figures = {"low": 0.1, "high": 0.3, "difference": -0.02, "difference_low": -0.05, "difference_high": 0.01}
    odds = {"p_holm": 0.04, "p_better": 0.9, "p_same": 0.09, "p_worse": 0.01}
    rows = (TrialFindings(base), TrialFindings(winner, **figures, **odds, outcome="better", by_tag={"c": "worse"}))
    study = write(ledger, Findings("Yes.", baseline=base, chosen=winner, trials=rows))
    first, second, pruned, failed, going = map(get_note, trials_of(study))
    assert first.startswith("**none, dropout 0.2**: mean EER .")
    assert "it is the baseline" in first
    assert second.startswith("**mixup, alpha 1.5, dropout 0.1**: mean EER .")
    assert second.splitlines()[2:-2] == [
        "- 95 % interval, on other recordings: .100 to .300.",
        "- Better than the baseline: -.020, 95 % interval -.050 to +.010, Holm p .04.",
        "- P(better) .90, P(the same within the margin) .09, P(worse) .01.",
        "- Worse in c.",
        "- Cross-validation chose it.",
    ]
    assert "dropout 0.1**: pruned after 1 fold: mean .300, cutoff .200." in pruned
    assert failed.startswith("**sample_pairing, dropout 0.4**: failed: the loss is not finite.")
    assert going == ""
    assert all(note.endswith(END) for note in (first, second, pruned, failed))


def test_a_users_own_notes_stay(ledger: Ledger) -> None:
    study = write(ledger, Findings("No."))
    save_note(study, "Mine.")
    save_note(trials_of(study)[1], "My trial.")
    study = write(ledger, Findings("Yes."))
    assert get_note(study) == "Mine."
    assert get_note(trials_of(study)[1]) == "My trial."
    assert get_note(trials_of(study)[0]).endswith(END)
