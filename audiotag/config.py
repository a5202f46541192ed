"""The hyperparameters of one trial.

A network is a class in a file of its own in models/, an augmentation a function in augment/. Their keyword-only
arguments are hyperparameters; the defaults stand in their signatures and nowhere else (`audiotag.declarations`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from audiotag.declarations import catalogue
from audiotag.declarations.augmentations import Augmentation, Restriction
from audiotag.declarations.catalogue import NO_AUGMENTATION, augmentation_names, network_names, split_chain
from audiotag.declarations.networks import Network
from audiotag.declarations.own_code import BETWEEN, OwnCode
from audiotag.declarations.source import Choices, DeclarationError, Value, Values
from audiotag.features.log_mel import LogMel

SCHEDULES = ("always", "intermittent")
OPTIMIZERS = ("adam", "sgd")
PRECISIONS = ("fp32", "bf16")
SAMPLINGS = ("uniform", "balanced")
LOSSES = ("bce", "cross_entropy")
WINDOW_SCORES = ("mean", "loudest")

# What a value must be beyond its default's type: of the training's texts; of numbers, by name
CHOICES: dict[str, Choices] = {
    "schedule": SCHEDULES,
    "optimizer": OPTIMIZERS,
    "loss": LOSSES,
    "sampling": SAMPLINGS,
    "precision": PRECISIONS,
    "window_scores": WINDOW_SCORES,
}
NOT_NEGATIVE = (0.0, math.inf, "a number in [0, inf)")
SHARE = (0.0, math.nextafter(1.0, 2.0), "a number in [0, 1]")
RANGES = {  # low <= value < high
    "alpha": NOT_NEGATIVE,
    "band_share": SHARE,
    "crop_seconds": NOT_NEGATIVE,
    "dropout": (0.0, 1.0, "a number in [0, 1)"),
    "frame_share": SHARE,
    "high_weight": SHARE,
    "learning_rate": (math.ulp(0.0), math.inf, "a positive number"),
    "low_weight": SHARE,
    "max_gain": NOT_NEGATIVE,
    "max_seconds": NOT_NEGATIVE,
    "probability": SHARE,
    "variant_probability": SHARE,
}
DOMAIN, WAVEFORM = "domain", "waveform"  # a hyperparameter and its value of augmentations of batches of waveforms
APART = ("network", "augmenting", "code")  # fields of a configuration that are no hyperparameters
OF_AUGMENTATIONS = ("schedule", "variants", "variant_probability", "recordings")  # not of every trial
# Of a hyperparameter that a trial does not have, these say nothing: earlier studies and users' spaces hold them
NEUTRAL = (0, "always", "direct")


@dataclass(frozen=True, init=False)
class TrialConfig:
    """Every hyperparameter of a trial, flat from outside: `TrialConfig(model="crnn", dropout=0.2).dropout`.

    The keyword, the Optuna parameter, the MLflow parameter and the table column are the same word. The fields are the
    training's own; every other name belongs to the chosen network or augmentation. What is left out takes its default.
    Comments tell what is from the paper ("Sample mixed-based data augmentation for domestic audio tagging", Wei et al.
    2018) and what is open in it.

    Raises:
        ValueError: For a name that is not a hyperparameter of this trial, or a value out of its range.
    """

    model: str = "crnn"  # a file in models/, or a class of a user's own
    augmentation: str = NO_AUGMENTATION  # a function in augment/, or of a user's own, or several: "mixup+spec_augment"
    schedule: str = "always"  # in which epochs the augmentation is on; intermittent: SamplePairing's own paper
    variants: int = 4  # of each training clip, where the augmentation changes waveforms
    variant_probability: float = 0.5  # that one of them takes a training clip's place in an epoch
    recordings: str = ""  # folder of background noise for these; without it other training clips are the noise
    optimizer: str = "adam"  # open in the paper; sgd has a momentum of 0.9
    learning_rate: float = 1e-3  # open in the paper
    batch_size: int = 44  # clips, or segments of clips; of the CRNN from the paper
    loss: str = "bce"  # binary cross-entropy per tag, from the paper; cross_entropy: over tags, of one per clip
    sampling: str = "uniform"  # which clips an epoch trains on; balanced: those with rare tags more often
    crop_seconds: float = 0.0  # of the random window of each clip that an epoch trains on; 0: whole clips
    window_scores: str = "mean"  # what a clip scores of the windows that cover it; loudest: the scores of that one
    max_epochs: int = 200  # open in the paper
    patience: int = 20  # epochs without a lower validation loss, from the paper
    precision: str = "fp32"  # of convolutions and matrix products; open in the paper
    cuda_graphs: bool = False  # whether a GPU records the training step and replays it (docs/performance.md)
    network: Values = field(default_factory=dict, hash=False)  # keyword arguments of the network
    augmenting: Values = field(default_factory=dict, hash=False)  # and of the augmentation
    code: OwnCode | None = None  # of a user's own networks and augmentations

    def __init__(self, *, code: OwnCode | None = None, **values: Any) -> None:
        given = {**values.pop("network", {}), **values.pop("augmenting", {}), **values}  # as `replace` hands them over
        chosen = {name: given.pop(name, getattr(TrialConfig, name)) for name in ("model", "augmentation")}
        declared, augmenting = network(chosen["model"], code), augmentation(chosen["augmentation"], code)
        if augmenting.takes_network and not declared.mixing_layers:
            raise ValueError(
                f"The value of `augmentation` is {chosen['augmentation']!r}, which mixes inside a network, but "
                f"`{chosen['model']}` has no layers for it (`mixing_layers`): choose another."
            )
        defaults = _in_order([augmenting.parameters], [declared.parameters])
        _refuse_common({chosen["augmentation"]: augmenting.parameters, chosen["model"]: declared.parameters})
        for name in _lacking(chosen["augmentation"], augmenting):
            del defaults[name]
        for name, value in given.items():
            if name not in defaults:
                _refuse(name, value, chosen, list(defaults), code)
        found = {name: (declared.training_defaults | given).get(name, default) for name, default in defaults.items()}
        choices = {**CHOICES, **declared.choices, **augmenting.choices}
        for name, value in found.items():
            _check(name, value, defaults[name], choices.get(name))
        for restriction in augmenting.restrictions:
            _restrict(found, given, restriction)
        if found["precision"] == "bf16" and "convolution" in found:
            found["convolution"] = "direct"  # Winograd's is fp32: what is recorded is what runs
        if found["cuda_graphs"]:
            _refuse_recording(chosen, augmenting, code)
        parts = {"network": declared.parameters, "augmenting": augmenting.parameters}
        apart = {part: {name: found[name] for name in names if name in found} for part, names in parts.items()}
        self.__dict__.update(chosen | found | apart | {"code": code})  # every name is an attribute
        _check_order(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], code: OwnCode | None = None) -> "TrialConfig":
        """Build a configuration from plain values; what is left out is the network's default."""
        return cls(code=code, **values)

    def to_dict(self) -> dict[str, Value]:
        """Give the hyperparameters that this trial has, and no others, as plain values that JSON holds."""
        return {name: value for name, value in vars(self).items() if name not in APART}

    def get(self, name: str) -> Any:
        """Give a hyperparameter's value; None where this trial has no such thing."""
        return self.to_dict().get(name)

    @property
    def front_end(self) -> LogMel:
        """The network's front end; with the inter-channel difference where `imd` is on."""
        declared = network(self.model, self.code).front_end
        return replace(declared, imd=True) if self.network.get("imd") else declared

    @property
    def mixes_waveforms(self) -> bool:
        """Whether the first of its augmentations of batches gets waveforms, before the front end."""
        return any(bare(name) == DOMAIN and value == WAVEFORM for name, value in self.augmenting.items())

    @property
    def waveform_parts(self) -> list[str]:
        """The augmentations of its chain that change waveforms: the first ones."""
        parts = split_chain(self.augmentation)
        return [part for part in parts if catalogue.augmentation(part, self.code).of_waveforms]

    @property
    def waveform_parameters(self) -> list[str]:
        """The hyperparameters of these."""
        names = chain_parameters(self.augmentation, self.code)
        return [name for part in self.waveform_parts for name in names[part].values()]

    @property
    def own_names(self) -> list[str]:
        """The names of its network and augmentations that are not the project's."""
        kinds = [("model", self.model), *(("augmentation", part) for part in split_chain(self.augmentation))]
        return [name for kind, name in kinds if catalogue.is_own(kind, name, self.code)]

    @property
    def kept_names(self) -> list[str]:
        """Those of them that `code` itself defines, and no installed package."""
        return [name for name in self.own_names if BETWEEN not in name]


