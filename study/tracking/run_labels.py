"""Names and colours by which one knows a run in any list or chart of MLflow."""

import colorsys
from collections.abc import Mapping

COLOR = "mlflow.runColor"  # a tag that MLflow's page draws with
JOINING = {"fold": "", "partition": "of ", "seed": "with "}
TURN = (5**0.5 - 1) / 2  # of the colour circle from a trial to the next: later hues fall into the widest gaps
LIGHTNESS = (0.36, 0.48)  # in turn, since neighbours in hue may be alike


def fold_name(trial: str, parts: Mapping[str, int]) -> str:
    """The name of a fold's run: "alpha 0.5, fold 3", "alpha 0.5, fold 3 of partition 2 with seed 8"."""
    return f"{trial}, {' '.join(f'{JOINING[name]}{name} {value}' for name, value in parts.items())}"


def run_color(number: int) -> str:
    """The colour of the trial of this number, and of its folds: "#rrggbb"."""
    rgb = colorsys.hls_to_rgb((0.58 + number * TURN) % 1, LIGHTNESS[number % 2], 0.62)
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)
