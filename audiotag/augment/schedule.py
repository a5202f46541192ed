"""The epochs in which an augmentation is on."""

FIRST_SHARE, FINAL_SHARE = 0.1, 0.2  # of the epochs: before mixing begins, after it has ended for good
ON, OFF = 8, 2  # epochs with and without mixing, in turn, between the two


def final_stretch(schedule: str, max_epochs: int) -> int:
    """Give the first epoch of the stretch without mixing that ends an intermittent schedule; 0 for any other.

    Early stopping and the choice of the best epoch begin there: the phases before are always run to their end, because
    the network that the schedule is about is the one that the last stretch has tuned.
    """
    return max_epochs - max(1, round(FINAL_SHARE * max_epochs)) if schedule == "intermittent" else 0


def mixing_on(schedule: str, epoch: int, max_epochs: int) -> bool:
    """Whether an epoch (from 0) mixes. "always": each does.

    "intermittent" is SamplePairing's own schedule: a tenth of `max_epochs` without mixing, then in turn 8 epochs with
    and 2 without it, and the last fifth without it. Source: "Data augmentation by pairing samples for images
    classification" (Inoue 2018), whose stretches are 100, 700 and 200 of 1000 epochs.
    """
    if schedule == "always":
        return True
    first, last = round(FIRST_SHARE * max_epochs), final_stretch(schedule, max_epochs)
    return first <= epoch < last and (epoch - first) % (ON + OFF) < ON
