"""A whole study of a user's own augmentation and network, whose file lies outside the checkout and does not stay."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.whole_studies import finish, mlflow_lacks, read_results, wait_for
from place import ROOT, Place, kill, trial_workers
from soak import differences

pytestmark = pytest.mark.slow
QUESTION = '''"""Does it help to hide a stretch of time, with mixup and without?"""

import torch
from noises import hide
from torch import nn


class Tiny(nn.Module):
    training_defaults = {"learning_rate": 0.01}

    def __init__(self, n_columns, n_tags, *, units: int = 4):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_columns, units), nn.ReLU(), nn.Linear(units, n_tags))

    def forward(self, x):
        print("standard output is for the program")
        return self.layers(x.mean(dim=1)).sigmoid()


def define(trial):
    name = trial.suggest_categorical("augmentation", ["none", "hide", "mixup", "mixup+hide"])
    return {"model": "Tiny", **({"alpha": 1.0} if "mixup" in name else {})}
'''
HELPER = """
import time


def hide(x, y, rng, *, width: float = 0.5):
    time.sleep(0.02)  # long enough for the test to interrupt it
    start = int(rng.integers(0, x.shape[1] // 2))
    x = x.clone()
    x[:, start : start + round(width * x.shape[1])] = x.mean()
    return x, y
"""
LOAD = """
import sys
import mlflow
import numpy as np
mlflow.set_tracking_uri(sys.argv[1])
found = mlflow.pyfunc.load_model("models:/whole@fold_0").predict(np.zeros((2, 8000), np.float32))
assert found.shape == (2, 2), found
files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
print([file for file in files if file.startswith(tuple(sys.argv[2:]))])
"""


def write_question(folder: Path) -> Path:
    folder.mkdir()
    (folder / "noises.py").write_text(HELPER)
    (folder / "question.py").write_text(QUESTION)
    return folder / "question.py"


def options(place: Place, question: Path, name: str) -> list[str]:
    fixed = ["--corpus", str(place.root / "corpus"), "--epochs", "12", "--cpus-per-trial", "1"]
    return ["--space", str(question), "--name", name, *fixed]


def command(place: Place, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of study/ on the study `whole`."""
    line = [sys.executable, str(ROOT / "study" / words[0]), "whole", *words[1:]]
    return subprocess.run([*line, "--studies", str(place.root / place.studies)], capture_output=True, text=True)


def tag(place: Place, *words: str) -> subprocess.CompletedProcess[str]:
    return command(place, "tag.py", str(place.root / "corpus" / "audio" / "3.wav"), "--json", *words)


@pytest.fixture(scope="module")
def question(place: Place) -> Path:
    return write_question(place.root / "asker")


@pytest.fixture(scope="module")
def whole(place: Place, question: Path) -> Path:
    """The study unbroken."""
    finish(place.start(*options(place, question, "whole")), place)
    return place.study("whole")


def test_the_study_has_each_combination_and_its_effects(place: Place, whole: Path) -> None:
    results = read_results(place, "whole")
    assert [trial["params"]["augmentation"] for trial in results["trials"]] == ["none", "hide", "mixup", "mixup+hide"]
    assert all(trial["status"] == "finished" and trial["params"]["units"] == 4 for trial in results["trials"])
    assert [trial["params"].get("width") for trial in results["trials"]] == [None, 0.5, None, 0.5]
    assert len({trial["ap_mean"] for trial in results["trials"]}) > 2
    assert "Main effects and interactions" in (whole / "report.html").read_text()


def test_without_its_file_it_is_killed_moved_and_ends_as_unbroken(place: Place, whole: Path) -> None:
    """Workers never open the file: it is gone before one of them is killed and started again."""
    question, moved = write_question(place.root / "there"), place.root / "elsewhere"
    process, study = place.start(*options(place, question, "broken")), place.study("broken")
    wait_for(process, study, "trials/*/running.pt")
    question.parent.rename(moved)
    os.kill(trial_workers(process.pid)[0], signal.SIGKILL)
    wait_for(process, study, "trials/*/fold_*.json", 4)
    kill(process.pid)
    finish(process, place, code=-signal.SIGKILL)
    assert place.output().count("broke off because its worker died") == 1

    said = len(place.output())
    finish(place.start("--resume", "broken"), place, code=2)
    (line,) = place.output()[said:].splitlines()
    assert f"{question} is gone" in line

    finish(place.start("--resume", "broken", "--space", str(moved / "question.py")), place)
    assert json.loads((study / "study.json").read_text())["space_path"] == str(moved / "question.py")
    assert differences(whole, study) == []
    assert mlflow_lacks(place, "broken") == []


def test_a_registered_model_needs_neither_the_checkout_nor_the_file(place: Place, whole: Path) -> None:
    assert mlflow_lacks(place, "whole") == []
    places = [str(ROOT / "audiotag"), str(place.root / "asker")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    line = [sys.executable, "-c", LOAD, place.store, *places]
    found = subprocess.run(line, cwd=place.root, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "[]"


def test_the_winner_is_run_from_its_own_file_or_where_it_is_trusted(place: Place, whole: Path, question: Path) -> None:
    own = tag(place)
    assert own.returncode == 0, own.stderr
    assert "standard output is for the program" in own.stderr
    assert json.loads(own.stdout)["params"]["model"] == "Tiny"
    text = question.read_text()
    question.write_text(f"{text}raise SystemExit('run')\n")
    try:
        refused, trusted, not_heard = tag(place), tag(place, "--trust-code"), command(place, "listen.py")
        heard = command(place, "listen.py", "--trust-code", "--cache", str(place.root / "cache"))
    finally:
        question.write_text(text)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "now it is \"raise SystemExit('run')\" in line 23" in refused.stderr
    assert (trusted.returncode, trusted.stdout) == (0, own.stdout)
    assert (not_heard.returncode, not_heard.stderr) == (2, refused.stderr)
    assert (heard.returncode, heard.stdout) == (0, f"Listen: {whole / 'listen.html'}\n"), heard.stderr
    assert "This network has no curves over time" in (whole / "listen.html").read_text()
