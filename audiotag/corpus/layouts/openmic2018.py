"""OpenMIC-2018 as it is published: `openmic-2018.npz`, `class-map.json`, `partitions/` and `audio/<three digits>/`.

Of most clips it is known of one or two instruments whether they play; the rest is masked.
Source: E. Humphrey, S. Durand, B. McFee, "OpenMIC-2018: an open dataset for multiple instrument recognition", 2018.
"""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from audiotag.corpus.cells import read_text
from audiotag.corpus.errors import CorpusError, count, list_first
from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import FIXED_SPLIT, Listing, Row, find_file
from audiotag.downloads.published import Published, RemoteFile
from audiotag.files import reason_of

LABELS = Path("openmic-2018.npz")
CLASSES = Path("class-map.json")
LISTS = {"train": Path("partitions/split01_train.csv"), "test": Path("partitions/split01_test.csv")}
PRESENT = 0.5  # probability from which an instrument counts as there
AGAIN = "download it again"

PUBLISHED = Published(
    title="OpenMIC-2018",
    authors="Humphrey et al. 2018",
    licence="CC BY 4.0",
    page="https://zenodo.org/records/1432913",
    files=(
        RemoteFile(
            "https://zenodo.org/records/1432913/files/openmic-2018-v1.0.0.tgz",
            "e4ccf187e2bb5ab2e115416e8aafe7f4",
            2_623_376_754,
        ),
    ),
    tables=(LABELS.as_posix(), CLASSES.as_posix(), *(path.as_posix() for path in LISTS.values())),
)


def read(root: Path) -> Listing:
    """Read arrays and lists: the group is the track that a clip was cut from; what the mask hides is unknown."""
    tags = _read_classes(root / CLASSES)
    keys, there, known = _read_labels(root / LABELS, len(tags))
    parts, problems, there_are = dict[str, str](), [], set(keys)
    for part, name in LISTS.items():
        listed = [line.strip() for line in read_text(root / name).splitlines() if line.strip()]
        parts |= dict.fromkeys(listed, part)
        if strange := [f"`{key}`" for key in listed if key not in there_are]:
            problems.append(
                f"{count(len(strange), 'key')} of `{root / name}` that {LABELS} lacks: {list_first(strange)}; {AGAIN}."
            )
    if neither := [f"`{key}`" for key in keys if key not in parts]:
        clips = count(len(neither), "clip")
        problems.append(f"{clips} of `{root}` in none of the lists: {list_first(neither)}; {AGAIN}.")
    rows = []
    for key, has, is_known in zip(keys, there, known, strict=True):
        if key in parts:
            clip, path = find_file(root / "audio", f"{key[:3]}/{key}.ogg")
            own, unknown = (frozenset(tags[k] for k in np.flatnonzero(cells)) for cells in (has & is_known, ~is_known))
            rows.append(Row(clip, path, FIXED_SPLIT[parts[key]], own, key.partition("_")[0], unknown=unknown))
    return Listing(root, tuple(rows), tuple(problems), tags)


def _read_classes(path: Path) -> tuple[str, ...]:
    """The names of the instruments by their columns."""
    try:
        found = json.loads(read_text(path))
        columns = {int(column): str(name) for name, column in found.items()}
        return tuple(columns[column] for column in range(len(found)))
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        if isinstance(error, CorpusError):
            raise
        raise CorpusError(f"The file `{path}` must give each instrument its column, from 0: {AGAIN}.") from error


def _read_labels(path: Path, tags: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The clips' keys (N,), whether each instrument is there (N, K), and whether that is known (N, K)."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            truth, mask = arrays["Y_true"], arrays["Y_mask"]
        keys = _read_keys(path)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error).strip("'\"")
        raise CorpusError(f"The file `{path}` cannot be read ({reason}): {AGAIN}.") from error
    wanted = (len(keys), tags)
    for name, array in (("Y_true", truth), ("Y_mask", mask)):
        if array.shape != wanted:
            raise CorpusError(
                f"The array {name} of `{path}` has the shape {array.shape}, but must have {wanted}, a row per key and "
                f"a column per instrument: {AGAIN}."
            )
    return keys, truth >= PRESENT, mask.astype(bool)


def _read_keys(path: Path) -> list[str]:
    """The array `sample_key`, which is published as one of Python objects, without running what a pickle may name."""
    with zipfile.ZipFile(path) as archive, archive.open("sample_key.npy") as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
        if dtype.hasobject:
            return [str(key) for key in _TextUnpickler(file).load().reshape(shape)]
        return [str(key) for key in np.frombuffer(file.read(), dtype).reshape(shape)]


class _TextUnpickler(pickle.Unpickler):
    """Reads an array of text, and refuses whatever else a file names."""

    def find_class(self, module: str, name: str) -> Any:
        """What the pickle of an array names: the class, its type, and the function that makes an empty one."""
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.empty(0, dtype=object).__reduce__()[0]
        raise pickle.UnpicklingError(f"sample_key names {module}.{name}")


LAYOUT = Layout(
    name="openmic2018",
    files=f"{LABELS} with {CLASSES}, partitions/ and audio/",
    detect=lambda root: (root / LABELS).is_file(),
    read=read,
    fixed_seconds=10.0,
    fixed_folds=True,
    missing_audio="unpack the archive again (python -m audiotag.corpus get openmic2018 does it)",
    terms=f"These are recordings of {PUBLISHED.source}: name the authors.",
    published=PUBLISHED,
)
