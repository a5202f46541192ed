"""A user's own augmentations and networks, tried once on a small batch before anything is trained.

Shapes: B clips of the batch, T frames, F values per frame, K tags.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import chdir, redirect_stdout
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from audiotag.augment import build_augmentations
from audiotag.config import TrialConfig, augmentation, network, split_chain
from audiotag.declarations.catalogue import load
from audiotag.declarations.networks import QUICK, Network
from audiotag.declarations.own_code import describe_own_error
from audiotag.declarations.source import DeclarationError
from audiotag.features.log_mel import LogMel
from audiotag.models.build import build_network, standardise
from audiotag.models.precision import computing
from audiotag.training.fit import predict, start_fit, tagging_loss, take_step
from audiotag.training.rng import Stream, make_rng, seed_torch

CLIPS = 4  # of the batch
SET = ("mean", "scale", "precision", "loss")  # attributes that `build_network` gives a network
SILENCE, LOUD = -18.0, 2.0  # of the log-mels in it


class TryOutError(ValueError):
    """An own function or class that breaks the contract; the message is one line for the user."""


def try_out(config: TrialConfig, frames: int, n_tags: int, partly: bool = False) -> None:
    """Try the networks and augmentations of batches that are a user's own, in an empty folder, on the CPU.

    `partly` says that the corpus has unknown labels, as the batch then has.

    Raises:
        TryOutError: For what raises, or gives other than it must: it names the function, what came and what is wanted.
    """
    own, columns = config.own_names, config.front_end.columns
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.uniform(SILENCE, LOUD, (CLIPS, frames, columns)).astype(np.float32))
    y = torch.from_numpy((rng.random((CLIPS, n_tags)) < 0.5).astype(np.float32))
    if partly:
        y[rng.random(y.shape) < 0.5] = torch.nan
    of_batches = [part for part in split_chain(config.augmentation) if part not in config.waveform_parts]
    with TemporaryDirectory() as empty, chdir(empty), redirect_stdout(sys.stderr):  # workers have another folder, too
        cut = _guard(f"The network `{config.model}`", config, partial(_as_trained, config, x))
        for place, name in enumerate(of_batches):
            if name in own:
                build = partial(_build_step, config, place, columns, n_tags)
                step = _guard(f"The augmentation `{name}`", config, build)
                given = _waves(config, cut.shape[1]) if config.mixes_waveforms and place == 0 else cut
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


def _as_trained(config: TrialConfig, x: Tensor) -> Tensor:
    """Features as the network trains on them: the first segment of each clip, or the clips."""
    segments = getattr(load("model", config.model, config.code), "segments", None)
    return x if segments is None else x[:, : segments.frames]


def _try_augmentation(name: str, step: Callable[..., Any], x: Tensor, y: Tensor, config: TrialConfig) -> None:
    what, words = f"The augmentation `{name}`", {"x": "features", "y": "targets"}
    found = []
    for _ in range(2):
        given = x.clone(), y.clone()
        found.append(_guard(what, config, partial(step, *given, make_rng(0, 0, 0, Stream.MIXING))))
        for word, now, was in zip(words, given, (x, y), strict=True):
            if not _same(now, was):
                remedy = f"make a copy first (`{word} = {word}.clone()`), and change that"
                raise TryOutError(f"{what} changes the {words[word]} that it is given: {remedy}.")
    result = found[0]
    if not (isinstance(result, tuple) and len(result) == 2 and all(isinstance(part, Tensor) for part in result)):
        raise TryOutError(f"{what} returns {_shown(result)}, but must return features and targets: `return x, y`.")
    for label, part, was in zip(words.values(), result, (x, y), strict=True):
        if part.shape != was.shape or part.dtype != was.dtype:
            raise TryOutError(f"{what} returns {label} {_shown(part)}, but they must be {_shown(was)}, as given.")
        may_be = torch.isfinite(part) | (part.isnan() & was.isnan().any())  # unknown labels
        if not may_be.all():
            raise TryOutError(f"{what} returns {label} with NaN or infinity, but they must be finite.")
    known = result[1][~result[1].isnan()]
    if len(known) and (known.min() < 0 or known.max() > 1):
        low, high = known.min().item(), known.max().item()
        raise TryOutError(f"{what} returns targets from {low:g} to {high:g}, but they must be in [0, 1].")
    if not all(map(_same, found[0], found[1])):
        remedy = "draw all random numbers from `rng`, NumPy's generator, and keep no state"
        raise TryOutError(f"{what} gives other features or targets each time: {remedy}.")


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal, NaN for NaN."""
    return torch.equal(one.isnan(), other.isnan()) and torch.equal(one.nan_to_num(0), other.nan_to_num(0))


def _try_network(config: TrialConfig, x: Tensor, y: Tensor) -> None:
    """Train a network for one step, as a study does, and score with it; twice, which must give the same."""
    what = f"The network `{config.model}`"
    kind = _guard(what, config, partial(load, "model", config.model, config.code))
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise TryOutError(f"{what} must be a subclass of torch.nn.Module: `class ...(nn.Module)`.")
    _check_declaration(what, kind, network(config.model, config.code))
    if not torch.equal(*(_train_and_score(what, config, x, y) for _ in range(2))):
        remedy = "draw all random numbers from torch's own generator, which the study seeds, and keep no state"
        raise TryOutError(f"{what} gives other probabilities each time: {remedy}.")


