"""A data set on disk to clips, targets, folds and groups.

`python -m audiotag.corpus check PATH` shows a corpus with its errors and warnings; `python -m audiotag.corpus folds
PATH` proposes folds for a corpus that has none.
"""

from audiotag.corpus.corpus import Corpus, open_corpus
from audiotag.corpus.errors import CorpusError

__all__ = ["Corpus", "CorpusError", "open_corpus"]
