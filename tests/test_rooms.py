"""The rooms of the house and the direction of imports: downwards, never in a circle."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# a room may import what stands below it, and itself; rooms in one line do not import each other
TABLE = """
audiotag.uris
audiotag.files audiotag.metrics audiotag.cli
audiotag.downloads
audiotag.audio
audiotag.corpus
audiotag.features audiotag.chime_home audiotag.synthetic
audiotag.declarations
audiotag.config
audiotag.models audiotag.augment
audiotag.training
audiotag.inference
audiotag
search_spaces
study.format study.cloud
study.cli
study.ledger
study.stats study.search
study.tuning study.tracking study.reporting study.library
study.plan study.tagging study.report
study.listening
study.announcement
study.trial_runs
study.session
study.run study.tag study.listen
study.confirm
study
"""
FLOORS = [line.split() for line in TABLE.split("\n") if line]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
ONLY = {  # packages of others, and the files that may import them
    "obstore": {"study/ledger/store.py"},
    "boto3": {"study/ledger/store.py"},
    "mlflow": {"study/tracking/mlflow_store.py"},
    "pandas": {"study/library.py"},  # takes a second to import
    "ray": {
        "study/tuning/trial.py",
        "study/tuning/tune.py",
        "study/tuning/shared_features.py",
        "study/tuning/trainable.py",
        "study/tuning/watch.py",
        "study/tuning/writer.py",
        "study/tuning/cluster.py",
        "study/tuning/nodes.py",
        "study/tuning/node_check.py",
        "study/tuning/failures.py",
        "study/tuning/scheduler.py",
        "study/search/searcher.py",  # a subclass of Tune's
    },
}
OWN = ("audiotag", "study", "search_spaces")
FOREIGN = {"tests", "benchmarks", "helpers"} | {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
SOURCES = sorted(path for package in OWN for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    """A file's module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path) for path in SOURCES}


def imports(path: Path) -> Iterator[str]:
    """What a file imports anywhere in it: of the project modules, of others top-level packages.

    What it names for type checkers alone is left out: the face of a package imports nothing before it is used.
    """
    tree = ast.parse(path.read_text())
    unseen = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    for node in unseen:
        tree.body.remove(node)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by full name"
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module or "" for name in within]
        else:
            continue
        yield from (name if name.split(".")[0] in OWN else name.split(".")[0] for name in names)


def room_of(module: str) -> str:
    """The room in which a module stands."""
    room = ".".join(module.split(".")[:2])
    return room if room in FLOOR else module.split(".")[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downwards(path: Path) -> None:
    room, name = room_of(name_of(path)), str(path.relative_to(ROOT))
    for imported in imports(path):
        if imported.split(".")[0] in OWN:
            other = room_of(imported)
            assert other in (room, "study") or FLOOR[other] < FLOOR[room], f"{name} imports {imported}"
        elif imported in ONLY:
            assert name in ONLY[imported]
        assert imported not in FOREIGN


def test_no_circles() -> None:
    graph = {name_of(path): {name for name in imports(path) if name in MODULES} - {name_of(path)} for path in SOURCES}
    order = list(TopologicalSorter(graph).static_order())
    assert len(order) == len(MODULES) > 80
    assert "audiotag.training.fit" in graph["study.tuning.trial"]


def test_every_room_stands_in_the_table() -> None:
    assert {room_of(module) for module in MODULES} == set(FLOOR)


def test_no_room_is_named_after_a_package() -> None:
    """`python study/run.py` puts study/ first on sys.path."""
    installed = set(sys.stdlib_module_names) | set(packages_distributions())
    assert {"torch", "ray", "filelock"} < installed
    assert not installed & {path.stem for path in (ROOT / "study").iterdir()}


def modules_after(statement: str) -> set[str]:
    """Top-level packages that a fresh process has imported after a statement."""
    script = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    return set(done.stdout.split())


def test_the_driver_imports_no_torch() -> None:
    """Workers need it; in the driver it would delay the first training step by seconds."""
    assert "torch" not in modules_after("import study.session, study.tuning.cluster, study.tuning.tune")


def test_data_is_downloaded_without_what_trains() -> None:
    commands = "import audiotag.chime_home.__main__, audiotag.corpus.__main__"
    assert not modules_after(commands) & {"torch", "torchaudio", "ray", "mlflow", "optuna", "matplotlib"}


def test_a_study_is_read_without_what_runs_one() -> None:
    assert not modules_after("import study") & {"numpy", "pandas", "rich"}
    assert not modules_after("import study\nstudy.load") & {"torch", "ray", "mlflow", "optuna", "matplotlib"}


def test_data_depends_on_no_display() -> None:
    rooms = [name for name in sorted(MODULES) if name.startswith(("study.ledger", "study.stats"))]
    assert not modules_after(f"import {', '.join(rooms)}") & {"rich", "ray", "mlflow", "matplotlib", "torch"}
