"""A network made of a configuration. Here configurations end: networks take keyword arguments."""

from typing import Any

import torch
from torch import Tensor, nn

from audiotag.config import TrialConfig
from audiotag.declarations.catalogue import load


def build_network(
    config: TrialConfig, n_columns: int, n_tags: int, mean: Tensor | None = None, scale: Tensor | None = None
) -> nn.Module:
    """Build the network of a configuration, with fresh weights, for features of `n_columns` columns F.

    Mean and standard deviation (F,) of the training clips become buffers, which `standardise` uses: they are kept in
    the state dict, so that weights and standardisation cannot part. Without them it does nothing until a state dict is
    loaded. The network's `precision` is for `audiotag.models.precision`, its `loss` for `audiotag.training.loss`.
    """
    network = load("model", config.model, config.code)(n_columns, n_tags, **config.network)
    network.register_buffer("mean", torch.zeros(n_columns) if mean is None else mean)
    network.register_buffer("scale", torch.ones(n_columns) if scale is None else scale)
    network.precision, network.loss = config.precision, config.loss
    return network


def standardise(network: Any, x: Tensor) -> Tensor:
    """Standardise features (..., F) with the network's own statistics."""
    return (x - network.mean) / network.scale
