"""What the ledger asks of an object store, and what is said where it does not do it."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from obstore.store import MemoryStore

from study.ledger import store as module
from study.ledger.store import ConflictError, Store, StoreError

URL = "s3://lab/team"


@pytest.fixture
def store() -> Store:
    return Store(URL, MemoryStore(), patience=0)


def test_an_object_is_written_read_listed_and_removed(store: Store) -> None:
    assert store.get("a/b") is store.head("a/b") is None
    version = store.put("a/b", b"one")
    content, found = store.get("a/b") or (b"", None)
    assert content == b"one"
    assert found == store.head("a/b") == store.list("a")["a/b"]
    assert found is not None
    assert (found.version, found.size) == (version, 3)
    store.put("ab/c", b"")
    assert set(store.list("a")) == {"a/b"}
    assert set(store.folders()) == {"a", "ab"}
    store.remove("a/b")
    store.remove("a/b")
    assert store.list("a") == {}


def test_conditional_writes(store: Store) -> None:
    first = store.create("a", b"1")
    with pytest.raises(ConflictError):
        store.create("a", b"2")
    second = store.replace("a", b"2", first)
    with pytest.raises(ConflictError):
        store.replace("a", b"3", first)
    assert (store.get("a") or [b""])[0] == b"2"
    assert store.create("b", b"x") != second
    # the answer to a first attempt was lost: what is there is what was to be written
    assert store.replace("a", b"2", first) == second
    assert store.create("a", b"2") == second


def test_the_clock_of_the_server(store: Store) -> None:
    before = store.now()
    assert store.now() >= before
    assert store.list("") == {}


class Answers(BaseHTTPRequestHandler):
    """A server with one answer to all; `answers` counts them by method."""

    protocol_version = "HTTP/1.1"
    status = 200
    answers: ClassVar[Counter[str]]
    after = 0  # requests from which on all is well

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.answers[self.command] += 1
        is_well = self.after and self.answers.total() > self.after
        self.send_response(200 if is_well else self.status)
        self.send_header("etag", '"1"')
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_PUT = do_DELETE = do_HEAD = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Answers]]:
    class Own(Answers):
        answers: ClassVar[Counter[str]] = Counter()

    with ThreadingHTTPServer(("127.0.0.1", 0), Own) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listening.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "topsecret")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        yield Own
        listening.shutdown()


@pytest.mark.parametrize(
    ("status", "reason", "may_pass"),
    [
        (403, "access denied", False),
        (401, "access denied", False),
        (404, "no such bucket", False),
        (507, "no room", False),
        (400, "HTTP status 400", False),
    ],
)
def test_a_refusal_is_told_at_once_in_a_few_words(
    status: int, reason: str, may_pass: bool, server: type[Answers]
) -> None:
    server.status = status
    with pytest.raises(StoreError) as error:
        Store(URL, patience=100).put("a/b", b"x")
    assert reason in error.value.reason
    assert error.value.may_pass is may_pass
    assert str(error.value).startswith("s3://lab/team/a/b cannot be written (")
    assert "topsecret" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_server_that_comes_back_is_waited_for(server: type[Answers], monkeypatch: pytest.MonkeyPatch) -> None:
    server.status, server.after = 503, 5  # the library itself makes four attempts
    monkeypatch.setattr(module, "PAUSES", (0.01,))
    assert Store(URL, patience=60).put("a", b"x").tag == '"1"'
    assert server.answers["PUT"] == 6


def test_no_server(server: type[Answers], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreError) as error:
        Store(URL, patience=0).head("a")
    assert (error.value.reason, error.value.may_pass) == ("no answer from the server", True)


def test_the_library_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(StoreError, match="pip install 'obstore"):
        Store(URL)


def test_the_library_that_is_named_is_the_one_of_the_project() -> None:
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert module.INSTALL.split("'")[1] in project["optional-dependencies"]["cloud"]


def test_a_profile_that_does_not_exist(server: type[Answers], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_PROFILE", "no_such_profile")
    with pytest.raises(StoreError, match="no usable credentials"):
        Store(URL)


def test_the_keys_of_a_profile(server: type[Answers], monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    keys = f"{tmp_path}/keys"
    with open(keys, "w") as file:
        file.write("[lab]\naws_access_key_id = me\naws_secret_access_key = topsecret\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", keys)
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert Store(URL, patience=0).put("a", b"x").tag == '"1"'
