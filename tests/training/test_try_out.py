"""Own augmentations and networks that are tried before anything is trained: what passes, and what is refused."""

import pytest

from audiotag.config import TrialConfig
from audiotag.declarations.own_code import OwnCode
from audiotag.training.try_out import TryOutError, try_out

GOOD = "return x.flip(1), y"
FULL = "from audiotag.models.precision import FullLinear"
NETWORK = """
import numpy as np
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
        ("return x.numpy(), y", r"returns a tuple of 2 \(ndarray, Tensor\)"),
        ("x += 1; return x, y", r"`own` changes the features that it is given: make a copy first \(`x = x\.clone"),
        ("y *= 0; return x, y", r"`own` changes the targets that it is given: make a copy first \(`y = y\.clone"),
        (
            "return x + torch.rand(1), y",
            "gives other features or targets each time: draw all random numbers from `rng`",
        ),
        ("return x + np.random.rand(), y", "gives other features or targets each time"),
        ("own.calls = getattr(own, 'calls', 0) + 1; return x + own.calls, y", "each time: .* and keep no state"),
        ("return x + np.load('noise.npy'), y", r"No such file .*line 5.*: name other files by their absolute paths"),
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
        ("self.layer = ", "self.scale = self.layer = ", "has an attribute `scale`, which is what the study sets"),
        ("self.layer = ", "self.precision = 1; self.layer = ", "has an attribute `precision`"),
        ("self.layer = ", "self.score = self.layer = ", "has an attribute `score`, which only networks of `segments`"),
        ("nn.Module", "", r"must be a subclass of torch\.nn\.Module"),
        (
            "nn.Linear(n_columns, n_tags)",
            "nn.LazyLinear(n_tags)",
            "cannot be run: ValueError: .*uninitialized parameter",
        ),
        ("nn.Linear(n_columns, n_tags)", "nn.Conv3d(1, 1, 1)", "cannot be run: RuntimeError: .*rank 4"),
        (
            "torch.sigmoid(",
            "(torch.sigmoid if self.training else torch.exp)(10 + ",
            "when it scores, returns values from",
        ),
        (".mean(dim=1)", ".mean(dim=1)[:4 if self.training else 2]", r"when it scores, returns \[2, 3\]"),
        ("return torch.sigmoid(", "assert self.training; return torch.sigmoid(", "cannot be run: AssertionError"),
        (
            "self.layer(x)",
            "self.layer(x + np.random.rand())",
            "gives other probabilities each time: draw all .* torch's",
        ),
        (
            "    def forward",
            "        self.layer.weight.data *= np.random.rand()\n    def forward",
            "each time: draw all .* torch's",
        ),
        (
            "def forward",
            "def frame_curves(self, x): return self.layer(x)\n    def forward",
            "curves` of the network `Tiny`",
        ),
        (
            "def forward",
            "def frame_curves(self, x): return self(x)\n    def forward",
            r"returns \[3, 3\] \(float32\), but must return curves \[3, points, 3\]",
        ),
        ("def forward", "def frame_curves(self, x): return self.layer(x).sigmoid()\n    def forward", ""),
        (
            "self.layer(x).mean(dim=1))",
            "torch.zeros(len(x), 3))",
            "has no parameter that its output depends on: there is nothing to train",
        ),
    ],
)
def test_a_network_that_breaks_it_is_one_line(old: str, new: str, match: str) -> None:
    assert old in NETWORK
    if not match:
        tried(NETWORK.replace(old, new, 1), model="Tiny")
        return
    with pytest.raises(TryOutError, match=match) as caught:
        tried(NETWORK.replace(old, new, 1), model="Tiny")
    assert "\n" not in str(caught.value)
    assert "`Tiny`" in str(caught.value)


def test_a_network_keeps_its_scores_in_fp32_under_bf16_too() -> None:
    """Eight bits would tie them; torch's loss takes no others beside targets in fp32."""
    with pytest.raises(TryOutError, match=r"returns \[4, 3\] \(bfloat16\), but must .* a `FullLinear`"):
        tried(NETWORK, model="Tiny", precision="bf16")
    full = NETWORK.replace("nn.Linear", "FullLinear").replace("import torch\n", f"import torch\n{FULL}\n")
    tried(full, model="Tiny", precision="bf16")


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("front_end = LogMel(n_mels=8)", "front_end"),
        ("training_defaults = {'batch_size': 3}", "training_defaults"),
        ("quick = {'patience': 1}", "quick"),
        ("def frame_curves(self, x): return self.layer(x).sigmoid()", "frame_curves"),
    ],
)
def test_what_a_network_inherits_must_stand_in_its_own_source(attribute: str, name: str) -> None:
    """The study reads it there alone: features of another front end would be trained on without a word."""
    base = f"from audiotag.features.log_mel import LogMel\n{NETWORK.replace('Tiny', 'Base')}    {attribute}\n"
    derived = (
        "class Tiny(Base):\n    {}\n    def __init__(self, n_columns, n_tags): super().__init__(n_columns, n_tags)\n"
    )
    tried(base + derived.format(attribute), model="Tiny")
    with pytest.raises(
        TryOutError, match=f"`Tiny` has another `{name}` than its source says: write it out in the class"
    ):
        tried(base + derived.format("pass"), model="Tiny")


