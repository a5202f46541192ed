"""How often states are saved."""

import pytest

from study.tuning.saving import VARIABLE, SettingError, save_seconds


def test_states_are_saved_as_often_as_a_disk_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert [save_seconds(slots) for slots in (1, 100, 800)] == [5, 5, 32]
    assert save_seconds(1, in_cloud=True) == 30
    monkeypatch.setenv(VARIABLE, "40")
    assert save_seconds(800) == 40
    monkeypatch.setenv(VARIABLE, "0")
    assert save_seconds(800) == 0


@pytest.mark.parametrize("text", ["often", "-1", "nan", "inf"])
def test_another_setting_is_a_mistake(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(SettingError, match=f"{VARIABLE} is '{text}', but must be a number of seconds from 0 on"):
        save_seconds(1)
