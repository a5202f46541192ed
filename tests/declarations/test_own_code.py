"""A user's own source: what it defines, how it is run where its file is not, and what may be wrong with it."""

import inspect
import json
import pickle
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from audiotag.augment import build_augmentations
from audiotag.config import TrialConfig, augmentation_names, hyperparameter_names, network, network_names
from audiotag.declarations.catalogue import is_own, load
from audiotag.declarations.own_code import OwnCode, OwnCodeFailed, as_text, load_module, load_own, read_code
from audiotag.declarations.source import DeclarationError
from audiotag.features.log_mel import LogMel
from audiotag.models.build import build_network

ERASE = "def erase(x, y, rng, *, width: float = 0.25):\n    return x * width, y\n"
FAILING = "def fail(x, y, rng):\n    raise Oops('own', 3)\n"
NETWORK = """
import torch
from torch import nn
from audiotag.features.log_mel import LogMel

class Tiny(nn.Module):
    front_end = LogMel(n_mels=8)
    training_defaults = {"batch_size": 3}
    def __init__(self, n_columns, n_tags, *, units: int = 2):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_columns, units), nn.Linear(units, n_tags))
    def forward(self, x):
        return torch.sigmoid(self.layers(x).mean(dim=1))
"""


def code(text: str, helpers: dict[str, str] | None = None, package: str = "") -> OwnCode:
    return OwnCode("question.py", text, tuple(sorted((helpers or {}).items())), package)


# --- reference ---


def test_own_functions_and_classes_stand_beside_the_projects() -> None:
    own = code(ERASE + NETWORK)
    assert augmentation_names(own) == (*augmentation_names(), "erase")
    assert network_names(own) == (*network_names(), "Tiny")
    assert {"width", "units"} <= set(hyperparameter_names(own))
    assert "width" not in hyperparameter_names()
    config = TrialConfig(model="Tiny", augmentation="erase", units=5, code=own)
    assert (config.get("width"), config.get("batch_size"), config.front_end) == (0.25, 3, LogMel(n_mels=8))
    assert config.own_names == config.kept_names == ["Tiny", "erase"]
    assert TrialConfig(code=own).own_names == []
    assert build_network(config, 8, 3).layers[0].out_features == 5  # type: ignore[union-attr, index]
    (erase,) = build_augmentations(config)
    x, y = torch.ones(2, 3, 8), torch.ones(2, 1)
    assert torch.equal(erase(x, y, None)[0], x / 4)


@pytest.mark.parametrize("package", ["", "search_spaces"])
@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("from {}layers import Tiny", "Tiny"),
        ("from {}layers import Tiny as Small", "Small"),
        ("from {}parts.deep import Tiny", "Tiny"),
        ("from {}parts import Tiny", "Tiny"),
        ("from {}layers import *", "Tiny"),
    ],
)
def test_definitions_may_stand_in_helpers(line: str, name: str, package: str) -> None:
    helpers = {
        "layers.py": NETWORK,
        "parts/__init__.py": "from .deep import Tiny\n",
        "parts/deep.py": f"from {'search_spaces.' if package else ''}layers import Tiny\n",
    }
    text = line.format("search_spaces." if package else "")
    own = code(text, helpers, package)
    assert network_names(own)[-1] == name
    assert network(name, own).parameters == {"units": 2}
    assert load("model", name, own)(4, 2, units=3).layers[0].out_features == 3


def test_the_texts_are_run_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "values.py").write_text("WIDTH = 1\n")
    text = "def erase(x, y, rng):\n    import values\n    return values.WIDTH, y\n"
    own = code(f"import values\n{text}", {"values.py": "WIDTH = 2\n"})
    assert load_own("erase", own)(0, 0, None) == (2, 0)  # also where the module is imported later
    other = code(f"import values\n{text}", {"values.py": "WIDTH = 3\n"})
    assert load_own("erase", other)(0, 0, None) == (3, 0)
    assert str(tmp_path) not in sys.path


def test_a_file_is_run_in_the_encoding_that_it_declares() -> None:
    own = code("# -*- coding: latin-1 -*-\nNAME = 'Tür'\n")
    assert load_module(own).NAME == "Tür"