def hyperparameter_names(code: OwnCode | None = None) -> list[str]:
    """Give the names of all hyperparameters of any network and augmentation, in the order of a table's columns."""
    augmentations = [augmentation(name, code).parameters for name in augmentation_names(code)]
    networks = [network(name, code).parameters for name in network_names(code)]
    return ["model", "augmentation", *_in_order(augmentations, networks)]


def network(name: str, code: OwnCode | None = None) -> Network:
    """Read a network's declaration from its source; ValueError where there is none."""
    _require_text("model", name, network_names(code))
    return catalogue.network(name, tuple(_training_defaults()), code)


def augmentation(name: str, code: OwnCode | None = None) -> Augmentation:
    """Read an augmentation's declaration from its source, a chain's from those of its parts.

    A hyperparameter that two parts of a chain have is named after its augmentation too: `mixup.alpha`.

    Raises:
        ValueError: Where there is none, or a chain has one twice, or waveforms would be changed after features.
    """
    _require_text("augmentation", name, augmentation_names(code))
    names = split_chain(name)
    if len(names) == 1:
        return catalogue.augmentation(name, code)
    parts = [catalogue.augmentation(part, code) for part in names]
    if NO_AUGMENTATION in names or len(set(names)) < len(names):
        raise ValueError(f"The value of `augmentation` is {name!r}, but a chain has no `none`, and none twice.")
    later = [part.of_waveforms for part in parts]
    if later != sorted(later, reverse=True):
        first = names[later.index(True)]
        raise ValueError(f"The value of `augmentation` is {name!r}, but {first} changes waveforms: put it first.")
    renamed = [_rename(part, own) for part, own in zip(parts, chain_parameters(name, code).values(), strict=True)]
    return Augmentation(
        parameters={key: value for part in renamed for key, value in part.parameters.items()},
        choices={key: value for part in renamed for key, value in part.choices.items()},
        restrictions=tuple(restriction for part in renamed for restriction in part.restrictions),
        takes_network=any(part.takes_network for part in parts),
        of_waveforms=any(part.of_waveforms for part in parts),
        takes_noise=any(part.takes_noise for part in parts),
    )


