"""A registered model needs no package but those that it names."""

import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from audiotag.config import TrialConfig, network_names
from audiotag.inference.tagger import write_description
from audiotag.models.build import build_network
from study import PROJECT
from study.tracking.model_registry import REQUIREMENTS

OURS = {"audiotag", "study", "search_spaces"}
ALONE = """
import sys
sys.modules.update(dict.fromkeys(sys.argv[2:]))  # None: each is as if it were not there
import numpy as np
from audiotag.inference.tagger import load_tagger
print(load_tagger(sys.argv[1]).predict(np.zeros((2, 18_000), np.float32)).shape)
"""


def installed_with(names: Iterable[str]) -> set[str]:
    """Distributions that are there once these are."""
    found, left = set[str](), list(names)
    while left:
        name = canonicalize_name(left.pop())
        if name not in found:
            found.add(name)
            with suppress(PackageNotFoundError):  # of another platform
                left += [Requirement(line).name for line in requires(name) or [] if "extra ==" not in line]
    return found


@pytest.fixture(scope="module")
def others() -> list[str]:
    """Packages that can be imported here, but not where only the named ones are installed."""
    there = installed_with(REQUIREMENTS)
    assert "torch" in there
    known = {name: {*map(canonicalize_name, whose)} for name, whose in packages_distributions().items()}
    found = [name for name, whose in known.items() if not there & whose and name not in OURS]
    assert {"mlflow", "ray", "rich", "numba"} <= set(found)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("model", network_names())
def test_a_model_is_loaded_and_scores_without_them(model: str, others: list[str], tmp_path: Path) -> None:
    config = TrialConfig(model=model)
    write_description(tmp_path, config, config.front_end.to_dict(), ["a", "b", "c"], 1.0)
    torch.save(build_network(config, config.front_end.columns, 3).state_dict(), tmp_path / "weights.pt")
    command = [sys.executable, "-c", ALONE, str(tmp_path), *others]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, timeout=120, check=False)
    assert done.stdout.strip() == "(2, 3)", done.stderr
