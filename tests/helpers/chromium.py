"""A helper of tests: pages in a headless Chromium, dumped whole or driven through the DevTools protocol."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SWITCHES = ("--headless", "--no-sandbox", "--disable-gpu", "--mute-audio", "--remote-debugging-port=0")
MESSAGES = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
PATIENCE = 120  # s
BUDGETS = (10_000, 20_000, 40_000, 80_000)  # ms of the page's own clock, which runs ahead while the page waits
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def read_page(address: str, folder: Path, is_whole: Callable[[str], bool]) -> str:
    """A page's HTML after its scripts, in a window that is wide and high; tried again until it is whole."""
    html = ""
    for budget in BUDGETS:
        own = (f"--user-data-dir={folder / f'browser_{budget}'}", "--window-size=3000,2400", "--no-proxy-server")
        command = [str(CHROMIUM), *SWITCHES[:3], *own, f"--virtual-time-budget={budget}", "--dump-dom", address]
        html = subprocess.run(command, capture_output=True, text=True, timeout=300).stdout
        if is_whole(html):
            return html
    raise AssertionError(f"{address} does not show what it should: {html}")


@dataclass
class Visit:
    """What came of it: the value of the script, what the console shows, and the addresses that were asked for."""

    value: Any = None
    messages: list[Any] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def visit(page: Path, script: str, folder: Path, width: int = 1280) -> Visit:
    """Open a file and run a script in it, the body of an async function, when it is loaded; skip without Chromium."""
    aiohttp = pytest.importorskip("aiohttp", reason="aiohttp, which MLflow brings, speaks with the browser")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    own = (f"--window-size={width},900", f"--user-data-dir={folder / 'browser'}")
    process = subprocess.Popen([CHROMIUM, *SWITCHES, *own, "about:blank"], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        address = next(found[0] for line in process.stderr if (found := re.search(r"127\.0\.0\.1:\d+", line)))
        return asyncio.run(asyncio.wait_for(_drive(aiohttp, address, page.as_uri(), script), PATIENCE))
    finally:
        process.terminate()
        process.wait(PATIENCE)
        process.stderr.close()


async def _drive(aiohttp: Any, address: str, url: str, script: str) -> Visit:
    seen, loaded = Visit(), asyncio.Event()
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://{address}/json/list") as answer:
            (target,) = [one for one in await answer.json() if one["type"] == "page"]
        async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            number = 0

            async def call(method: str, **params: Any) -> Any:
                nonlocal number
                number += 1
                await socket.send_json({"id": number, "method": method, "params": params})
                while "id" not in (message := await socket.receive_json()):
                    hear(message)
                return message["result"]

            def hear(message: Any) -> None:
                if message["method"] in MESSAGES:
                    seen.messages.append(message["params"])
                if message["method"] == "Network.requestWillBeSent":
                    seen.requests.append(message["params"]["request"]["url"])
                if message["method"] == "Page.loadEventFired":
                    loaded.set()

            for domain in ("Page", "Log", "Runtime", "Network"):
                await call(f"{domain}.enable")
            await call("Page.navigate", url=url)
            while not loaded.is_set():
                hear(await socket.receive_json())
            how = {"awaitPromise": True, "returnByValue": True, "userGesture": True}  # without one nothing plays
            found = await call("Runtime.evaluate", expression=f"(async () => {{ {script} }})()", **how)
            assert "exceptionDetails" not in found, found
            seen.value = found["result"].get("value")
    return seen
