"""A proxy in front of a tracking server that refuses requests without the password."""

import base64
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

USER = "me"


@contextmanager
def guarded(server: str, password: str) -> Iterator[str]:
    """The address, without the password, at which a server asks for it."""
    expected = "Basic " + base64.b64encode(f"{USER}:{password}".encode()).decode()

    class Guard(BaseHTTPRequestHandler):
        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Authorization") != expected:
                return self.reply(401, b"Who are you?")
            kept = {name: self.headers[name] for name in ("Content-Type",) if name in self.headers}
            request = urllib.request.Request(server + self.path, content or None, kept, method=self.command)
            try:
                with urllib.request.urlopen(request) as response:
                    self.reply(response.status, response.read())
            except urllib.error.HTTPError as error:
                self.reply(error.code, error.read())

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def reply(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Guard) as proxy:
        Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{proxy.server_port}"
        proxy.shutdown()
