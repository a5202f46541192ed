"""What the sources of networks and augmentations say of them."""

import ast
import inspect
from pathlib import Path

import pytest

from audiotag.config import augmentation, augmentation_names, network, network_names
from audiotag.declarations.augmentations import Augmentation, read_augmentation
from audiotag.declarations.catalogue import load, read_augmentations, read_networks
from audiotag.declarations.networks import QUICK, Network, read_network
from audiotag.declarations.source import DeclarationError
from audiotag.features.log_mel import LogMel

TRAINING = ["batch_size", "max_epochs", "patience"]


@pytest.mark.parametrize("name", network_names())
def test_a_network_is_read_as_python_reads_it(name: str) -> None:
    declared, found = network(name), load("model", name)
    signature = inspect.signature(found)
    keywords = [part for part in signature.parameters.values() if part.kind is part.KEYWORD_ONLY]
    assert dict(declared.parameters) == {part.name: part.default for part in keywords}
    assert len(signature.parameters) == len(keywords) + 2
    assert declared.training_defaults == getattr(found, "training_defaults", {})
    assert declared.quick == getattr(found, "quick", QUICK)
    assert declared.front_end == getattr(found, "front_end", LogMel())
    assert declared.has_curves == hasattr(found, "frame_curves")
    assert declared.mixing_layers == getattr(found, "mixing_layers", ())


@pytest.mark.parametrize("name", augmentation_names()[1:])
def test_an_augmentation_is_read_as_python_reads_it(name: str) -> None:
    declared = augmentation(name)
    signature = inspect.signature(load("augmentation", name))
    keywords = [part for part in signature.parameters.values() if part.kind is part.KEYWORD_ONLY]
    assert dict(declared.parameters) == {part.name: part.default for part in keywords}


def network_in(folder: Path, text: str) -> Network:
    """The declaration of the network in small.py, which stands alone in a folder."""
    (folder / "small.py").write_text(text)
    source = read_networks(folder)["small"]
    assert isinstance(source.node, ast.ClassDef)
    return read_network(source.node, source.file, TRAINING)


def augmentations_in(folder: Path, text: str) -> dict[str, Augmentation]:
    """The declarations of the augmentations in own.py, which stands alone in a folder."""
    (folder / "own.py").write_text(text)
    return {
        name: read_augmentation(source.tree, source.node, source.file)
        for name, source in read_augmentations(folder).items()
        if isinstance(source.node, ast.FunctionDef)
    }


NETWORK = """
class Small(nn.Module):
    def __init__(self, n_columns, n_tags, *, width: int = 0, gain: float = 1.5, name: str = "a"): ...
"""


def test_a_new_network_needs_no_more_than_a_class(tmp_path: Path) -> None:
    found = network_in(tmp_path, NETWORK)
    assert dict(found.parameters) == {"width": 0, "gain": 1.5, "name": "a"}
    assert (found.front_end, found.training_defaults, found.has_curves) == (LogMel(), {}, False)
    assert found.quick == {"max_epochs": 4, "patience": 4}


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("class", "clas", r"small\.py is not valid Python: .* in line 2"),
        ("n_columns", "bands", r"`Small` .* must begin with \(self, n_columns, n_tags, \*\)"),
        ("0", "[1]", "The default of `width` of the class `Small` .* must be a bool, an int"),
        (": int = 0", "", "The default of `width`"),
        ("1.5", "math.pi", "The default of `gain`"),
        ("...", "...\n    quick = {'epochs': 3}", "The attribute `quick` .* must be a dict of .*width"),
        ("...", "...\n    training_defaults = make()", "The attribute `training_defaults` .* must be a dict"),
        ("...", "...\n    front_end = LogMel(n_mel=3)", r"`front_end` .* must be a LogMel\(\.\.\.\) of .*n_mels"),
        ("...", "...\n    front_end = OTHER", "`front_end`"),
        ("...", "...\n    mixing_layers = ['a']", "The attribute `mixing_layers` .* must be a tuple of names"),
    ],
)
def test_a_malformed_network_is_one_line(old: str, new: str, match: str, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=match):
        network_in(tmp_path, NETWORK.replace(old, new))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("def none(x, y, rng): ...", "The name of the function `none` .* is taken"),
        ("def a(x, y, rng): ...\ndef a(x, y, rng): ...", "The name of the function `a` .* is taken"),
        ("def a(x, y, rng, *, size=(1, 2)): ...", "The default of `size` of the function `a`"),
        ("def a(x, y, rng, *, b=1): ...\nRESTRICTIONS = {'a': [('c', 1, {}, '')]}", r"`RESTRICTIONS` in .*own\.py"),
        ("def a(x, y, rng, *, b=1): ...\nRESTRICTIONS = {'a': [('b', 1)]}", r"`RESTRICTIONS` in .*own\.py"),
        ("def a(x, y, rng, *, b=1): ...\nRESTRICTIONS = make()", r"`RESTRICTIONS` in .*own\.py"),
    ],
)
def test_a_malformed_augmentation_is_one_line(text: str, match: str, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=match):
        augmentations_in(tmp_path, text)


def test_choices_and_restrictions_are_read_from_the_source(tmp_path: Path) -> None:
    found = augmentations_in(
        tmp_path,
        "RESTRICTIONS = {'a': [('b', 'x', {'c': []}, 'why')]}\n"
        "def a(x, y, rng, front_end, *, b: Literal['x', 'y'] = 'y', c: Literal['z'] = 'z', d: str = 'w'): ...",
    )["a"]
    assert found.takes_front_end
    assert found.choices == {"b": ("x", "y"), "c": ("z",)}
    (restriction,) = found.restrictions
    assert (restriction.name, restriction.value, restriction.others) == ("b", "x", {"c": []})


@pytest.mark.parametrize("name", augmentation_names())
def test_restrictions_name_values_that_there_are(name: str) -> None:
    declared = augmentation(name)
    for each in declared.restrictions:
        assert each.value in declared.choices[each.name]
        assert each.reason
        for other, allowed in each.others.items():
            assert set(allowed) < set(declared.choices.get(other, ()) or [0])


def test_only_functions_of_a_batch_are_augmentations(tmp_path: Path) -> None:
    found = augmentations_in(tmp_path, "def _a(x, y, rng): ...\ndef b(epoch): ...\ndef c(x, y, rng, *, p=0.5): ...")
    assert {name: dict(declared.parameters) for name, declared in found.items()} == {"c": {"p": 0.5}}


def test_a_class_of_another_name_is_no_network_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "small.py").write_text(NETWORK.replace("Small", "Large"))
    assert read_networks(tmp_path) == {}
