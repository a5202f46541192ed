"""The time that a study still takes."""

import pytest

from study.reporting.time_left import GLIDE, Countdown, makespan


@pytest.mark.parametrize(
    ("tasks", "slots", "seconds"),
    [
        ([], 2, 0),
        ([5], 1, 5),
        ([5, 3, 2], 1, 10),
        ([5, 3, 2], 2, 5),
        ([5, 3, 2, 4], 2, 9),  # the last begins when both are free
        ([1, 1, 1], 5, 1),
        ([0, 0, 7], 3, 7),
    ],
)
def test_makespan_by_hand(tasks: list[float], slots: int, seconds: float) -> None:
    assert makespan(tasks, slots) == seconds


def test_a_countdown_runs_with_the_clock_and_glides_to_another_estimate() -> None:
    countdown = Countdown()
    assert countdown.show(100, 7) == pytest.approx(100)
    assert countdown.show(95, 12) == pytest.approx(95)
    assert countdown.show(195, 12) == pytest.approx(95)
    before = 95.0
    for second in range(1, 40):
        left = countdown.show(195 - second, 12 + second)
        assert 0 < left - (before - 1) < 100 / GLIDE
        before = left
    assert before == pytest.approx(195 - 39, abs=1)


def test_a_countdown_ends_at_nothing() -> None:
    countdown = Countdown()
    countdown.show(3, 0)
    assert countdown.show(0, 100) == 0
