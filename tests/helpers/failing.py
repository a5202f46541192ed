"""A helper of tests: a function that fails in a worker process.

It stands here and not beside its test, because a worker imports it: `tests` may be a package of others (baycomp's).
"""

from pathlib import Path

from audiotag.synthetic.corpus import Chunk


def fail_at(index: int, root: Path, seed: int, chunk: Chunk) -> None:
    """Write a made-up chunk, or fail at one of them."""
    if chunk.index == index:
        raise OSError("No space left on device")
    (root / "chunks" / chunk.name).write_text(str(seed))
