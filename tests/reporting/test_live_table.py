"""The live table's rows while trials run."""

import heapq
import io
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.made_up import SMALL, make_corpus, make_study
from rich.console import Console

from audiotag.config import TrialConfig
from audiotag.training.epochs import EpochResult, PretrainingEpoch
from study.ledger.progress import Report
from study.ledger.schema import DrawnPartition, Figures, StudyRecord, TrialResult
from study.reporting.live_table import LiveTable
from study.stats.rows import SHOWN_ROWS

CONFIG = TrialConfig(model="cgrnn", imd=True).to_dict()


@pytest.fixture
def study(tmp_path: Path) -> StudyRecord:
    made = make_study(tmp_path / "s", corpus=make_corpus(**SMALL | {"folds": 2}), finished=0).study
    return replace(made, varied=("model", "imd"), trials=2)


def start(study: StudyRecord, width: int | None = 120) -> LiveTable:
    table = LiveTable(Console(width=width, height=100), study, slots=1, max_epochs=9)
    table.started("key", CONFIG)
    return table


def cells(table: LiveTable) -> dict[str, str]:
    return {str(column.header): next(iter(column.cells)) for column in table.table().columns}


def bar(table: LiveTable) -> str:
    """What stands beside the bar."""
    return " ".join(str(next(iter(column.cells))) for column in table.headline().columns)


def epoch(fold: int, number: int = 0, folds_done: int = 0, seed: int = 0) -> Report:
    return Report(0.3, folds_done, fold, seed, EpochResult(number, 0.5, 0.9, 0.5, 0.9, {"eer": 0.25}, 1.0))


def test_a_row_begins_without_an_epoch(study: StudyRecord) -> None:
    shown = cells(start(study))
    assert list(shown) == ["model", "imd", "fold", "epoch", "val loss", "best EER", "mean EER", ""]
    assert list(shown.values()) == ["cgrnn", "yes", "1/2", *[""] * 4, "starting"]


def test_another_objective_stands_beside_the_eer(study: StudyRecord, capsys: pytest.CaptureFixture[str]) -> None:
    table = start(replace(study, metric="ap"))
    assert list(cells(table))[5:8] == ["best EER", "best mAP", "mAP"]
    for number, means in enumerate([{"eer": 0.3, "ap": 0.5}, {"eer": 0.2, "ap": 0.7}, {"eer": 0.4, "ap": math.nan}]):
        table.reported("key", replace(epoch(0), epoch=EpochResult(number, 0.5, 0.9, 0.5, 0.9, means, 1.0)))
    assert [cells(table)[name] for name in ("best EER", "best mAP")] == [".200", ".700"]
    table.reported("key", Report(0.6, 1))
    assert "mAP so far 0.600" in capsys.readouterr().out


def test_pretraining_is_told_apart(study: StudyRecord) -> None:
    table = start(study)
    pretraining = Report(0.5, 0, 0, 0, pretraining=PretrainingEpoch(0, 0.1, 1.0))
    table.reported("key", pretraining)
    assert cells(table)["epoch"] == "pre 1"
    table.reported("key", epoch(0))
    assert (cells(table)["epoch"], cells(table)["best EER"]) == ("1", ".250")
    table.reported("key", replace(pretraining, fold=1, folds_done=1))
    assert (cells(table)["fold"], cells(table)["epoch"], cells(table)["best EER"]) == ("2/2", "pre 1", "")
    table.reported("key", epoch(1, folds_done=1))
    table.reported("key", Report(0.3, 2))
    assert len(table.rows["key"].seconds) == 2


@pytest.mark.parametrize(("event", "state"), [("ended", "finished"), ("pruned", "pruned")])
def test_a_trial_ends(study: StudyRecord, event: str, state: str) -> None:
    table = start(study)
    getattr(table, event)("key", None)
    assert cells(table)[""] == state
    assert bar(table).startswith("1 of 2 trials ")


def test_a_trial_that_has_to_wait_has_not_ended(study: StudyRecord) -> None:
    table = start(study)
    table.reported("key", epoch(1, folds_done=1))
    table.begin(slots=1)
    assert (cells(table)[""], cells(table)["fold"]) == ("waiting", "2/2")
    assert bar(table).startswith("0 of 2 trials ")
    table.started("key", CONFIG)
    assert (cells(table)[""], cells(table)["fold"]) == ("starting", "2/2")
    table.reported("key", epoch(1, number=5, folds_done=1))
    table.reported("key", Report(0.3, 2))
    assert table.rows["key"].seconds == []  # of that training only the end was seen


