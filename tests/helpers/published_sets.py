"""Small versions of public data sets, packed and named as they are published, in the place of the real ones."""

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from audiotag.corpus.layouts import LAYOUTS
from audiotag.downloads.published import Published, RemoteFile
from helpers.archives import Manners, packed, serving
from helpers.public_layouts import (
    write_esc50,
    write_fsd50k,
    write_openmic,
    write_sonyc,
    write_speech_commands,
    write_urbansound8k,
)
from helpers.split_zips import named, split, zipped

MAKERS: dict[str, Callable[[Path], Path]] = {
    "esc50": write_esc50,
    "urbansound8k": write_urbansound8k,
    "fsd50k": write_fsd50k,
    "speech_commands": write_speech_commands,
    "openmic2018": write_openmic,
    "sonyc_ust": write_sonyc,
}


def pack(name: str, root: Path) -> dict[str, bytes]:
    """The files in which a set is published, by name."""
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    match name:
        case "esc50":
            return {"ESC-50-master.zip": zipped({f"ESC-50-master/{path}": data for path, data in files.items()})}
        case "urbansound8k":
            return {"UrbanSound8K.tar.gz": packed({f"UrbanSound8K/{path}": data for path, data in files.items()})}
        case "openmic2018":
            files = {f"openmic-2018/{path}": data for path, data in files.items()}
            return {"openmic-2018-v1.0.0.tgz": packed({"._openmic-2018": b"\0\5\x16\7"} | files)}
        case "speech_commands":
            return {"speech_commands_v0.02.tar.gz": packed({f"./{path}": data for path, data in files.items()})}
        case "sonyc_ust":
            sounds = {path.removeprefix("audio/"): data for path, data in files.items() if path.endswith(".wav")}
            halves = [dict(list(sounds.items())[half::2]) for half in (0, 1)]
            archives = {
                f"audio-{n}.tar.gz": packed({f"audio-{n}/{path}": data for path, data in half.items()})
                for n, half in enumerate(halves)
            }
            return {"annotations.csv": files["annotations.csv"]} | archives
        case _:
            return dict(_fsd50k(files))


def _fsd50k(files: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for folder in sorted({path.partition("/")[0] for path in files}):
        own = {path: data for path, data in files.items() if path.startswith(f"{folder}/")}
        is_sound = folder.endswith("_audio")
        archive = zipped(own, zipfile.ZIP_STORED if is_sound else zipfile.ZIP_DEFLATED)
        yield from named(folder, split(archive, -(-len(archive) // 2)) if is_sound else [archive]).items()


def publish(name: str, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Published:
    """Let small files take the place of the published ones, under their names; their addresses lead nowhere."""
    layout = LAYOUTS[name]
    assert layout.published is not None
    algorithm = {32: hashlib.md5, 64: hashlib.sha256}[len(layout.published.files[0].checksum)]
    known = {file.name for file in layout.published.files}
    assert set(files) <= known
    small = tuple(
        RemoteFile(f"http://127.0.0.1:9/{path}", algorithm(data).hexdigest(), len(data)) for path, data in files.items()
    )
    published = replace(layout.published, files=small, unpacked=None, about_size=None)
    monkeypatch.setitem(LAYOUTS, name, replace(layout, published=published))
    return published


@contextmanager
def serving_files(files: dict[str, bytes], **manners) -> Iterator[tuple[str, Manners]]:
    """The address of the folder of files on a server, and its manners."""
    how = Manners(b"", files=files, **manners)
    with serving(how) as address:
        yield f"{address.rpartition('/')[0]}/", how
