"""table.md: what is said around the tables."""

from pathlib import Path
from typing import Any

import numpy as np

from audiotag.chime_home import TAGS
from audiotag.config import TrialConfig
from study.ledger import Ledger
from study.report import markdown_report
from study.results import study_results

STUDY: dict[str, Any] = {"study": "s", "space": "table1", "question": "Which?", "seed": 0, "protocol": "paper"}
STUDY |= {"trials": 1, "varied": ["model", "imd"]}
CORPUS = {"name": "chime_home", "kind": "chime_home", "tags": list(TAGS), "folds": [0], "development_clips": 9}
CORPUS |= {"evaluation_targets": {f"clip {number}": [number % 2] * 7 for number in range(4)}}


def report(root: Path, **changes: Any) -> str:
    ledger = Ledger.create(root / "s", {**STUDY, "corpus": CORPUS, **changes})
    folder = ledger.trial("k")
    folder.write_trial(0, TrialConfig(augmentation="mixup").to_dict())
    record = {"fold": 0, "eer": dict.fromkeys(TAGS, 0.25), "eer_mean": 0.25, "best_epoch": 0, "epochs": 1}
    scores = np.arange(28, dtype=np.float32).reshape(4, 7) / 28
    folder.write_fold(0, {**record, "seconds": 9.0, "history": []}, {"held_out": scores, "evaluation": scores}, {})
    return markdown_report(study_results(ledger, "finished"), ledger.study())


def test_both_splits_the_published_row_and_its_footnote(tmp_path: Path) -> None:
    text = report(tmp_path)
    assert text.count("*published*") == 2  # once a table
    assert text.count("| crnn |") == 2
    assert "* The cells of mixup 0 give a mean of .121" in text
    assert "Left out" not in text


def test_rows_that_were_left_out_are_named(tmp_path: Path) -> None:
    left_out = [{"name": "cgrnn, imd", "params": {}}, {"name": "att_loc, imd", "params": {}}]
    text = report(tmp_path, left_out=left_out)
    assert "Left out, because the corpus has no stereo recordings: cgrnn, imd; att_loc, imd." in text