def chain_parameters(name: str, code: OwnCode | None = None) -> dict[str, dict[str, str]]:
    """Give the hyperparameters of each augmentation of a chain: by its own word for one the trial's."""
    parts = {part: catalogue.augmentation(part, code).parameters for part in split_chain(name)}
    words = [word for parameters in parts.values() for word in parameters]
    return {
        part: {word: word if words.count(word) == 1 else f"{part}.{word}" for word in parameters}
        for part, parameters in parts.items()
    }


def _rename(part: Augmentation, names: Mapping[str, str]) -> Augmentation:
    """A declaration whose hyperparameters have other names."""
    return Augmentation(
        parameters={names[key]: value for key, value in part.parameters.items()},
        choices={names[key]: value for key, value in part.choices.items()},
        restrictions=tuple(
            replace(each, name=names[each.name], others={names[key]: value for key, value in each.others.items()})
            for each in part.restrictions
        ),
    )


def _training_defaults() -> dict[str, Value]:
    """The training's own hyperparameters with their defaults."""
    apart = ("model", "augmentation", *APART)
    return {entry.name: entry.default for entry in fields(TrialConfig) if entry.name not in apart}  # type: ignore[misc]


def _in_order(augmentations: list[Values], networks: list[Values]) -> dict[str, Value]:
    """Defaults of these and of the training, in the order of a table's columns."""
    training = _training_defaults()
    shared = {name: training.pop(name) for name in OF_AUGMENTATIONS}
    return {name: value for part in (*augmentations, shared, *networks, training) for name, value in part.items()}


def _lacking(name: str, augmenting: Augmentation) -> list[str]:
    """The hyperparameters of training that a trial with an augmentation does not have."""
    lacking = ["schedule"] if name == NO_AUGMENTATION else []
    lacking += [] if augmenting.of_waveforms else ["variants", "variant_probability"]
    return lacking + ([] if augmenting.takes_noise else ["recordings"])


def bare(name: str) -> str:
    """Give a hyperparameter's name without the augmentation of a chain that it is of: "alpha" of "mixup.alpha"."""
    return name.rpartition(".")[2]


