"""Helper: which way the networks compute in a test, by the compiled loops or by torch's own operations."""

import pytest

from audiotag.models import backend

needs_loops = pytest.mark.skipif(not backend.COMPILED, reason="audiotag's loops are not compiled")
needs_winograd = pytest.mark.skipif(not backend.LANES, reason="audiotag's loops are not compiled for this CPU")
BOTH_WAYS = [pytest.param(True, marks=needs_loops, id="compiled"), pytest.param(False, id="torch")]


def compute(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute by the compiled loops, or as if there were none."""
    if not compiled:
        monkeypatch.setattr(backend, "COMPILED", False)
        monkeypatch.setattr(backend, "LANES", 0)
