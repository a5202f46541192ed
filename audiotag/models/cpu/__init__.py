"""The networks' slow layers as compiled loops for CPUs; optional: `audiotag.models.layers` has each in plain torch."""

from audiotag.models.cpu.gru import bidirectional_gru
from audiotag.models.cpu.norm_pool import norm_pool_elu_dropout
from audiotag.models.cpu.winograd import winograd, winograd_fits

__all__ = ["bidirectional_gru", "norm_pool_elu_dropout", "winograd", "winograd_fits"]
