"""The page in a browser: players, the cursor, and nothing that leaves the page."""

from pathlib import Path

import pytest
from helpers.chromium import visit

from .conftest import Call

pytestmark = pytest.mark.slow
PLAY = """
const players = [...document.querySelectorAll(".player")], found = {players: players.length, wide: []};
const audio = players[0].querySelector("audio"), strip = players[0].querySelector(".strip");
const share = () => parseFloat(getComputedStyle(strip, "::after").left) / strip.clientWidth;
const happens = (target, name) => new Promise((done) => target.addEventListener(name, done, {once: true}));
found.controls = players.every((player) => player.querySelector("audio").controls);
audio.muted = true;
audio.preload = "auto";
audio.load();
await happens(audio, "loadeddata");
found.seconds = audio.duration;
found.before = share();
audio.currentTime = 0.25;
await happens(audio, "seeked");
found.after = share();
const box = strip.getBoundingClientRect();
const second = players[1].querySelector("audio");
second.muted = true;
await second.play();
const paused = happens(second, "pause");
strip.dispatchEvent(new MouseEvent("click", {bubbles: true, clientX: box.left + 0.1 * box.width}));
await paused;
found.clicked = share();
found.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
return found;
"""


@pytest.mark.parametrize("width", [1280, 400])
def test_the_cursor_moves_with_the_sound(width: int, call: Call, studies: Path, tmp_path: Path) -> None:
    assert call("tiny", "--clips", "1")[0] == 0
    path = studies / "tiny" / "listen.html"
    seen = visit(path, PLAY, tmp_path, width)
    found = seen.value
    assert found["players"] > 1
    assert found["controls"]
    assert found["seconds"] == pytest.approx(0.5, abs=0.05)
    assert found["before"] == 0
    assert found["after"] == pytest.approx(0.5, abs=0.01)
    assert 0.09 < found["clicked"] < 1  # it plays from there, and the other player stopped
    assert found["overflow"] == 0
    assert seen.messages == []
    assert {url for url in seen.requests if not url.startswith("data:")} == {path.as_uri()}
