"""Untrained networks that are small enough to score clips in a moment."""

import numpy as np
import torch
from torch import Tensor, nn

from audiotag.config import TrialConfig
from audiotag.features.log_mel import log_mel
from audiotag.models.build import build_network
from audiotag.training.fit import predict

SMALL = TrialConfig(augmentation="mixup", alpha=1.0, gru_units=4)


def make_network(seed: int, config: TrialConfig = SMALL) -> nn.Module:
    """A network of three tags, with weights of its own for each seed."""
    torch.manual_seed(seed)
    columns = config.front_end.columns
    made = build_network(config, columns, 3, torch.full((columns,), -9.0), torch.full((columns,), 2.0))
    return made.to(memory_format=torch.channels_last).eval()


def score_waveforms(waveforms: np.ndarray, seed: int, config: TrialConfig = SMALL) -> np.ndarray:
    """The probabilities (B, K) that the network of a seed gives to waveforms."""
    features = log_mel(waveforms, config.front_end)
    return predict(make_network(seed, config), features, np.arange(len(waveforms)))


def output_shapes(network: nn.Module, x: Tensor) -> dict[str, tuple[int, ...]]:
    """The shape that each module gives, by name, as a network computes x; "" is the network itself."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in network.named_modules():
        module.register_forward_hook(
            lambda _, __, out, name=name: shapes.update({name: tuple(getattr(out, "shape", ()))})
        )
    network(x)
    return shapes