def _check_order(config: TrialConfig) -> None:
    """Refuse waveforms in a batch where they are features already."""
    parts = split_chain(config.augmentation)
    words = chain_parameters(config.augmentation, config.code)
    mixing = [part for part in parts if config.augmenting.get(words[part].get(DOMAIN, "")) == WAVEFORM]
    if mixing and mixing != parts[:1]:
        raise ValueError(
            f"The value of `{words[mixing[-1]][DOMAIN]}` is {WAVEFORM!r} in {config.augmentation!r}, but the first "
            "alone of a chain can mix waveforms: put it there, or choose another domain."
        )


def _refuse_recording(chosen: dict[str, str], augmenting: Augmentation, code: OwnCode | None) -> None:
    """Refuse steps that a graph would repeat with the first batch's draws, or may: an own network's are not known."""
    if augmenting.takes_network or catalogue.is_own("model", chosen["model"], code):
        who = chosen["augmentation"] if augmenting.takes_network else chosen["model"]
        raise ValueError(
            f"The value of `cuda_graphs` is True, but what `{who}` draws for a batch a graph would repeat for all: "
            "leave it out."
        )


def _refuse_common(owners: dict[str, Values]) -> None:
    """Refuse a hyperparameter's name that two of the augmentation, the network and the training have."""
    owned = [(name, owner) for owner, parameters in owners.items() for name in parameters]
    owned += [(name, "the training") for name in ("model", "augmentation", *_training_defaults(), *APART)]
    for place, (name, owner) in enumerate(owned):
        if other := next((other for known, other in owned[place + 1 :] if known == name), None):
            raise DeclarationError(
                f"The name of the hyperparameter `{name}` of {owner} is taken by {other}: rename it."
            )


def _require_text(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if not isinstance(value, str):
        raise ValueError(f"The value of `{name}` is {value!r}, but must be one of {', '.join(allowed)}.")


def _check(name: str, value: Any, default: Value, choices: Choices | None) -> None:
    """Refuse a value that is not among the choices, not of its default's type, or out of its range."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if choices is not None:
        fits, wanted = value in choices, f"one of {', '.join(map(str, choices))}"
    elif isinstance(default, bool):
        fits, wanted = isinstance(value, bool), "True or False"
    elif isinstance(default, int):
        least = min(1, default)
        fits, wanted = number and isinstance(value, int) and value >= least, f"a whole number of at least {least}"
    elif isinstance(default, float):
        low, high, wanted = RANGES.get(bare(name), (-math.inf, math.inf, "a finite number"))
        fits = number and low <= value < high and math.isfinite(value)
    else:
        fits, wanted = isinstance(value, str), "a text"
    if not fits:
        raise ValueError(f"The value of `{name}` is {value!r}, but must be {wanted}.")


def _restrict(found: dict[str, Any], given: Values, restriction: Restriction) -> None:
    """Take out what a restriction leaves no value of; refuse what was given all the same, and a value that it bars."""
    if found.get(restriction.name) != restriction.value:
        return
    where = f"`{restriction.name}` is {restriction.value} ({restriction.reason})"
    for name, allowed in restriction.others.items():
        value = found[name]
        if allowed and value not in allowed:
            must = f"must be {' or '.join(allowed)} where {where}"
            raise ValueError(f"The value of `{name}` is {value!r}, but {must}.")
        if not allowed and given.get(name, 0) not in NEUTRAL:
            raise ValueError(f"The value of `{name}` is {value!r}, but there is no {name} where {where}: leave it out.")
        if not allowed:
            del found[name]


def _refuse(name: str, value: Any, chosen: dict[str, str], names: list[str], code: OwnCode | None) -> None:
    """Refuse a hyperparameter that a trial does not have, unless its value says nothing."""
    known, short = hyperparameter_names(code), bare(name)
    if short not in known and short not in names:
        raise ValueError(f"Unknown hyperparameter `{name}`: the hyperparameters are {', '.join([*chosen, *names])}.")
    if value in NEUTRAL or (name in OF_AUGMENTATIONS and value == getattr(TrialConfig, name)):  # as `replace` has it
        return
    of_network = any(name in network(other, code).parameters for other in network_names(code))
    owner = chosen["model" if of_network else "augmentation"]
    own = ", ".join((network if of_network else augmentation)(owner, code).parameters)
    has = f" (it has {own})" if own else ""
    raise ValueError(f"The value of `{name}` is {value!r}, but `{owner}` has no {name}{has}: leave it out.")
