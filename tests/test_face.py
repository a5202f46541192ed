"""`import audiotag` is the face of the library: its names are there, and torch only when one of them needs it."""

import subprocess
import sys

import pytest

import audiotag

LIGHT = "import sys, audiotag\naudiotag.TrialConfig, audiotag.LogMel, audiotag.open_corpus, audiotag.equal_error_rate\n"


def test_every_name_is_there() -> None:
    for name in audiotag.__all__:
        assert getattr(audiotag, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        audiotag.train  # noqa: B018


@pytest.mark.slow
def test_torch_is_imported_when_it_is_needed() -> None:
    script = LIGHT + "print('torch' in sys.modules)\naudiotag.fit\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
