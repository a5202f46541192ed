"""The corpus that a request asks for, checked under a progress bar."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from audiotag.cli import progress_bar
from audiotag.corpus.audio_scan import scan_cache_path
from audiotag.corpus.corpus import Corpus, open_corpus
from audiotag.features.load import default_cache
from study import PROJECT
from study.plan.request import Request

CHIME_HOME, SYNTHETIC = PROJECT / "data" / "chime_home", PROJECT / "data" / "synthetic"


def open_asked_corpus(request: Request, stereo: bool, console: Console) -> Corpus:
    """Open the corpus that is asked for; by default CHiME-Home where it exists, else the synthetic one.

    `stereo` says whether its stereo recordings are needed, too.

    Raises:
        CorpusError: For one that cannot be used as asked.
    """
    path: str | Path | None = request.corpus
    if path is None and (CHIME_HOME / "chunks").is_dir():
        path = CHIME_HOME
    if path is None or str(path) == "synthetic" or Path(path).absolute() == SYNTHETIC:
        from audiotag.synthetic.corpus import write_synthetic_corpus

        with progress_bar(console) as bar:
            path = write_synthetic_corpus(SYNTHETIC, progress=follow(bar, "writing the synthetic corpus"))
    with progress_bar(console) as bar:
        return open_corpus(
            path,
            skip_bad=request.skip_bad,
            stereo=stereo,
            progress=follow(bar, "checking the audio"),
            scan_cache=scan_cache_path(cache_folder(request.cache), path),
            tag_separator=request.tag_separator,
            clip_seconds=request.clip_seconds,
        )


def follow(bar: Any, what: str) -> Callable[[int, int], None]:
    """Add a task to a progress bar, and give what moves it."""
    task = bar.add_task(what, total=None)
    return lambda done, total: bar.update(task, completed=done, total=total)


def cache_folder(asked: Path | None) -> Path:
    """Give the folder of the feature cache, by default the user's."""
    return asked or default_cache() / "features"
