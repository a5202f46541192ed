"""Whoever trains on a CPU that lacks what makes it fast is told before hours are lost."""

import io
from pathlib import Path

import pytest
from rich.console import Console

import study.plan.preflight
import study.session
from study.plan.plan import Plan, make_plan
from study.run import parse
from study.session import bf16_note, kernels_note

CPU, CARD = {"cpu": 1.0, "gpu": 0.0}, {"cpu": 1.0, "gpu": 0.25}
AVX2, XEON = "flags\t: fpu avx2 f16c\n", "flags\t: fpu avx512f avx512_bf16\n"
ARM, OLD_ARM = "Features\t: fp asimd bf16 i8mm\n", "Features\t: fp asimd\n"


@pytest.fixture
def of_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(study.plan.preflight, "CPU_FACTS", path)
    return path


def plan(tmp_path: Path, *words: str) -> Plan:
    asked = parse(["--space", "mixup_alpha", "--studies", str(tmp_path / "studies"), *words])
    return make_plan(asked, Console(file=io.StringIO()))


@pytest.mark.parametrize(("facts", "lacks"), [(AVX2, True), (OLD_ARM, True), (XEON, False), (ARM, False)])
def test_what_the_cpu_says_of_itself(of_cpu: Path, tmp_path: Path, facts: str, lacks: bool) -> None:
    of_cpu.write_text(facts)
    asked = plan(tmp_path, "--precision", "bf16")
    assert ("no bf16 arithmetic" in bf16_note(asked, CPU, None)) == lacks


def test_a_cpu_that_says_nothing_is_not_blamed(of_cpu: Path, tmp_path: Path) -> None:
    asked = plan(tmp_path, "--precision", "bf16")
    assert bf16_note(asked, CPU, None) == ""
    of_cpu.write_text("processor\t: 0\n")
    assert bf16_note(asked, CPU, None) == ""


def test_fp32_a_gpu_and_a_cluster_elsewhere_need_no_note(of_cpu: Path, tmp_path: Path) -> None:
    of_cpu.write_text(AVX2)
    assert bf16_note(plan(tmp_path), CPU, None) == ""
    asked = plan(tmp_path, "--precision", "bf16")
    assert bf16_note(asked, CARD, None) == ""
    assert bf16_note(asked, CPU, "10.0.0.1:6379") == ""


def test_loops_that_are_not_compiled_are_told_of_where_they_would_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernels_note(CPU, None) == ""
    monkeypatch.setattr(study.session, "COMPILED", False)
    assert "not compiled" in kernels_note(CPU, None)
    assert kernels_note(CARD, None) == ""
    assert kernels_note(CPU, "10.0.0.1:6379") == ""
