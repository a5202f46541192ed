"""Helpers of the tests that fetch: small archives in the form of CHiME-Home's, and a server with faults to order."""

import gzip
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import soundfile

NAMES = [f"seg{number % 2}_chunk{number}" for number in range(6)]
LATER, RAW = "seg9_chunk0", "seg3_chunk0"  # an evaluation chunk, and one of the raw list alone


def wav(rate: int, channels: int, seed: int, seconds: float = 0.05) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(seed).uniform(-0.2, 0.2, (round(rate * seconds), channels))
    soundfile.write(file, noise, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def contents() -> dict[str, bytes]:
    """Names and bytes of a small data set; also what is of no use."""
    rows = [f"{number},{name}" for number, name in enumerate(NAMES)]
    files = {
        "development_chunks_refined.csv": "".join(f"{row}\n" for row in rows),
        "development_chunks_refined_crossval_dcase2016.csv": "".join(f"{r},{n % 3 % 2}\n" for n, r in enumerate(rows)),
        "evaluation_chunks_refined.csv": f"0,{LATER}\n",
        "development_chunks_raw.csv": "".join(f"{row}\n" for row in [*rows, f"9,{RAW}"]),
        "evaluation_chunks_raw.csv": f"0,{LATER}\n",
        "README.txt": "not needed\n",
    }
    data = {f"chime_home/{name}": text.encode() for name, text in files.items()}
    for number, name in enumerate([*NAMES, LATER, RAW]):
        text = f"segmentname,{name.split('_')[0]}\nmajorityvote,{'cv'[number % 2]}\nchunkname,{name}\n"
        data[f"chime_home/chunks/{name}.csv"] = text.encode()
        data[f"chime_home/chunks/{name}.48kHz.wav"] = wav(48_000, 2, number)
        data[f"chime_home/chunks/{name}.16kHz.wav"] = wav(16_000, 1, number)
    return data


def packed(files: dict[str, bytes], extra: list[tarfile.TarInfo] | None = None) -> bytes:
    """A .tar.gz of files, after members of any kind that hold nothing."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member in extra or []:
            archive.addfile(member)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@dataclass
class Manners:
    """How a server behaves; the requests that it saw are in `seen`."""

    content: bytes
    ranges: bool = True
    length: bool = True
    cut_after: int | None = None  # bytes of a body, then the connection is closed
    cuts: int = 0  # how many bodies are cut
    dies: bool = False  # after the cuts it answers 503 for ever
    status: list[int] = field(default_factory=list)  # of the first answers, instead of what is asked for
    location: str | None = None  # the first answer sends the client there
    seen: list[str | None] = field(default_factory=list)  # the Range header of each request
    files: dict[str, bytes] = field(default_factory=dict)  # in place of `content`, by the last part of the address
    asked: list[str] = field(default_factory=list)  # this part of each request


@contextmanager
def serving(manners: Manners) -> Iterator[str]:
    """The address of a server on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

        def do_GET(self) -> None:
            answer(self, manners)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/chime_home.tar.gz"
    finally:
        server.shutdown()
        server.server_close()


def answer(handler: BaseHTTPRequestHandler, manners: Manners) -> None:
    """One response."""
    wanted = handler.headers.get("Range")
    manners.seen.append(wanted)
    manners.asked.append(handler.path.rpartition("/")[2])
    if manners.dies and manners.cuts == 0:
        handler.send_error(503)
        return
    if manners.status:
        handler.send_error(manners.status.pop(0))
        return
    if manners.location and handler.path != "/moved":
        handler.send_response(302)
        handler.send_header("Location", "/moved")
        handler.end_headers()
        return
    data = manners.files[manners.asked[-1]] if manners.files else manners.content
    total, start = len(data), 0
    if wanted and manners.ranges:
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= total:
            handler.send_error(416)
            return
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
    else:
        handler.send_response(200)
    body = data[start:]
    if manners.length:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if manners.cuts > 0:
        manners.cuts -= 1
        body = body[: manners.cut_after]
    handler.wfile.write(body)
