"""The table in the paper's form: cells, published rows beside measured ones, and how trials are named."""

import io
from pathlib import Path
from typing import Any

import pytest
from helpers.made_up import SMALL, make_corpus, make_study
from rich.console import Console

from audiotag.config import TrialConfig
from audiotag.corpus.layouts.chime_home import TAGS
from study.format import decimal, duration, label, show, trial_name
from study.ledger.paper import published
from study.ledger.results import CROSS_VALIDATION, EVALUATION, SHOWN_ROWS, study_results
from study.report import markdown_report, show_results
from study.reporting.tables import footnotes, header, markdown_table, rich_table, rows

VARIED = ["model", "imd", "augmentation", "alpha"]


def trial(config: TrialConfig, mean: float, on_paper: bool = True, evaluated: bool = True) -> dict[str, Any]:
    figures = {"eer": dict.fromkeys(TAGS, mean), "eer_mean": mean, "eer_var_classes": 0.00123}
    if evaluated:
        figures |= {"eval_eer": dict.fromkeys(TAGS, mean + 0.1), "eval_eer_mean": mean + 0.1}
        figures["eval_eer_var_classes"] = 0.00456
    found = published(config.to_dict())
    beside = {"published": found} if on_paper and found else {}
    return {"params": config.to_dict(), "status": "finished", "seconds": 250.0, **figures, **beside}


def results(**options: bool) -> dict[str, Any]:
    trials = [
        trial(TrialConfig(model="cgrnn", imd=True), 0.2, **options),
        trial(TrialConfig(), 0.125, **options),
        trial(TrialConfig(augmentation="mixup", alpha=0.7), 0.3, **options),
    ]
    return {"tags": list(TAGS), "trials": trials}


def shown(prefix: str = CROSS_VALIDATION, **options: bool) -> list[list[str]]:
    """The cells of the lines of a table as the terminal prints it, without its rule."""
    console = Console(width=200)
    with console.capture() as capture:
        console.print(rich_table(results(**options), VARIED, prefix))
    return [line.split() for line in capture.get().splitlines() if line.strip() and "─" not in line]


# reference


def test_the_first_table_has_both_splits_and_the_time() -> None:
    assert header(results(), VARIED) == [*VARIED, *TAGS, "Avg", "Var", "Eval", "Time"]
    assert rows(results(), VARIED, CROSS_VALIDATION)[0] == [
        *("cgrnn", "yes", "none", ""),
        *[".200"] * 7,
        *(".200", "1.23", ".300", "4 min"),
    ]
    assert rows(results(), VARIED, EVALUATION)[1][-9:] == [*[".225"] * 7, ".225", "4.56"]
    assert header(results(evaluated=False), VARIED)[-3:] == ["Avg", "Var", "Time"]


@pytest.mark.parametrize("prefix", [CROSS_VALIDATION, EVALUATION])
def test_published_rows_stand_below_the_measured_ones(prefix: str) -> None:
    _, first, below, second, doubtful, third = shown(prefix)
    assert (first[0], second[0], third[0]) == ("cgrnn", "crnn", "crnn")
    assert below == ["published", ".17", ".16", ".18", ".03", ".15", ".00", ".24", ".13", "7.39"]
    assert doubtful == ["published", ".09", ".11", ".14", ".04", ".15", ".06", ".26", ".13*", "6.13*"]


def test_footnotes_say_what_does_not_follow() -> None:
    caption, doubt = footnotes(results())
    assert "Table 1 of the paper" in caption
    assert doubt == (
        "* The cells of mixup 0 give a mean of .121 and a variance of 5.31; an m of .20 would give what is printed."
    )
    assert footnotes(results(on_paper=False)) == []


def test_markdown() -> None:
    lines = markdown_table(results(), VARIED, CROSS_VALIDATION).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| cgrnn | yes | none |  | .200 |")
    assert lines[3].startswith("| *published* |  |  |  | *.17* | *.16* |")
    assert "| **.125** | 1.23 | .225 | 4 min |" in lines[4]  # the best
    assert "| *.13\\** | *6.13\\** |" in lines[5]


# property


def test_elsewhere_no_published_row_is_shown() -> None:
    assert len(shown(on_paper=False)) == 4
    assert "published" not in markdown_table(results(on_paper=False), VARIED, CROSS_VALIDATION)


@pytest.mark.parametrize(
    ("values", "varied", "cells", "name"),
    [
        ({"model": "cgrnn", "imd": True}, VARIED, ["cgrnn", "yes", "none", ""], "cgrnn, imd"),
        ({"model": "dae_dnn"}, VARIED, ["dae_dnn", "", "none", ""], "dae_dnn"),
        ({"augmentation": "mixup"}, VARIED, ["crnn", "", "mixup", "0"], "crnn, mixup, alpha 0"),
        (
            {"augmentation": "sample_pairing", "schedule": "intermittent"},
            ["augmentation", "alpha", "schedule"],
            ["sample_pairing", "", "intermittent"],
            "sample_pairing, intermittent",
        ),
        ({}, ["augmentation", "dropout"], ["none", "0.1"], "none, dropout 0.1"),
    ],
)
def test_parameters_that_say_nothing_are_left_blank(
    values: dict[str, Any], varied: list[str], cells: list[str], name: str
) -> None:
    config = TrialConfig.from_dict(values).to_dict()
    assert label(config, varied) == cells
    assert trial_name(config, varied) == name


# degenerate


def test_a_failed_trial_has_empty_cells() -> None:
    failed = results()
    failed["trials"][0] |= {"status": "failed", "eer": dict.fromkeys(TAGS), "eer_mean": None, "eer_var_classes": None}
    del failed["trials"][0]["eval_eer_mean"]
    assert rows(failed, VARIED, CROSS_VALIDATION)[0][4:] == [*[""] * 10, "4 min"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "1 s"), (29.6, "30 s"), (99.4, "99 s"), (99.6, "2 min"), (7100, "118 min"), (7260, "2 h 01 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_decimals() -> None:
    assert (decimal(0.1034), decimal(0.1, 2), decimal(1.0), decimal(None)) == (".103", ".10", "1.000", "")


def test_the_terminal_shows_the_best_rows_of_a_large_study(tmp_path: Path) -> None:
    configs = [{"augmentation": "mixup", "alpha": 1.0 + number} for number in range(SHOWN_ROWS + 6)]
    gains = [0.1 * number for number in range(SHOWN_ROWS + 6)]
    ledger = make_study(tmp_path / "s", configs, corpus=make_corpus(**SMALL), gains=gains)
    ledger.trials()[0].write_failure("it diverged")
    results = study_results(ledger, "finished")
    console = Console(file=io.StringIO(), width=200)
    show_results(results, ledger.study(), console)
    out = console.file.getvalue()  # type: ignore[attr-defined]
    finished = [trial for trial in results["trials"] if trial["status"] == "finished"]
    best = sorted(finished, key=lambda trial: trial["eer_mean"])[:SHOWN_ROWS]
    alphas = [line.split()[1] for line in out.splitlines() if line.startswith(" mixup ")]
    assert alphas == [show(trial["params"]["alpha"]) for trial in best]
    assert f"Shown are the best {SHOWN_ROWS} of {SHOWN_ROWS + 6} trials; table.md has all." in out
    assert "failed: it diverged" in out
    text = markdown_report(results, ledger.study())
    assert all(f"| {show(config['alpha'])} |" in text for config in configs)
