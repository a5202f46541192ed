import pytest
import ray

from study.tuning.cluster import ResourceError, start_ray


@pytest.mark.parametrize(
    ("address", "error", "line"),
    [
        (None, Exception("The node timed out."), "Ray did not start: The node timed out. Nothing is lost: try again"),
        ("10.0.0.1:6379", ConnectionError("refused"), "--address is 10.0.0.1:6379, but no Ray cluster answers there"),
    ],
)
def test_a_cluster_that_does_not_come_up_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, address: str | None, error: Exception, line: str
) -> None:
    def init(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ResourceError, match=line):
        start_ray(None, None, address, meanwhile=lambda: None)