def test_running_trials_come_before_those_that_have_ended(study: StudyRecord) -> None:
    table = start(study)
    table.ended("key", None)
    for number in range(SHOWN_ROWS):
        assert table.table().row_count == number + 1
        table.started(str(number), CONFIG)
    assert table.table().row_count == SHOWN_ROWS


def test_lines_name_the_trial(study: StudyRecord, capsys: pytest.CaptureFixture[str]) -> None:
    table = start(study, width=None)
    table.reported("key", epoch(0))
    table.reported("key", epoch(1, folds_done=1))
    assert capsys.readouterr().out.startswith("cgrnn, imd: 1 of 2 folds, mean EER so far 0.300")


def test_with_repeats_the_seed_is_shown_and_every_training_counts(
    study: StudyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("study.reporting.live_table.time.monotonic", lambda: now)
    table = start(replace(study, trials=1, seed=7, repeats=2))
    left = ["at most 35 s left", "about 3 min left", "about 2 min left", "about 59 s left"]
    for number, (fold, seed) in enumerate([(0, 7), (0, 8), (1, 7), (1, 8)]):
        now = 60.0 * number + 1.0
        table.reported("key", epoch(fold, folds_done=fold, seed=seed))
        shown = cells(table)
        assert (shown["fold"], shown["seed"], shown["epoch"]) == (f"{fold + 1}/2", str(seed), "1")
        assert table.time_left() == left[number]
    table.reported("key", Report(0.3, 2))
    assert table.time_left() == "nearly done"


def test_folds_of_all_partitions_count_and_those_of_trials_that_go_on_are_not_ahead(
    study: StudyRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two trials of two folds, each trained on the corpus's own before this session."""
    now = 0.0
    monkeypatch.setattr("study.reporting.live_table.time.monotonic", lambda: now)
    grown = replace(study, drawn=(DrawnPartition(1, ""),))
    folds = {"key": 2, "other": 2}
    table = LiveTable(Console(width=120, height=100), grown, slots=1, max_epochs=9, folds=folds)
    table.started("key", CONFIG)
    table.reported("key", Report(0.3, 2))
    for fold in (0, 1):
        now = 60.0 * fold + 1.0
        table.reported("key", replace(epoch(fold, folds_done=2 + fold), partition=2))
        assert cells(table)["fold"] == f"{3 + fold}/4"
    assert table.time_left() == "about 3 min left"  # one of this trial, two of the other
    assert "3 of 4 folds, mean EER so far" in capsys.readouterr().out


def test_a_trial_shows_no_epoch_of_another_fold(study: StudyRecord) -> None:
    for folds, event in ((1, "pruned"), (2, "ended")):
        table = start(study)
        table.reported("key", epoch(0, number=6))
        assert (cells(table)["fold"], cells(table)["epoch"], cells(table)["val loss"]) == ("1/2", "7", ".500")
        table.reported("key", Report(0.3, folds))
        shown = cells(table)
        assert (shown["fold"], shown["mean EER"]) == ("2/2", ".300")
        assert shown["epoch"] == shown["val loss"] == shown["best EER"] == ""
        table.reported("key", epoch(1, folds_done=folds))
        getattr(table, event)("key", None)
        shown = cells(table)
        assert (shown["fold"], shown["epoch"], shown["best EER"]) == (f"{folds}/2", "", "")


def test_the_best_row_is_marked_and_stays(study: StudyRecord) -> None:
    """Of more rows than there is room for, earlier sessions' among them."""
    ended = [TrialResult("first", 0, CONFIG, "finished", 9.0, {"eer": Figures({}, 0.2)})]
    table = LiveTable(Console(width=120, height=100), replace(study, trials=99), slots=1, max_epochs=9, known=ended)
    assert "best so far" not in [*table.table().columns[-1].cells]
    for number in range(SHOWN_ROWS + 3):
        table.started(str(number), CONFIG)
        table.reported(str(number), epoch(0))
        table.reported(str(number), Report(0.1 if number == 5 else 0.3, 2))
        (table.pruned if number == 7 else table.ended)(str(number), None)
        rows = table.table().columns
        states, means = [*rows[-1].cells], [*rows[-2].cells]
        assert states.count("best so far") == 1
        assert means[states.index("best so far")] == (".200" if number < 5 else ".100")
    assert len(states) == SHOWN_ROWS
    assert bar(table).startswith(f"{SHOWN_ROWS + 4} of 99 trials")


def test_trials_that_wait_for_a_further_partition_stand_in_the_table(study: StudyRecord) -> None:
    """The best of them is the best so far, whether it is clear, waits or runs."""
    later = replace(study, trials=3, drawn=(DrawnPartition(1, "0 1"),))
    means = {"clear": (0.3, False), "best": (0.1, True), "other": (0.2, True)}
    known = [
        TrialResult(key, number, CONFIG, "finished", 9.0, {"eer": Figures({}, mean)}, goes_on=goes_on)
        for number, (key, (mean, goes_on)) in enumerate(means.items())
    ]
    folds = {"best": 2, "other": 3}
    table = LiveTable(Console(width=120), later, slots=1, max_epochs=9, known=known, folds=folds)
    columns = {str(column.header): [*column.cells] for column in table.table().columns}
    assert columns[""] == ["finished", "best so far", "waiting"]
    assert columns["fold"] == ["0/4", "3/4", "4/4"]
    assert bar(table).startswith("1 of 3 trials")
    table.started("best", CONFIG)
    table.reported("best", replace(epoch(0, folds_done=2), partition=2))
    assert [*table.table().columns[-1].cells] == ["finished", "waiting", "best so far"]


def test_running_trials_without_room_are_counted(study: StudyRecord) -> None:
    console = Console(width=80, height=20, file=io.StringIO())
    table = LiveTable(console, replace(study, trials=99), slots=40, max_epochs=9)
    for number in range(40):
        table.started(str(number), CONFIG)
    console.print(table.render())
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) <= 20
    assert lines[-1] == " and 28 more that run"


def test_the_time_left_runs_down_and_does_not_jump(study: StudyRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings of 60 to 140 s on two slots, of which the last trial runs alone."""
    now, rng = 0.0, np.random.default_rng(0)
    monkeypatch.setattr("study.reporting.live_table.time.monotonic", lambda: now)
    table = LiveTable(Console(width=None), replace(study, trials=7), slots=2, max_epochs=9)
    shown: list[float] = []
    monkeypatch.setattr("study.reporting.live_table.duration", lambda seconds: shown.append(seconds) or "")
    free, events = [(0.0, 0), (0.0, 1)], []
    for key in map(str, range(7)):
        begin, slot = heapq.heappop(free)
        ends = begin + np.cumsum(rng.uniform(60, 140, 2))
        events += [(begin, key, None), *((begin + 0.1, key, epoch(0)) for _ in "x")]
        events += [(ends[0], key, Report(0.3, 1)), (ends[1], key, Report(0.3, 2)), (ends[1], key, "end")]
        heapq.heappush(free, (ends[1], slot))
    kinds = []
    for moment, key, event in sorted(events, key=lambda event: event[0]):
        while now < moment:
            kinds.append(table.time_left().split()[0])
            now = min(now + 0.25, moment)
        if event is None:
            table.started(key, CONFIG)
        elif event == "end":
            table.ended(key, None)
        else:
            table.reported(key, event)
    assert table.time_left() == "nearly done"
    about = np.array(shown[kinds.count("at") :])
    assert np.abs(np.diff(about)).max() < 5
    middle = len(about) // 2
    assert about[middle] == pytest.approx((len(about) - middle) / 4, rel=0.2)  # a look every 0.25 s


def test_in_a_pipe_a_line_comes_where_nothing_else_does(
    study: StudyRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("study.reporting.live_table.QUIET", 0.01)
    with start(study, width=None) as table:
        table.reported("key", epoch(0, number=3))
        while "running: cgrnn" not in (said := capsys.readouterr().out):
            time.sleep(0.01)
    assert "0 of 2 trials, 0 %, at most 35 s left; running: cgrnn, imd (fold 1/2, epoch 4)" in said.splitlines()
