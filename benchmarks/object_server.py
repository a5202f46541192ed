"""A server of S3's protocol on this machine that is slow, goes away and comes back, or is full."""

import os
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from study.ledger.store import Store

FULL = b"<Error><Code>InsufficientStorage</Code><Message>The disk is full.</Message></Error>"


class _Silent(WSGIRequestHandler):
    def log(self, *args: Any) -> None:
        """Say nothing."""


@dataclass
class ObjectServer:
    """One bucket; its objects outlive the server, as they do on a disk.

    Attributes:
        url: The place of studies in it.
        delay: Seconds before each answer.
        full: Whether writes are refused for want of space.
    """

    url: str = "s3://lab/team"
    delay: float = 0.0
    full: bool = False
    port: int = 0
    gone: bool = False
    server: BaseWSGIServer | None = None
    app: Any = field(default_factory=lambda: DomainDispatcherApplication(create_backend_app))

    def start(self) -> None:
        """Begin to answer; at first make the bucket, and let this process and its children use it."""
        self.gone, first = False, self.server is None
        self.server = make_server("127.0.0.1", self.port, self._answer, threaded=True, request_handler=_Silent)
        self.port = self.server.port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        if first:
            os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_REGION": "us-east-1"}
            os.environ |= {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "topsecret"}
            bucket = urllib.request.Request(f"http://127.0.0.1:{self.port}/lab", method="PUT")
            urllib.request.urlopen(bucket, timeout=60).close()

    def kill(self) -> None:
        """Go away: no new connection is taken, and those that are open break off."""
        assert self.server is not None
        self.gone = True
        self.server.shutdown()
        self.server.server_close()

    def has(self, name: str) -> bool:
        """Whether a study was begun there."""
        return Store(self.url).head(f"{name}/study.json") is not None

    def fetch(self, name: str, folder: Path) -> None:
        """Copy a study, object by object, to a folder."""
        store = Store(self.url)
        for key in store.list(name):
            found = store.get(key)
            assert found is not None, key
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(found[0])

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The application's answer, with the server's faults in front of it."""
        time.sleep(self.delay)
        if self.gone:
            environ["werkzeug.socket"].close()
            raise ConnectionResetError
        if self.full and environ["REQUEST_METHOD"] in ("PUT", "POST"):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("507 Insufficient Storage", [("Content-Type", "application/xml")])
            return [FULL]
        answer: Iterable[bytes] = self.app(environ, start_response)
        return answer
