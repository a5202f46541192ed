"""The table in the paper's form: cells, published rows, further metrics, and how trials are named."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study

from audiotag.config import TrialConfig
from audiotag.corpus.layouts.chime_home import TAGS
from study.cli import make_console
from study.format import (
    common_params,
    decimal,
    duration,
    in_every_row,
    label,
    markdown_table,
    short_duration,
    show,
    trial_name,
)
from study.ledger.paper import published_row
from study.ledger.pruning import write_pruned
from study.ledger.results import study_results
from study.ledger.schema import Figures, StudyRecord, TrialResult
from study.reporting.results_files import markdown_report
from study.reporting.tables import CROSS_VALIDATION, EVALUATION, Table, footnotes, paper_table
from study.reporting.terminal_table import show_results
from study.stats.rows import SHOWN_ROWS

VARIED = ("model", "imd", "augmentation", "alpha")
CONFIGS = (TrialConfig(model="cgrnn", imd=True), TrialConfig(), TrialConfig(augmentation="mixup", alpha=0.7))


def trial(config: TrialConfig, mean: float, on_paper: bool = True, evaluated: bool = True) -> TrialResult:
    def figures(mean: float, var: float) -> dict[str, Figures]:
        return {"eer": Figures(dict.fromkeys(TAGS, mean), mean, var)}

    params = config.to_dict()
    return TrialResult(
        key=f"key{mean}",
        number=0,
        params=params,
        status="finished",
        seconds=250.0,
        figures=figures(mean, 0.00123),
        evaluation=figures(mean + 0.1, 0.00456) if evaluated else {},
        published=published_row(params) if on_paper else None,
    )


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    root = tmp_path_factory.mktemp("studies") / "s"
    study = make_study(root, ALPHAS[:1], corpus=make_corpus(**SMALL), finished=0).study
    return replace(study, varied=VARIED, corpus=replace(study.corpus, tags=tuple(TAGS)))


def table(record: StudyRecord, split: str = CROSS_VALIDATION, **options: bool) -> Table:
    trials = [trial(config, mean, **options) for config, mean in zip(CONFIGS, (0.2, 0.125, 0.3), strict=True)]
    return paper_table(record, trials, split)


# reference


def test_the_first_table_has_both_splits_and_the_time(record: StudyRecord) -> None:
    first = table(record)
    assert first.header == [*VARIED, *TAGS, "Avg", "Var", "Eval", "Time"]
    assert first.texts()[0] == ["cgrnn", "yes", "none", "", *[".200"] * 7, ".200", "1.23", ".300", "4 min"]
    assert table(record, EVALUATION, on_paper=False).texts()[1][-9:] == [*[".225"] * 7, ".225", "4.56"]
    assert table(record, evaluated=False).header[-3:] == ["Avg", "Var", "Time"]


def test_the_evaluation_split_chooses_no_row(record: StudyRecord) -> None:
    first, second = (trial(config, mean, on_paper=False) for config, mean in zip(CONFIGS, (0.2, 0.3), strict=False))
    second = replace(second, evaluation={"eer": Figures(dict.fromkeys(TAGS, 0.1), 0.1)})
    lines = paper_table(record, [first, second], EVALUATION).lines
    assert [line.kind for line in lines] == ["best", ""]


@pytest.mark.parametrize("split", [CROSS_VALIDATION, EVALUATION])
def test_published_rows_stand_below_the_measured_ones(record: StudyRecord, split: str) -> None:
    lines = table(record, split).lines
    assert [line.kind for line in lines] == ["", "published", "best", "published", ""]
    assert [text for text in table(record, split).texts()[3] if text] == [
        *("published", ".09", ".11", ".14", ".04", ".15", ".06", ".26", ".13*", "6.13*")
    ]


def test_footnotes_name_the_source_and_what_is_odd() -> None:
    caption, doubt = footnotes([trial(config, 0.2) for config in CONFIGS])
    assert "Table 1 of the paper" in caption
    assert doubt.startswith("* The cells of mixup 0 give a mean of .121")
    assert footnotes([trial(CONFIGS[0], 0.2, on_paper=False)]) == []


def test_markdown(record: StudyRecord) -> None:
    lines = table(record).markdown(bold=len(VARIED) + len(TAGS)).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[1].count("---:") == len(TAGS) + 4
    assert lines[3].startswith("| *published* |  |  |  | *.17* | *.16* |")
    assert "| **.125** | 1.23 | .225 | 4 min |" in lines[4]  # the best
    assert "| *.13\\** | *6.13\\** |" in lines[5]
    assert markdown_table(["a", "b"], [["x|y", "1"]], left=1).splitlines()[1:] == ["| --- | ---: |", "| x\\|y | 1 |"]


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
        ({"augmentation": "gone", "alpha": 1.0}, ["augmentation", "alpha"], ["gone", "1"], "gone, alpha 1"),
    ],
)
def test_only_parameters_that_a_trial_has_are_shown(
    values: dict[str, Any], varied: list[str], cells: list[str], name: str
) -> None:
    assert label(values, varied) == cells
    assert trial_name(values, varied) == name


# degenerate


def test_a_failed_trial_has_empty_cells(record: StudyRecord) -> None:
    none = {"eer": Figures(dict.fromkeys(TAGS), None)}
    failed = replace(trial(CONFIGS[1], 0.2, on_paper=False), status="failed", figures=none, evaluation={})
    made = paper_table(record, [failed, trial(CONFIGS[0], 0.2, on_paper=False)], CROSS_VALIDATION)
    assert made.texts()[0][4:] == [*[""] * 10, "4 min"]
    assert [line.kind for line in made.lines] == ["failed", "best"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "1 s"), (29.6, "30 s"), (99.4, "99 s"), (99.6, "2 min"), (7100, "118 min"), (7260, "2 h 01 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(29.6, "30 s"), (5940, "99 min"), (6000, "1.7 h"), (35_800, "9.9 h"), (35_900, "10 h"), (3.6e6, "1000 h")],
)
def test_durations_in_tables_are_short(seconds: float, text: str) -> None:
    assert short_duration(seconds) == text
    assert len(text) <= 6


def test_what_all_rows_share_is_said_once() -> None:
    pairing, mixup, stronger = (
        TrialConfig(augmentation=name, **more).to_dict()
        for name, more in (("sample_pairing", {}), ("mixup", {"alpha": 0.5}), ("mixup", {"alpha": 5.0}))
    )
    assert common_params([mixup, stronger], VARIED) == {"model": "crnn", "imd": None, "augmentation": "mixup"}
    assert common_params([mixup, pairing], VARIED) == {"model": "crnn", "imd": None}
    assert common_params([mixup], VARIED) == common_params([mixup, mixup], VARIED) == {}
    assert in_every_row({"model": "crnn", "imd": None, "alpha": 1.5}) == "crnn, alpha 1.5 in every row"
    assert in_every_row({"imd": True, "augmentation": "none"}) == "imd, augmentation none in every row"
    assert in_every_row({"window_scores": "mean", "loss": "bce"}) == "window_scores mean, bce in every row"
    assert in_every_row({"imd": None}) == ""


def test_decimals() -> None:
    assert (decimal(0.1034), decimal(0.1, 2), decimal(1.0), decimal(None)) == (".103", ".10", "1.000", "")


def test_the_terminal_shows_the_best_rows_of_a_large_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configs = [{"augmentation": "mixup", "alpha": 1.0 + number} for number in range(SHOWN_ROWS + 6)]
    gains = [0.1 * number for number in range(SHOWN_ROWS + 6)]
    ledger = make_study(tmp_path / "s", configs, corpus=make_corpus(**SMALL), epochs=1, gains=gains)
    ledger.trials()[0].write_failure("it diverged")
    results = study_results(ledger, "finished")
    show_results(results, make_console())
    out = capsys.readouterr().out
    best = sorted(results.finished, key=lambda trial: trial.mean)[:SHOWN_ROWS]
    assert "; mixup in every row" in out
    alphas = [line.split()[0] for line in out.splitlines() if re.match(r" \d", line)]
    assert alphas == [show(trial.params["alpha"]) for trial in best]
    assert f"the best {SHOWN_ROWS} of {SHOWN_ROWS + 6} trials" in out
    assert "failed: it diverged" in out
    text = markdown_report(results)
    assert all(f"| {show(config['alpha'])} |" in text for config in configs)


def test_pruned_trials_stand_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:3], corpus=make_corpus(**SMALL))
    record = write_pruned(ledger.trials()[2], 2, 0.31, 0.25)
    results = study_results(ledger, "finished")
    first, apart = markdown_report(results).split("## Pruned")
    assert "| mixup | 0.5 |" not in first
    assert f"| mixup | 0.5 | {record.reason} |" in apart
    show_results(results, make_console())
    assert record.reason in capsys.readouterr().out
