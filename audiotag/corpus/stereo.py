"""Whether a corpus can serve a system that hears in stereo."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from audiotag.audio.read import AudioError, audio_channels
from audiotag.corpus.corpus import Corpus


def stereo_problem(corpus: Corpus) -> str | None:
    """Why not every clip has a stereo recording, in a few words; None where each has. Reads the files' headers."""
    if not corpus.stereo_paths:
        return "it has none"
    with ThreadPoolExecutor() as pool:
        reasons = list(pool.map(_reason, corpus.stereo_paths))
    found = [f"`{path}`: {why}" for path, why in zip(corpus.stereo_paths, reasons, strict=True) if why is not None]
    return f"{found[0]} (so for {len(found)} of {len(corpus.clips)} clips)" if found else None


def _reason(path: Path) -> str | None:
    try:
        channels = audio_channels(path)
    except AudioError as error:
        return error.reason
    return None if channels == 2 else f"the number of its channels is {channels}, not 2"
