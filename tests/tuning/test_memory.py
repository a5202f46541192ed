"""A study that is low on memory: fewer trials side by side, then pauses, then the end."""

import pytest

from study.tuning.failures import LowMemory
from study.tuning.memory import PAUSES, run_in_memory


class Machine:
    """Has memory for so many trials side by side from the given attempt on."""

    def __init__(self, room: int, attempts: int = 0, progress: bool = False) -> None:
        self.room, self.attempts, self.progress = room, attempts, progress
        self.tried: list[int] = []
        self.said: list[str] = []
        self.slept: list[float] = []

    def run(self, slots: int) -> None:
        self.tried.append(slots)
        if slots > self.room or len(self.tried) <= self.attempts:
            raise LowMemory("23 of 24 GB", self.progress)

    def study(self, slots: int) -> None:
        run_in_memory(self.run, slots, self.said.append, self.slept.append)


def test_with_enough_memory_all_run_at_once() -> None:
    machine = Machine(room=8)
    machine.study(8)
    assert (machine.tried, machine.said, machine.slept) == ([8], [], [])


@pytest.mark.parametrize(("slots", "room"), [(2, 1), (8, 5), (64, 20), (3, 2)])
def test_fewer_run_side_by_side_until_they_fit(slots: int, room: int) -> None:
    machine = Machine(room)
    machine.study(slots)
    assert machine.tried[0] == slots
    assert all(after < before for before, after in zip(machine.tried[:-1], machine.tried[1:], strict=True))
    assert 3 * room // 4 <= machine.tried[-1] <= room
    assert len(machine.said) == len(machine.tried) - 1
    assert all("23 of 24 GB" in line for line in machine.said)
    assert machine.slept == []


def test_a_lone_trial_waits_and_goes_on_when_there_is_memory_again() -> None:
    machine = Machine(room=1, attempts=1 + len(PAUSES))
    machine.study(2)
    assert machine.tried == [2, *[1] * (1 + len(PAUSES))]
    assert machine.slept == list(PAUSES)


def test_a_machine_without_memory_for_one_trial_ends_the_study_with_the_remedy() -> None:
    machine = Machine(room=0)
    with pytest.raises(LowMemory, match=r"Low on memory.*23 of 24 GB.*--resume"):
        machine.study(1)
    assert machine.slept == list(PAUSES)


def test_a_lone_trial_that_trains_an_epoch_now_and_then_is_not_given_up() -> None:
    machine = Machine(room=1, attempts=20, progress=True)
    machine.study(1)
    assert machine.slept == [PAUSES[0]] * 20
