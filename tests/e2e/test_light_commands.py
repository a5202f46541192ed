"""Help and mistakes are told before anything heavy is imported."""

from pathlib import Path

import pytest
from helpers.light import heavy_imports

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("run.py --help", 0),
        ("run.py --list", 0),
        ("report.py --help", 0),
        ("report.py no_such_study", 2),
        ("run.py --space no_such_space", 2),
        ("run.py --space mixup_alpha --trials 0", 2),
        ("run.py --space mixup_alpha --metric swdi", 2),
        ("run.py --space mixup_alpha --corpus /nowhere", 2),
        ("run.py --space mixup_alpha --cpus-per-trial 9999", 2),
    ],
)
def test_help_and_mistakes_import_nothing_heavy(line: str, code: int, tmp_path: Path) -> None:
    command, *words = line.split()
    assert heavy_imports(command, words, code, tmp_path) == "[]"
