"""The EERs that the paper printed, to stand beside measured ones.

Source: "Sample mixed-based data augmentation for domestic audio tagging" (Wei et al. 2018), Table 1; by its caption on
the evaluation set of DCASE 2016 task 4.
"""

from collections.abc import Sequence
from typing import Any

from audiotag.config import TrialConfig
from audiotag.corpus.layouts.chime_home import TAGS
from study.ledger.context import NEWER
from study.ledger.schema import PublishedRow

PaperRow = tuple[dict[str, Any], tuple[float, ...], float, float]  # settings, EER by tag, their mean, variance in 1e-3

ROWS: tuple[PaperRow, ...] = (
    ({"model": "dae_dnn"}, (0.21, 0.15, 0.21, 0.02, 0.18, 0.01, 0.26), 0.15, 9.45),
    ({"model": "cgrnn", "imd": True}, (0.17, 0.16, 0.18, 0.03, 0.15, 0.00, 0.24), 0.13, 7.39),
    ({"model": "att_loc", "imd": True}, (0.09, 0.14, 0.17, 0.03, 0.12, 0.01, 0.24), 0.11, 6.36),
    ({"augmentation": "mixup", "alpha": 0.0}, (0.09, 0.11, 0.14, 0.04, 0.15, 0.06, 0.26), 0.13, 6.13),
    ({"augmentation": "mixup", "alpha": 0.1}, (0.10, 0.23, 0.15, 0.02, 0.15, 0.03, 0.23), 0.13, 7.30),
    ({"augmentation": "mixup", "alpha": 0.5}, (0.09, 0.16, 0.11, 0.03, 0.14, 0.03, 0.24), 0.11, 5.56),
    ({"augmentation": "mixup", "alpha": 1.0}, (0.09, 0.12, 0.11, 0.02, 0.12, 0.03, 0.26), 0.11, 6.25),
    ({"augmentation": "mixup", "alpha": 1.5}, (0.10, 0.14, 0.11, 0.03, 0.10, 0.01, 0.20), 0.10, 4.11),
    ({"augmentation": "mixup", "alpha": 2.0}, (0.10, 0.11, 0.11, 0.03, 0.11, 0.00, 0.25), 0.10, 6.28),
    ({"augmentation": "mixup", "alpha": 5.0}, (0.13, 0.14, 0.08, 0.02, 0.12, 0.00, 0.24), 0.11, 6.52),
    ({"augmentation": "sample_pairing"}, (0.10, 0.20, 0.15, 0.01, 0.16, 0.03, 0.24), 0.13, 7.26),
    ({"augmentation": "mixup_lp", "alpha": 1.5}, (0.12, 0.13, 0.12, 0.02, 0.12, 0.00, 0.25), 0.11, 6.52),
    ({"augmentation": "extrapolation", "alpha": 1.5}, (0.10, 0.16, 0.13, 0.03, 0.14, 0.02, 0.23), 0.12, 5.43),
)
# Rows whose variance does not follow from their own cells, and what the cells give
DOUBTFUL = {
    3: "the cells of mixup 0 give a mean of .121 and a variance of 5.31; an m of .20 would give what is printed",
    11: "the cells of mixup_lp 1.5 give a variance of 6.75",
}
CAPTION = "Rows in italics: published, Table 1 of the paper (Wei et al. 2018); by its caption on the evaluation set."
# may differ from the published row: how long a network is trained is no question of the table, nor how it computes
OPEN = ("max_epochs", "pretrain_epochs", "precision", "convolution")


def published_row(config: dict[str, Any]) -> PublishedRow | None:
    """The published row of a configuration; None where there is none."""
    config = NEWER | config  # of an earlier version
    if config["augmentation"] == "none" and config["model"] == "crnn":
        config = config | {"augmentation": "mixup", "alpha": 0.0, "schedule": "always"}  # that is the table's "none"
    for place, (settings, eers, mean, variance) in enumerate(ROWS):
        wanted = TrialConfig.from_dict(settings).to_dict()
        if all(config.get(name) == value for name, value in wanted.items() if name not in OPEN):
            return PublishedRow(dict(zip(TAGS, eers, strict=True)), mean, variance / 1e3, DOUBTFUL.get(place))
    return None


def published_notes(rows: Sequence[PublishedRow]) -> list[str]:
    """What must be said below a table with published rows: where they come from, and what is odd in them."""
    doubts = dict.fromkeys(row.footnote for row in rows if row.footnote is not None)
    return [CAPTION, *(f"* {doubt[0].upper()}{doubt[1:]}." for doubt in doubts)] if rows else []
