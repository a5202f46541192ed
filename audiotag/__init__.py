"""Audio tagging with sample mixing: corpora, features, networks, training and the metric. Arrays and tensors.

The names below are imported when they are first used: what needs no torch does not wait for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audiotag.config import TrialConfig
    from audiotag.corpus.corpus import open_corpus
    from audiotag.features.log_mel import LogMel
    from audiotag.inference.tagger import Tagger
    from audiotag.metrics import equal_error_rate
    from audiotag.training.fit import fit, start_fit

__all__ = ["LogMel", "Tagger", "TrialConfig", "equal_error_rate", "fit", "open_corpus", "start_fit"]

_MODULES = {
    "LogMel": "features.log_mel",
    "Tagger": "inference.tagger",
    "TrialConfig": "config",
    "equal_error_rate": "metrics",
    "fit": "training.fit",
    "open_corpus": "corpus.corpus",
    "start_fit": "training.fit",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
