"""What was published for CHiME-Home, to stand beside a study's own rows.

Equal error rates as the paper prints them, two decimals; Var in 1e-3. By its caption they are those of the evaluation
set of DCASE 2016 task 4.

Source: Wei et al. 2018, "Sample mixed-based data augmentation for domestic audio tagging", Table 1.
"""

from dataclasses import dataclass
from typing import Any

TAGS = ("c", "m", "f", "v", "p", "b", "o")  # of CHiME-Home, in the order of the columns
FOOTNOTE = (
    "Published rows: Wei et al. 2018, Table 1, as printed. Two of them do not follow from their own cells: those of "
    "mixup 0 give Avg .121 and Var 5.31 (an m of .20 instead of .11 would give the printed .13 and 6.13), those of "
    "mixup_lp 1.5 give Var 6.75."
)


@dataclass(frozen=True)
class PublishedRow:
    """A row of Table 1: the EER of each tag in `TAGS`, their mean (`average`) and variance (`variance`, in 1e-3)."""

    model: str
    augmentation: str  # "IMD" is an input of CGRNN and ATT-LOC, printed in this column
    eer: tuple[float, ...]
    average: float
    variance: float


ROWS = (
    PublishedRow("DAE-DNN", "-", (0.21, 0.15, 0.21, 0.02, 0.18, 0.01, 0.26), 0.15, 9.45),
    PublishedRow("CGRNN", "IMD", (0.17, 0.16, 0.18, 0.03, 0.15, 0.00, 0.24), 0.13, 7.39),
    PublishedRow("ATT-LOC", "IMD", (0.09, 0.14, 0.17, 0.03, 0.12, 0.01, 0.24), 0.11, 6.36),
    PublishedRow("CRNN", "mixup 0.0", (0.09, 0.11, 0.14, 0.04, 0.15, 0.06, 0.26), 0.13, 6.13),
    PublishedRow("CRNN", "mixup 0.1", (0.10, 0.23, 0.15, 0.02, 0.15, 0.03, 0.23), 0.13, 7.30),
    PublishedRow("CRNN", "mixup 0.5", (0.09, 0.16, 0.11, 0.03, 0.14, 0.03, 0.24), 0.11, 5.56),
    PublishedRow("CRNN", "mixup 1.0", (0.09, 0.12, 0.11, 0.02, 0.12, 0.03, 0.26), 0.11, 6.25),
    PublishedRow("CRNN", "mixup 1.5", (0.10, 0.14, 0.11, 0.03, 0.10, 0.01, 0.20), 0.10, 4.11),
    PublishedRow("CRNN", "mixup 2.0", (0.10, 0.11, 0.11, 0.03, 0.11, 0.00, 0.25), 0.10, 6.28),
    PublishedRow("CRNN", "mixup 5.0", (0.13, 0.14, 0.08, 0.02, 0.12, 0.00, 0.24), 0.11, 6.52),
    PublishedRow("CRNN", "SamplePairing", (0.10, 0.20, 0.15, 0.01, 0.16, 0.03, 0.24), 0.13, 7.26),
    PublishedRow("CRNN", "mixup_lp 1.5", (0.12, 0.13, 0.12, 0.02, 0.12, 0.00, 0.25), 0.11, 6.52),
    PublishedRow("CRNN", "extrapolation 1.5", (0.10, 0.16, 0.13, 0.03, 0.14, 0.02, 0.23), 0.12, 5.43),
)


def published_rows(corpus: dict[str, Any]) -> tuple[PublishedRow, ...]:
    """The rows that may stand beside a study on a corpus (as study.json records it); none for any other corpus."""
    return ROWS if corpus.get("kind") == "chime_home" and tuple(corpus["tags"]) == TAGS else ()


def is_row_of(row: PublishedRow, params: dict[str, Any]) -> bool:
    """Whether a trial did what a published row did, as far as model, augmentation and alpha tell."""
    if row.model.lower().replace("-", "_") != params.get("model", "crnn"):
        return False
    kind, _, alpha = row.augmentation.partition(" ")
    names = {"SamplePairing": "sample_pairing", "-": "none", "IMD": "none"}
    if (kind, alpha) == ("mixup", "0.0"):
        return params["augmentation"] == "none" or (params["augmentation"] == "mixup" and params["alpha"] == 0)
    return params["augmentation"] == names.get(kind, kind) and params["alpha"] == float(alpha or 0)