def _check_declaration(what: str, kind: Any, declared: Network) -> None:
    """Refuse a class that has something of its base classes which its source, and so the study, lacks."""
    pairs: dict[str, tuple[Any, Any]] = {
        "front_end": (getattr(kind, "front_end", LogMel()), declared.front_end),
        "training_defaults": (getattr(kind, "training_defaults", {}), declared.training_defaults),
        "quick": (getattr(kind, "quick", QUICK), declared.quick),
        "mixing_layers": (getattr(kind, "mixing_layers", ()), declared.mixing_layers),
        "frame_curves": (hasattr(kind, "frame_curves"), declared.has_curves),
    }
    for name, (real, read) in pairs.items():
        if real != read:
            remedy = "write it out in the class itself, even if a base class has it"
            raise TryOutError(f"{what} has another `{name}` than its source says: {remedy}.")


def _train_and_score(what: str, config: TrialConfig, x: Tensor, y: Tensor) -> Tensor:
    """The probabilities of fewer clips after a step of training."""
    run, clips, shape = partial(_guard, what, config), x.numpy(), y.shape
    nothing = f"{what} has no parameter that its output depends on: there is nothing to train."
    bare = run(lambda: load("model", config.model, config.code)(x.shape[2], shape[1], **config.network))
    if taken := [name for name in SET if hasattr(bare, name)]:
        raise TryOutError(f"{what} has an attribute `{taken[0]}`, which is what the study sets: rename it.")
    if hasattr(bare, "score") and not hasattr(bare, "segments"):
        raise TryOutError(f"{what} has an attribute `score`, which only networks of `segments` have: rename it.")
    if not any(parameter.requires_grad for parameter in bare.parameters()):
        raise TryOutError(nothing)
    state = run(lambda: start_fit(config, clips, shape[1], np.arange(len(clips)), seed=0, fold=0, device="cpu"))
    model = state.model.train()
    x = _as_trained(config, x)
    with seed_torch(0, 0, 0, Stream.DROPOUT, "cpu"):
        if getattr(model, "pretraining", None) is not None:
            first = run(lambda: x[:, : model.pretraining.segments.frames])
            run(lambda: model.pretraining_loss(standardise(model, first)).backward())
            state.optimizer.zero_grad()
        calls = _watch_layers(what, model)
        with computing(model, "cpu"):
            _check_probabilities(what, run(lambda: model(standardise(model, x))), x, shape)
        _check_calls(what, calls, len(x))
        loss, _ = run(lambda: tagging_loss(model, x, y.nan_to_num(0), "cpu"))
        if not loss.requires_grad:
            raise TryOutError(nothing)
        run(lambda: take_step(state.optimizer, loss))
    few = torch.from_numpy(clips[: CLIPS - 1])
    scores = torch.from_numpy(run(lambda: predict(model, few, np.arange(len(few)))))
    _check_probabilities(f"{what}, when it scores,", scores, few, (len(few), shape[1]))
    if hasattr(model, "frame_curves"):
        with torch.inference_mode():
            _check_curves(what, run(lambda: model.frame_curves(standardise(model, few))), scores.shape)
    return scores


def _check_curves(what: str, curves: Any, shape: Sequence[int]) -> None:
    """Refuse anything but curves of so many clips and tags."""
    fits = isinstance(curves, Tensor) and curves.ndim == 3 and curves.shape[::2] == tuple(shape)
    if not fits or not 0 <= curves.min() <= curves.max() <= 1:
        wanted = f"must return curves [{shape[0]}, points, {shape[1]}], (clips, points in time, tags), in [0, 1]"
        raise TryOutError(
            f"The method `frame_curves` of {what[0].lower()}{what[1:]} returns {_shown(curves)}, but {wanted}."
        )


def _check_probabilities(what: str, result: Any, x: Tensor, shape: Sequence[int]) -> None:
    """Refuse anything but probabilities of a shape."""
    if not isinstance(result, Tensor) or result.shape != tuple(shape):
        wanted = f"must return probabilities {list(shape)}, (clips, tags)"
        raise TryOutError(f"{what} returns {_shown(result)} of features {list(x.shape)}, but {wanted}.")
    if result.dtype != torch.float32:
        remedy = "make its last layer a `FullLinear` (audiotag.models.precision), as the project's networks do"
        raise TryOutError(f"{what} returns {_shown(result)}, but must return float32: {remedy}.")
    if not torch.isfinite(result).all():
        raise TryOutError(f"{what} returns NaN or infinity, but must return probabilities in [0, 1].")
    if result.min() < 0 or result.max() > 1:
        low, high = result.min().item(), result.max().item()
        raise TryOutError(
            f"{what} returns values from {low:.3g} to {high:.3g}, but must return probabilities in [0, 1]: "
            "end it with a sigmoid."
        )


def _check_calls(what: str, calls: dict[str, list[tuple[int, ...]]], clips: int) -> None:
    """Refuse layers to mix after that are not called once for a batch, and stop watching them."""
    for name, shapes in calls.items():
        if [shape[:1] for shape in shapes] != [(clips,)]:
            raise TryOutError(
                f"{what} must call its layer `{name}`, of `mixing_layers`, once, for a tensor (clips, ...)."
            )
        shapes.clear()


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
        return f"a tuple of {len(value)} ({', '.join(type(part).__name__ for part in value)})"
    return "nothing" if value is None else f"a {type(value).__name__}"
