import pytest

from audiotag.augment.schedule import final_stretch, mixing_on


def test_the_schedule_has_the_stretches_of_its_paper() -> None:
    on = [mixing_on("intermittent", epoch, 1000) for epoch in range(1000)]
    assert not any(on[:100])
    assert on[100:800] == ([True] * 8 + [False] * 2) * 70
    assert not any(on[800:])
    assert final_stretch("intermittent", 1000) == 800


@pytest.mark.parametrize(
    ("max_epochs", "mixed"), [(1, ""), (2, "+"), (4, "+++"), (5, "++++"), (10, ".+++++++"), (20, "..++++++++..++++")]
)
def test_the_schedule_of_few_epochs_keeps_its_last_stretch(max_epochs: int, mixed: str) -> None:
    on = [mixing_on("intermittent", epoch, max_epochs) for epoch in range(max_epochs)]
    assert on == [sign == "+" for sign in mixed] + [False] * (max_epochs - len(mixed))
    assert final_stretch("intermittent", max_epochs) == len(mixed)


def test_without_a_schedule_every_epoch_mixes_and_may_be_the_best() -> None:
    assert all(mixing_on("always", epoch, 5) for epoch in range(5))
    assert final_stretch("always", 5) == 0