def test_code_survives_json() -> None:
    own = OwnCode("q.py", "a", (("h.py", "b"),), "p", (("m.n", "c"),))
    assert read_code(json.loads(json.dumps(asdict(own)))) == own


def test_a_number_that_is_to_be_a_float_may_be_written_as_an_int() -> None:
    text = "def erase(x, y, rng, *, width: float = 1, often: int = 1, on: bool = True): ..."
    config = TrialConfig(augmentation="erase", width=0.5, code=code(text))
    assert config.to_dict()["width"] == 0.5
    default = TrialConfig(augmentation="erase", code=code(text)).to_dict()
    assert [type(default[name]) for name in ("width", "often", "on")] == [float, int, bool]
    with pytest.raises(ValueError, match="must be a whole number"):
        TrialConfig(augmentation="erase", often=0.5, code=code(text))


def test_an_exception_of_own_code_is_told_with_its_line_and_without_its_type() -> None:
    """A worker's exception is pickled; one of a user's own may not be read again, and the driver may lack its type."""
    own = code("class Oops(Exception):\n    def __init__(self, a, b):\n        super().__init__(a)\n" + FAILING)
    (step,) = build_augmentations(TrialConfig(augmentation="fail", code=own))
    with pytest.raises(Exception, match="own") as caught:
        step(0, 0, None)
    told = pickle.loads(pickle.dumps(as_text(caught.value, own)))
    assert isinstance(told, OwnCodeFailed)
    assert str(told) == "Oops: own (line 5 of question.py)"
    with pytest.raises(ZeroDivisionError) as elsewhere:
        1 / 0  # noqa: B018
    assert as_text(elsewhere.value, own) is elsewhere.value


