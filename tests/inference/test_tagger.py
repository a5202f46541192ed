import numpy as np
import pytest
from torch import nn

from audiotag.features.log_mel import LogMel
from audiotag.inference.tagger import Tagger


def test_a_network_without_curves_says_so() -> None:
    tagger = Tagger(nn.Linear(2, 2), LogMel(), ("a", "b"))
    with pytest.raises(ValueError, match="Linear has no curves over time"):
        tagger.curves(np.zeros((1, 3, 2), np.float32))
