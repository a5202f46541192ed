"""Own augmentations and networks that are tried before anything is trained: what passes, and what is refused."""

import pytest

from audiotag.config import TrialConfig
from audiotag.declarations.own_code import OwnCode
from audiotag.training.try_out import TryOutError, try_out

GOOD = "return x.flip(1), y"
NETWORK = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self, n_columns, n_tags):
        super().__init__()
        self.layer = nn.Linear(n_columns, n_tags)
    def forward(self, x):
        return torch.sigmoid(self.layer(x).mean(dim=1))
"""


def tried(text: str, **values: str) -> None:
    try_out(TrialConfig(code=OwnCode("question.py", text), **values), frames=20, n_tags=3)


def augmenting(body: str, arguments: str = "x, y, rng", before: str = "") -> str:
    return f"import numpy as np\nimport torch\n{before}\ndef own({arguments}):\n    {body}\n"


@pytest.mark.parametrize(
    "body",
    [
        GOOD,
        "return x + float(rng.normal()), y * rng.random()",
        "x = x.clone(); x[:, :3] = 0; return x, y",
        "return x, y",
    ],
)
def test_what_keeps_the_contract_passes(body: str) -> None:
    tried(augmenting(body), augmentation="own")
    tried(augmenting(body), augmentation="mixup+own")
    tried(augmenting(body), augmentation="pitch_shift+own")
    tried(augmenting(f"assert front_end.n_mels == x.shape[2]; {body}", "x, y, rng, front_end"), augmentation="own")
    tried(NETWORK, model="Tiny")


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("return x[:, :9], y", r"returns features \[4, 9, 128\] \(float32\), but they must be \[4, 20, 128\]"),
        ("return x, y[:1]", r"returns targets \[1, 3\]"),
        ("return x.double(), y", r"features \[4, 20, 128\] \(float64\), but they must be .*\(float32\)"),
        ("return x * np.nan, y", "returns features with NaN"),
        ("return x, y / 0", "returns targets with NaN or infinity"),
        ("return x, y + 0.5", r"returns targets from 0\.5 to 1\.5, but they must be in \[0, 1\]"),
        ("return x", r"returns \[4, 20, 128\] \(float32\), but must return features and targets"),
        ("return x, y, y", "returns a tuple of 3"),
        ("x.flip(1), y", "returns nothing"),
        ("return x.numpy(), y", "returns a tuple of 2"),
        ("x += 1; return x, y", r"`own` changes what it is given: make a copy first"),
        ("return x + torch.rand(1), y", "draws other numbers each time: draw all of them from `rng`"),
        ("return x + np.random.rand(), y", "draws other numbers each time"),
        ("return x @ y, y", r"`own` cannot be run: RuntimeError: .* \(line 5 of question\.py\)"),
        ("import sys; sys.exit(1)", r"it calls sys\.exit \(line 5 of question\.py\)"),
    ],
)
def test_an_augmentation_that_breaks_it_is_one_line(body: str, match: str) -> None:
    with pytest.raises(TryOutError, match=match) as caught:
        tried(augmenting(body), augmentation="own")
    assert "\n" not in str(caught.value)
    assert "`own`" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("torch.sigmoid(", "(", r"returns values from -.* to .*, but must return probabilities in \[0, 1\]"),
        (".mean(dim=1)", "", r"returns \[4, 20, 3\] \(float32\) of features \[4, 20, 128\], but must .* \[4, 3\]"),
        ("torch.sigmoid(", "torch.log(-1 - 0 * ", "returns NaN or infinity"),
        (
            "n_columns, n_tags)\n    def",
            "7, n_tags)\n    def",
            r"cannot be run: RuntimeError: .* \(line \d+ of question",
        ),
        ("self.layer = ", "self.scale = ", r"cannot be run: KeyError: .*scale"),
        ("nn.Module", "", "cannot be run"),
        (
            "self.layer(x).mean(dim=1))",
            "torch.zeros(len(x), 3))",
            "has no parameter that its output depends on: there is nothing to train",
        ),
    ],
)
def test_a_network_that_breaks_it_is_one_line(old: str, new: str, match: str) -> None:
    assert old in NETWORK
    with pytest.raises(TryOutError, match=match) as caught:
        tried(NETWORK.replace(old, new, 1), model="Tiny")
    assert "\n" not in str(caught.value)
    assert "`Tiny`" in str(caught.value)


def test_what_is_the_project_s_is_not_tried() -> None:
    try_out(TrialConfig(augmentation="mixup", alpha=1.0), frames=1, n_tags=3)  # the network takes no single frame
