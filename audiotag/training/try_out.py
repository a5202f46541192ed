"""A user's own augmentations and networks, tried once on a small batch before anything is trained.

Shapes: B clips of the batch, T frames, F values per frame, K tags.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from audiotag.augment import build_augmentations
from audiotag.config import TrialConfig, augmentation, split_chain
from audiotag.declarations.own_code import describe_own_error
from audiotag.declarations.source import DeclarationError
from audiotag.models.build import build_network
from audiotag.training.fit import tagging_loss
from audiotag.training.rng import Stream, make_rng, seed_torch

CLIPS = 4  # of the batch
SILENCE, LOUD = -18.0, 2.0  # of the log-mels in it


class TryOutError(ValueError):
    """An own function or class that breaks the contract; the message is one line for the user."""


def try_out(config: TrialConfig, frames: int, n_tags: int) -> None:
    """Try the networks and augmentations of batches of a configuration that are a user's own.

    Raises:
        TryOutError: For what raises, or gives other than it must: it names the function, what came and what is wanted.
    """
    own, columns = config.own_names, config.front_end.columns
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.uniform(SILENCE, LOUD, (CLIPS, frames, columns)).astype(np.float32))
    y = torch.from_numpy((rng.random((CLIPS, n_tags)) < 0.5).astype(np.float32))
    of_batches = [name for name in split_chain(config.augmentation) if name not in config.waveform_parts]
    for place, name in enumerate(of_batches):
        if name in own:
            step = _guard(f"The augmentation `{name}`", config, partial(_build_step, config, place, columns, n_tags))
            given = _waves(config, frames) if config.mixes_waveforms and place == 0 else x
            _try_augmentation(name, step, given, y, config)
    if config.model in own:
        _try_network(config, x, y)


def _waves(config: TrialConfig, frames: int) -> Tensor:
    """Noise of so many frames, (B, samples), or (B, 2, samples) in stereo."""
    front_end = config.front_end
    samples = (frames - 1) * front_end.hop_length + front_end.n_fft
    shape = (CLIPS, *([2] if front_end.imd else []), samples)
    return torch.from_numpy(np.random.default_rng(1).uniform(-0.5, 0.5, shape).astype(np.float32))


def _build_step(config: TrialConfig, place: int, columns: int, n_tags: int) -> Callable[..., Any]:
    """Build the augmentation at a place of the chain, with a network where it asks for one."""
    takes_network = augmentation(config.augmentation, config.code).takes_network
    return build_augmentations(config, build_network(config, columns, n_tags) if takes_network else None)[place]


def _try_augmentation(name: str, step: Callable[..., Any], x: Tensor, y: Tensor, config: TrialConfig) -> None:
    what = f"The augmentation `{name}`"
    found = []
    for _ in range(2):
        given = x.clone(), y.clone()
        found.append(_guard(what, config, partial(step, *given, make_rng(0, 0, 0, Stream.MIXING))))
        if not all(map(torch.equal, given, (x, y))):
            raise TryOutError(f"{what} changes what it is given: make a copy first (`x = x.clone()`), and change that.")
    result = found[0]
    if not (isinstance(result, tuple) and len(result) == 2 and all(isinstance(part, Tensor) for part in result)):
        raise TryOutError(f"{what} returns {_shown(result)}, but must return features and targets: `return x, y`.")
    for label, part, was in zip(("features", "targets"), result, (x, y), strict=True):
        if part.shape != was.shape or part.dtype != was.dtype:
            wanted = f"must be {_shown(was)}, as it was given"
            raise TryOutError(f"{what} returns {label} {_shown(part)}, but they {wanted}.")
        if not torch.isfinite(part).all():
            raise TryOutError(f"{what} returns {label} with NaN or infinity, but they must be finite.")
    if result[1].min() < 0 or result[1].max() > 1:
        low, high = result[1].min().item(), result[1].max().item()
        raise TryOutError(f"{what} returns targets from {low:g} to {high:g}, but they must be in [0, 1].")
    if not all(map(torch.equal, found[0], found[1])):
        raise TryOutError(f"{what} draws other numbers each time: draw all of them from `rng`, NumPy's generator.")


def _try_network(config: TrialConfig, x: Tensor, y: Tensor) -> None:
    what, shape = f"The network `{config.model}`", (len(y), y.shape[1])
    with seed_torch(0, 0, 0, Stream.WEIGHTS, "cpu"):
        model = _guard(what, config, lambda: build_network(config, x.shape[2], shape[1], x.mean((0, 1)), x.std((0, 1))))
        model.train()
        if (segments := getattr(model, "segments", None)) is not None:
            x = x[:, : segments.frames]
        calls = _watch_layers(what, model)
        result = _guard(what, config, lambda: model((x - model.mean) / model.scale))
        if wrong := next(
            (name for name, shapes in calls.items() if [shape[:1] for shape in shapes] != [(len(x),)]), None
        ):
            raise TryOutError(
                f"{what} must call its layer `{wrong}`, of `mixing_layers`, once, for a tensor (clips, ...)."
            )
        if not isinstance(result, Tensor) or result.shape != shape:
            wanted = f"must return probabilities {list(shape)}, (clips, tags)"
            raise TryOutError(f"{what} returns {_shown(result)} of features {list(x.shape)}, but {wanted}.")
        if not torch.isfinite(result).all():
            raise TryOutError(f"{what} returns NaN or infinity, but must return probabilities in [0, 1].")
        if result.min() < 0 or result.max() > 1:
            low, high = result.min().item(), result.max().item()
            raise TryOutError(
                f"{what} returns values from {low:.3g} to {high:.3g}, but must return probabilities in [0, 1]: "
                "end it with a sigmoid."
            )
        loss, _ = _guard(what, config, lambda: tagging_loss(model, x, y, "cpu"))
        if not any(parameter.requires_grad for parameter in model.parameters()) or not loss.requires_grad:
            raise TryOutError(f"{what} has no parameter that its output depends on: there is nothing to train.")
        _guard(what, config, loss.backward)


def _watch_layers(what: str, model: nn.Module) -> dict[str, list[tuple[int, ...]]]:
    """The shapes of what each layer of `mixing_layers` gives from now on."""
    calls: dict[str, list[tuple[int, ...]]] = {}
    for name in getattr(model, "mixing_layers", ()):
        calls[name] = []
        try:
            layer = model.get_submodule(name)
        except AttributeError:
            raise TryOutError(f"{what} has no layer `{name}`, which its `mixing_layers` names.") from None
        layer.register_forward_hook(lambda *given, to=calls[name]: to.append(tuple(getattr(given[2], "shape", ()))))
    return calls


def _guard(what: str, config: TrialConfig, call: Callable[[], Any]) -> Any:
    """Call what is a user's own, whatever it may do."""
    try:
        return call()
    except DeclarationError:
        raise
    except (Exception, SystemExit) as error:
        raise TryOutError(f"{what} cannot be run: {describe_own_error(error, config.code)}.") from error


def _shown(value: Any) -> str:
    """A value as messages show it: a tensor by its shape and type."""
    if isinstance(value, Tensor):
        return f"{list(value.shape)} ({str(value.dtype).removeprefix('torch.')})"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return "nothing" if value is None else f"a {type(value).__name__}"
