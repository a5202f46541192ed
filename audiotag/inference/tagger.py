"""A trained network with its front end: waveforms in, probabilities of tags out.

A folder holds it: tagger.json (configuration, front end, tags) and weights.pt (a state dict). MLflow loads one with
`_load_pyfunc`; nothing here knows MLflow.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from audiotag.config import TrialConfig
from audiotag.declarations.own_code import read_code
from audiotag.features.log_mel import LogMel, log_mel
from audiotag.models.build import build_network, standardise
from audiotag.models.precision import computing
from audiotag.training.fit import predict
from audiotag.training.windows import Windows

DESCRIPTION, WEIGHTS = "tagger.json", "weights.pt"
BATCH = 64  # clips whose features are computed at a time


@dataclass(frozen=True, eq=False)
class Tagger:
    """A network with its front end and the names of its tags (K,)."""

    network: nn.Module
    front_end: LogMel
    tags: tuple[str, ...]

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> np.ndarray:
        """Give the probability of each tag in each clip, (B, K) float32, from waveforms (B, S) at the front end's rate.

        Mono, in [-1, 1]; for a stereo front end (B, 2, S), left first. A clip without a batch axis counts as a batch of
        one. `params` is there because MLflow passes it.

        Raises:
            ValueError: For waveforms of another shape, shorter than a window, or not finite.
        """
        waveforms = np.asarray(model_input, dtype=np.float32)
        clip = (2, "S") if self.front_end.imd else ("S",)
        waveforms = waveforms[None] if waveforms.ndim == len(clip) else waveforms
        if waveforms.ndim != 1 + len(clip) or (self.front_end.imd and waveforms.shape[1] != 2):
            wanted = ", ".join(map(str, ("clips", *clip)))
            raise ValueError(f"The shape of the waveforms is {waveforms.shape}, but must be ({wanted}).")
        if not np.isfinite(waveforms).all():
            raise ValueError("The waveforms hold a NaN or an infinity: leave those clips out.")
        self.front_end.frames(waveforms.shape[-1])
        scores = [
            self.score(log_mel(part, self.front_end))
            for part in np.split(waveforms, range(BATCH, len(waveforms), BATCH))
            if len(part)
        ]
        return np.concatenate(scores) if scores else np.zeros((0, len(self.tags)), np.float32)

    def score(self, features: np.ndarray, windows: Windows | None = None) -> np.ndarray:
        """Give the probability of each tag in each clip, (B, K) float32, from features (B, T, columns).

        With `windows` of these clips, from those that cover them.
        """
        return predict(self.network, features, np.arange(len(features)), windows=windows)

    def curves(self, features: np.ndarray) -> np.ndarray:
        """Draw where in the clip each tag sounds, (B, T', K) in [0, 1], from the front end's features (B, T, columns).

        T' is T, or less for a network of segments: their probabilities then, in the order of their middle frames.

        Raises:
            ValueError: When the network has no `frame_curves`.
        """
        network: Any = self.network
        if not hasattr(network, "frame_curves"):
            raise ValueError(f"The network {type(network).__name__} has no curves over time (`frame_curves`).")
        with torch.inference_mode(), computing(network, "cpu"):
            return network.frame_curves(standardise(network, torch.from_numpy(features))).numpy()


def write_description(
    folder: Path, config: TrialConfig, front_end: dict[str, Any], tags: list[str], clip_seconds: float
) -> None:
    """Write what `load_tagger` needs beside the weights."""
    content = {"config": config.to_dict(), "front_end": front_end, "tags": tags, "clip_seconds": clip_seconds}
    if config.code is not None and config.own_names:
        content["code"] = asdict(config.code)
    (folder / DESCRIPTION).write_text(json.dumps(content, indent=1), encoding="utf-8")


def load_tagger(folder: str | Path) -> Tagger:
    """Load the tagger that a folder holds, on the CPU, with dropout off."""
    content = json.loads((Path(folder) / DESCRIPTION).read_text(encoding="utf-8"))
    code = read_code(content["code"]) if "code" in content else None
    config, tags = TrialConfig.from_dict(content["config"], code), tuple(content["tags"])
    known = {field.name for field in fields(LogMel)}
    front_end = LogMel(**{name: value for name, value in content["front_end"].items() if name in known})
    return make_tagger(config, front_end, tags, Path(folder) / WEIGHTS)


def make_tagger(config: TrialConfig, front_end: LogMel, tags: tuple[str, ...], weights: Path) -> Tagger:
    """Make a tagger of a configuration and its trained weights, a state dict in a file; on the CPU, dropout off."""
    network = build_network(config, front_end.columns, len(tags))
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return Tagger(network.to(memory_format=torch.channels_last).eval(), front_end, tags)  # type: ignore[call-overload]


def _load_pyfunc(data_path: str) -> Tagger:
    return load_tagger(data_path)
