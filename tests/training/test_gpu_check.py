"""benchmarks/gpu_check.py: its small form on a CPU, and that it can fail."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gpu_steps
import pytest
from gpu_steps import SMALL, check_steps
from verdicts import Report, Skipped

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[list[str]]]:
    """Verdict and figure of each line that was printed."""
    return lambda: [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.slow
def test_its_small_form_runs_on_a_cpu() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_check.py"), "--device", "cpu", "--small"]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    verdicts = [line.split()[0] for line in done.stdout.splitlines()]
    assert {name: verdicts.count(name) for name in set(verdicts)} == {"ok": 35, "skipped": 10, "seen": 2}


def test_a_line_has_its_verdict(lines: Callable[[], list[list[str]]]) -> None:
    report = Report(60, judge_times=False)
    report.line("a", 1.0, most=1.0)
    report.line("b", 1.1, most=1.0)
    report.line("c", 0.9, least=1.0)
    report.line("d", float("nan"), least=1.0)
    report.line("e", 9.0, most=1.0, timed=True)
    assert [verdict for verdict, _ in lines()] == ["ok", "FAILED", "FAILED", "FAILED", "seen"]
    assert report.failed == 3


def test_a_check_that_breaks_has_failed_and_the_next_one_runs(lines: Callable[[], list[list[str]]]) -> None:
    def stop(error: Exception) -> None:
        raise error

    report = Report(60, judge_times=True)
    report.run("a", lambda: stop(RuntimeError("first\nno kernel image")))
    report.run("b", lambda: stop(Skipped("needs a GPU")))
    report.run("c", lambda: report.line("c", 2.0, least=1.0, timed=True))
    assert lines() == [
        ["FAILED", "a: RuntimeError: no kernel image"],
        ["skipped", "b: needs a GPU"],
        ["ok", "c: 2 (at least 1)"],
    ]
    report = Report(-1, judge_times=True)
    report.run("d", lambda: stop(RuntimeError()))
    assert lines() == [["skipped", "d: no time left"]]


def test_steps_that_are_not_repeatable_or_not_a_cpus_are_told(
    lines: Callable[[], list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, runs = gpu_steps.train_batches, []

    def wrong(*arguments: Any) -> gpu_steps.Outcome:
        runs.append(train(*arguments))
        off = len(runs) * 0.01
        found = runs[0]
        losses = [loss + 10 * off for loss in found.losses]
        return gpu_steps.Outcome(found.outputs + off, found.gradients + off, losses, found.weights + off)

    monkeypatch.setattr(gpu_steps, "train_batches", wrong)
    gpu_steps.train_on_cpu.cache_clear()
    report = Report(60, judge_times=True)
    report.run("all", lambda: check_steps(report, "dae_dnn", "fp32", replace(SMALL, steps=1), "cpu"))
    gpu_steps.train_on_cpu.cache_clear()
    assert [verdict for verdict, _ in lines()] == [*["FAILED"] * 4, "skipped"]
