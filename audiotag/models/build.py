"""The systems of Table 1 made of a configuration: front end and network. Here configurations end.

Torch is imported late: what a study needs is found out before.
"""

from typing import TYPE_CHECKING, Any

from audiotag.config import TrialConfig
from audiotag.features.log_mel import LogMel

if TYPE_CHECKING:
    from torch import Tensor, nn

FRAMES_OF_20_MS = LogMel(n_fft=320, hop_length=160, n_mels=40)
MAGNITUDES = LogMel(n_fft=512, hop_length=256, n_mels=40, power=1.0, unit_peaks=True)
MAGNITUDES_WITH_IMD = LogMel(n_fft=512, hop_length=256, n_mels=40, power=1.0, unit_peaks=True, imd=True)


def front_end(config: TrialConfig) -> LogMel:
    """What a system hears: the front end of its model."""
    spatial = MAGNITUDES_WITH_IMD if config.imd else MAGNITUDES
    return {"crnn": LogMel(), "dae_dnn": FRAMES_OF_20_MS, "cgrnn": spatial, "att_loc": spatial}[config.model]


def build_model(config: TrialConfig, columns: int, n_tags: int, mean: "Tensor", scale: "Tensor") -> "nn.Module":
    """The network of a configuration, with fresh weights, for features of so many columns.

    Shapes: mean, scale (columns,). Its `precision` is what it is to be run with (`audiotag.models.precision`).
    """
    network = _network(config, columns, n_tags, mean, scale)
    network.precision = config.precision  # type: ignore[assignment]
    return network


def _network(config: TrialConfig, columns: int, n_tags: int, mean: "Tensor", scale: "Tensor") -> "nn.Module":
    recurrent: dict[str, Any] = {"gru_units": config.gru_units, "gru_layers": config.gru_layers}
    standard: dict[str, Any] = {"mean": mean, "scale": scale}
    if config.model == "dae_dnn":
        from audiotag.models.dae_dnn import DAEDNN

        return DAEDNN(columns, n_tags, dropout=config.dropout, **standard)
    if config.model in ("cgrnn", "att_loc"):
        from audiotag.models.att_loc import ATTLOC
        from audiotag.models.cgrnn import CGRNN

        n_mels = front_end(config).n_mels
        network = CGRNN if config.model == "cgrnn" else ATTLOC
        return network(n_mels, columns - n_mels, n_tags, dropout=config.dropout, **recurrent, **standard)
    from audiotag.models.crnn import CRNN

    return CRNN(columns, n_tags, dropout=config.dropout, **recurrent, **standard)