SEGMENTS = """
import torch
from torch import nn
from audiotag.models.segments import Pretraining, Segmentation

class Cut(nn.Module):
    segments = Segmentation(5, 5)
    pretraining = Pretraining(1, Segmentation(4, 4), 2, 0.1, 0.9)
    def __init__(self, n_columns, n_tags):
        super().__init__()
        self.layer = nn.Linear(5 * n_columns, n_tags)
    def forward(self, x):
        return self.layer(x.flatten(1)).sigmoid()
    def score(self, x):
        return self(x[:, :5])
    def pretraining_loss(self, x):
        return x.mean() * self.layer.weight.sum()
"""


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("pass", "pass", ""),
        ("x[:, :5]", "x", "cannot be run: RuntimeError: mat1 and mat2"),
        ("x.mean() *", "x.mean((0, 1)) @", "cannot be run: RuntimeError"),
        ("def score", "def scores", "cannot be run: RuntimeError"),
        (
            "segments = Segmentation(5, 5)",
            "segments = 5",
            "cannot be run: AttributeError: 'int' object has no attribute",
        ),
    ],
)
def test_networks_of_segments_are_tried_with_all_their_methods(old: str, new: str, match: str) -> None:
    text = SEGMENTS.replace(old, new)
    if not match:
        tried(text, model="Cut")
        return
    with pytest.raises(TryOutError, match=match):
        tried(text, model="Cut")


def test_augmentations_get_segments_where_the_network_trains_on_them() -> None:
    text = augmenting("assert x.shape[1] == 5; return x, y") + SEGMENTS
    tried(text, model="Cut", augmentation="own")
    with pytest.raises(TryOutError, match="AssertionError"):
        tried(text, augmentation="own")


def test_what_own_code_prints_is_no_output_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    tried(f"print('above')\n{augmenting('print(1); return x, y')}", augmentation="own")
    assert capsys.readouterr() == ("", "above\n1\n1\n")


def test_what_is_the_project_s_is_not_tried() -> None:
    try_out(TrialConfig(augmentation="mixup", alpha=1.0), frames=1, n_tags=3)  # the network takes no single frame


def test_unknown_labels_may_come_back_and_must_not_reach_the_features() -> None:
    def partly(body: str) -> None:
        try_out(TrialConfig(code=OwnCode("question.py", augmenting(body)), augmentation="own"), 20, 3, partly=True)

    partly("return x.flip(1), y")
    partly("return x, 0.5 * y + 0.5 * y[rng.permutation(len(y))]")
    with pytest.raises(TryOutError, match="returns features with NaN"):
        partly("return x * y.mean(dim=1)[:, None, None], y")
