"""What a request needs of the machine, found out before anything is started."""

import os
from pathlib import Path
from typing import Any

import pytest

from study.plan import preflight
from study.plan.preflight import (
    PlanError,
    check_loopback,
    check_resources,
    check_tracking_lasts,
    check_writable,
    kernels_note,
    lacks_bf16,
    mps_note,
)
from study.plan.request import Request


@pytest.mark.parametrize(
    ("facts", "lacks"),
    [
        ("flags\t: fpu avx2 f16c\n", True),
        ("Features\t: fp asimd\n", True),
        ("flags\t: fpu avx512f avx512_bf16\n", False),
        ("Features\t: fp asimd bf16 i8mm\n", False),
        ("processor\t: 0\n", False),  # it lists no instructions
        (None, False),
    ],
    ids=["AVX2", "ARM of old", "Xeon", "ARM", "silent", "no file"],
)
def test_a_cpu_lacks_bf16_where_it_lists_its_instructions_without_it(
    tmp_path: Path, facts: str | None, lacks: bool
) -> None:
    path = tmp_path / "cpuinfo"
    if facts is not None:
        path.write_text(facts)
    assert lacks_bf16(path) == lacks


def test_loops_that_are_not_compiled_are_warned_of_where_they_would_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "COMPILED", True)
    assert kernels_note({"cpu": 1.0, "gpu": 0.0}) == ""
    monkeypatch.setattr(preflight, "COMPILED", False)
    assert "not compiled" in kernels_note({"cpu": 1.0, "gpu": 0.0})
    assert kernels_note({"cpu": 1.0, "gpu": 0.25}) == ""


@pytest.mark.parametrize(
    ("options", "line"),
    [({"cpus_per_trial": 4096.0}, "--cpus-per-trial is 4096"), ({"gpus_per_trial": 1.0}, "--gpus-per-trial is 1")],
)
def test_more_than_this_machine_has_is_refused_but_of_a_cluster_elsewhere(
    options: dict[str, Any], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.plan.preflight.has_cards", lambda: False)
    with pytest.raises(PlanError, match=line):
        check_resources(Request(**options))
    check_resources(Request(**options, address="10.0.0.1:6379"))
    check_resources(Request(cpus_per_trial=0.5, gpus_per_trial=0.0))


def test_a_machine_that_cannot_be_reached_from_itself_is_refused_for_a_cluster_of_our_own() -> None:
    elsewhere = "192.0.2.77"  # of no machine (RFC 5737)
    with pytest.raises(PlanError, match=elsewhere):
        check_loopback(Request(), (elsewhere,))
    check_loopback(Request(address="10.0.0.1:6379"), (elsewhere,))
    check_loopback(Request(), (elsewhere, "127.0.0.1"))
    check_loopback(Request())


def test_a_folder_must_be_one_that_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_writable(tmp_path / "new" / "studies")
    (tmp_path / "file").touch()
    with pytest.raises(PlanError, match="cannot be written"):
        check_writable(tmp_path / "file" / "studies")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PlanError, match="cannot be written"):
        check_writable(tmp_path / "new")


def test_what_ray_deletes_with_a_job_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "working_dir_files" / "_ray_pkg_6a18c98f55cc5f19"
    with pytest.raises(PlanError, match=r"in the copy of the checkout that Ray makes for a job .* choose --studies"):
        check_writable(copy / "studies")
    default = f"sqlite:///{copy}/mlflow.db"
    with pytest.raises(PlanError, match=r"choose --tracking-uri\."):
        check_tracking_lasts(None, default)
    check_tracking_lasts(default, default)
    check_tracking_lasts(None, "http://127.0.0.1:5000")


def test_trials_that_share_a_gpu_without_mps_are_told_that_they_take_turns(tmp_path: Path) -> None:
    quarter, whole = {"cpu": 1.0, "gpu": 0.25}, {"cpu": 1.0, "gpu": 1.0}
    assert "4 trials share a GPU and take turns on it" in mps_note(quarter, None, tmp_path)
    assert not mps_note(whole, None, tmp_path)
    assert not mps_note({"cpu": 1.0, "gpu": 0.0}, None, tmp_path)
    assert not mps_note(quarter, "10.0.0.1:6379", tmp_path), "those are other machines' GPUs"
    (tmp_path / "control").touch()
    assert not mps_note(quarter, None, tmp_path)
