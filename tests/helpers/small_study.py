"""The study.json of a study of two tags and two folds."""

from typing import Any

TAGS = ["a", "b"]
STUDY: dict[str, Any] = {
    "study": "s",
    "space": "mixup_alpha",
    "seed": 3,
    "protocol": "paper",
    "trials": 2,
    "corpus": {"name": "own", "tags": TAGS, "folds": [1, 2], "evaluation_targets": {}},
}