# --- packages ---


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with an augmentation and a network."""
    folder = tmp_path / "their_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "noise.py").write_text(ERASE + NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_a_package_s_function_and_class_are_named_with_their_module(package: Path) -> None:
    config = TrialConfig(model="their_package.noise:Tiny", augmentation="their_package.noise:erase", width=0.5)
    assert (config.get("units"), config.get("width")) == (2, 0.5)
    assert (config.own_names, config.kept_names) == ([config.model, config.augmentation], [])
    assert build_network(config, 4, 2).layers[1].out_features == 2  # type: ignore[union-attr, index]
    assert not is_own("augmentation", "none", None)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("their_package.noise:blur", "the module their_package.noise defines no `blur`"),
        ("their_package.nois:erase", r"module their_package\.nois cannot be used here \(there is no such module\)"),
        ("no_such_package.a:erase", r"cannot be used here \(ModuleNotFoundError"),
        (":erase", "':erase', but must be 'package.module:name'"),
        ("their_package.noise:", "must be 'package.module:name'"),
        ("their_package/noise.py:erase", "must be 'package.module:name'"),
        ("their_package.noise:Tiny", "is no function"),
    ],
)
def test_a_package_without_it_is_one_line(name: str, match: str, package: Path) -> None:
    with pytest.raises(ValueError, match=match):
        TrialConfig(augmentation=name)


def test_a_package_of_another_version_is_refused(package: Path) -> None:
    own = OwnCode("q.py", "", modules=(("their_package.noise", ERASE + "# another\n"),))
    config = TrialConfig(augmentation="their_package.noise:erase", code=own)
    with pytest.raises(DeclarationError, match=r"their_package\.noise is another one here than the study's"):
        build_augmentations(config)


# --- malformed ---


def test_a_function_with_an_underscore_is_not_named_by_trials() -> None:
    with pytest.raises(DeclarationError, match=r"`_erase` in question\.py begins with an underscore"):
        TrialConfig(augmentation="_erase", code=code(ERASE.replace("erase", "_erase")))


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (
            "def __init__(self, n_columns, n_tags, *,",
            "def __init__(self, bands, n_tags, *,",
            r"must begin with \(self,",
        ),
        ("def __init__", "def build", r"must be written out, even if a base class has one, and begin with \(self,"),
        ("n_mels=8", "n_mels=N", r"must be a LogMel\(\.\.\.\) of .*n_mels \(int\), .*, written out"),
        ("n_mels=8", "n_mels='8'", r"n_mels \(int\)"),
        ("n_mels=8", "n_mels=8.0", r"n_mels \(int\)"),
        ("n_mels=8", "n_mels=0", r"n_mels \(int\)"),
        ("n_mels=8", "n_mels=True", r"n_mels \(int\)"),
        ("n_mels=8", "mels=8", r"n_mels \(int\)"),
        ("n_mels=8", "imd=1", r"imd \(bool\)"),
        ("n_mels=8", "imd=True", "`front_end` of the class `Tiny` in question.py cannot be: The value of `power`"),
    ],
)
def test_what_a_network_s_source_lacks_is_one_line(old: str, new: str, match: str) -> None:
    assert NETWORK.count(old) == 1
    with pytest.raises(DeclarationError, match=match):
        TrialConfig(model="Tiny", code=code(NETWORK.replace(old, new)))


@pytest.mark.parametrize(
    ("text", "values", "match"),
    [
        ("def erase(x, y, rnd, *, width=1.0): ...", {}, r"`erase` in question\.py must begin with \(x, y, rng, \*\)"),
        ("def erase(x, y, rng, *, width): ...", {}, "The default of `width` of the function `erase`"),
        ("pass", {}, "must be one of none, .*"),
        (
            "erase = lambda x, y, rng: (x, y)",
            {},
            r"which question\.py must define by `def erase\(x, y, rng, \*, \.\.\.\)`",
        ),
        ("async " + ERASE, {}, r"must define by `def erase\("),
        (f"if True:\n    {ERASE.replace('    ', '        ')}", {}, r"must define by `def erase\(.*, not indented"),
        (
            "from noises.all import hum as erase",
            {},
            "which question.py imports from noises.all: name it 'noises.all:hum'",
        ),
        ("class erase: ...", {}, "`erase` in question.py is no function"),
        (ERASE, {"widht": 0.1}, "Unknown hyperparameter `widht`: .*width"),
        (ERASE, {"width": "a"}, "The value of `width` is 'a', but must be a finite number"),
        (ERASE + "def mixup(x, y, rng): ...", {}, "The name of the function `mixup` in question.py is taken"),
        (ERASE + "class CRNN:\n    def __init__(self, n_columns, n_tags): ...", {}, ""),
        ("def erase(x, y, rng:\n", {}, r"question\.py is not valid Python: .* in line 1"),
        (ERASE.replace("width:", "dropout:"), {}, "hyperparameter `dropout` of erase is taken by crnn: rename it"),
        (ERASE.replace("width:", "patience:"), {}, "hyperparameter `patience` of erase is taken by the training"),
        (ERASE.replace("width:", "code:"), {}, "hyperparameter `code` of erase is taken by the training"),
    ],
)
def test_what_a_source_lacks_is_one_line(text: str, values: dict[str, float], match: str) -> None:
    if not match:
        assert TrialConfig(augmentation="erase", code=code(text)).augmentation == "erase"  # CRNN is the name of no file
        return
    with pytest.raises(ValueError, match=match):
        TrialConfig.from_dict({"augmentation": "erase", **values}, code(text))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("\n1 / 0\n", r"question\.py cannot be run: ZeroDivisionError: .* \(line 2 of question\.py\)"),
        ("import sys\nsys.exit(3)\n", r"it calls sys\.exit \(line 2 of question\.py\)"),
        ("import no_such_module\n", "ModuleNotFoundError"),
        ("open('noise.npy')\n", r"line 1 of question\.py\); the source is run alone, .*absolute paths\.$"),
        ("import broken\n", r"\(line 3 of broken\.py\)"),
    ],
)
def test_a_file_that_cannot_be_run_says_where(text: str, match: str) -> None:
    with pytest.raises(DeclarationError, match=match):
        load_own("erase", code(text + ERASE, {"broken.py": "\n\n1 / 0\n"}))


@pytest.mark.parametrize("text", [ERASE, "def f(x, y, rng):\n    return x, y\n\n1 / 0\n"])
def test_what_was_run_leaves_no_folder_and_still_shows_its_lines(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is killed deletes nothing, and there are many of them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own = code(f"{text}# of its own: {tmp_path.name}\n")
    with suppress(DeclarationError):
        module = load_module(own)
        assert inspect.getsource(module.erase) == ERASE
    assert list(tmp_path.iterdir()) == []
