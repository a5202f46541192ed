"""A small corpus for the tests of features."""

from collections.abc import Callable
from pathlib import Path

import pytest

from audiotag.corpus.corpus import Corpus, open_corpus


@pytest.fixture
def corpus(folder_corpus: Callable[..., Path]) -> Corpus:
    """Five clips of 400 samples."""
    return open_corpus(folder_corpus([(f"{number}.wav", number % 2, "xy"[number // 2 % 2]) for number in range(5)]))
