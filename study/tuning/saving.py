"""How often the states of trainings in progress are saved. Imports nothing heavy: it is checked before Ray starts."""

import os

VARIABLE = "AUDIOTAG_SAVE_SECONDS"
# a state of the paper's network is 4.7 MB: packing, sending and writing it takes .3 % of so many seconds (ledger.py)
SAVE_SECONDS = 5.0
CLOUD_SAVE_SECONDS = 30.0  # of a study in an object store, to which each state is sent
SAVES_PER_SECOND = 25  # of all trials: 118 MB per second of the paper's network


class SettingError(ValueError):
    """A variable of the environment with a value that cannot be used; one line for the user."""


def save_seconds(slots: int, in_cloud: bool = False) -> float:
    """Seconds of training after which a state is saved, where so many trials run side by side.

    `in_cloud` says that the study is in an object store.

    Raises:
        SettingError: If the environment sets them to what is no number from 0 on.
    """
    text = os.environ.get(VARIABLE, "")
    try:
        asked = float(text) if text else CLOUD_SAVE_SECONDS if in_cloud else SAVE_SECONDS
    except ValueError:
        asked = -1.0
    if not 0 <= asked < float("inf"):
        raise SettingError(f"{VARIABLE} is {text!r}, but must be a number of seconds from 0 on: change or unset it.")
    return max(asked, slots / SAVES_PER_SECOND) if asked else 0.0
