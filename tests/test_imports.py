"""The rooms and the direction of imports: study -> search_spaces -> audiotag, never back."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from light import heavy_imports

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "audiotag": {"study", "search_spaces", "ray", "optuna", "mlflow"},
    "search_spaces": {"study", "ray", "mlflow"},
    "study": {"tests", "benchmarks"},
}
ONLY = {
    "mlflow": {"study/tracking.py"},
    # the last two subclass what Tune calls back: its searcher and its scheduler
    "ray": {"study/trial.py", "study/search.py", "study/cluster.py", "study/proposals.py", "study/scheduler.py"},
}


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by full name"
            names.add((node.module or "").split(".")[0])
    return names


SOURCES = [path for package in FORBIDDEN for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    found = imported(path)
    assert not found & FORBIDDEN[name.split("/")[0]]
    for package, allowed in ONLY.items():
        assert package not in found or name in allowed


def test_every_source_was_looked_at() -> None:
    assert len(SOURCES) > 20
    assert {"torch", "numpy"} <= imported(ROOT / "audiotag" / "train.py")


def test_no_file_is_named_after_a_package() -> None:
    """`python study/run.py` puts study/ first on sys.path."""
    installed = set(sys.stdlib_module_names) | {"torch", "ray", "optuna", "mlflow", "numpy", "rich", "scipy"}
    assert not installed & {path.stem for path in (ROOT / "study").glob("*.py")} - {"__init__"}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("run.py --help", 0),
        ("run.py --list", 0),
        ("report.py --help", 0),
        ("report.py no_such_study", 2),
        ("run.py --space no_such_space", 2),
        ("run.py --space mixup_alpha --trials 0", 2),
        ("run.py --space mixup_alpha --corpus /nowhere", 2),
        ("run.py --space mixup_alpha --cpus-per-trial 9999", 2),
    ],
)
def test_help_and_mistakes_import_nothing_heavy(line: str, code: int, tmp_path: Path) -> None:
    command, *words = line.split()
    assert heavy_imports(command, words, code, tmp_path) == "[]"


def test_the_driver_imports_no_torch() -> None:
    """Workers need it; in the driver it would delay the first training step by seconds."""
    script = "import sys, study.session, study.cluster, study.search; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["False"]
