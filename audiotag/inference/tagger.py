"""A trained network with its front end: waveforms in, probabilities of tags out. What a study's winner is kept as.

A folder holds it: tagger.json (configuration, front end, tags) and weights.pt (a state dict). `_load_pyfunc` is what
MLflow calls to load one; nothing here knows MLflow.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from audiotag.config import TrialConfig
from audiotag.features.log_mel import LogMel, log_mel
from audiotag.models.build import build_model
from audiotag.models.precision import computing
from audiotag.training.fit import predict

DESCRIPTION, WEIGHTS = "tagger.json", "weights.pt"
BLOCK = 64  # clips whose features are computed at a time


@dataclass(frozen=True, eq=False)
class Tagger:
    """A network with its front end and the names of its tags (K,)."""

    network: nn.Module
    front_end: LogMel
    tags: tuple[str, ...]

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> np.ndarray:
        """Probability of each tag in each clip, (B, K) float32, from waveforms (B, S) at the front end's rate.

        Mono, in [-1, 1]; for a system that hears in stereo (B, 2, S), left first. A clip without a batch axis counts as
        a batch of one. `params` is there because MLflow passes it.

        Raises:
            ValueError: for waveforms of another shape, shorter than a window, or not finite.
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
        blocks = [
            self.score(log_mel(block, self.front_end))
            for block in np.split(waveforms, range(BLOCK, len(waveforms), BLOCK))
            if len(block)
        ]
        return np.concatenate(blocks) if blocks else np.zeros((0, len(self.tags)), np.float32)

    def score(self, features: np.ndarray) -> np.ndarray:
        """Probability of each tag in each clip, (B, K) float32, from the front end's features (B, T, columns)."""
        return predict(self.network, features, np.arange(len(features)))

    def curves(self, features: np.ndarray) -> np.ndarray:
        """Where in the clip each tag is heard, (B, T', K) in [0, 1], from the front end's features (B, T, columns).

        T' is T, or less in a system that hears blocks: their probabilities then, in the order of their middle frames.
        """
        with torch.inference_mode(), computing(self.network, "cpu"):
            return self.network.frame_curves(torch.from_numpy(features)).numpy()  # type: ignore[operator]


def write_description(
    folder: Path, config: TrialConfig, front_end: dict[str, Any], tags: list[str], clip_seconds: float
) -> None:
    """Writes what `load_tagger` needs beside the weights."""
    content = {"config": config.to_dict(), "front_end": front_end, "tags": tags, "clip_seconds": clip_seconds}
    (folder / DESCRIPTION).write_text(json.dumps(content, indent=1), encoding="utf-8")


def load_tagger(folder: str | Path) -> Tagger:
    """The tagger that a folder holds, on the CPU, with dropout off."""
    content = json.loads((Path(folder) / DESCRIPTION).read_text(encoding="utf-8"))
    config, tags = TrialConfig.from_dict(content["config"]), tuple(content["tags"])
    known = {field.name for field in fields(LogMel)}
    front_end = LogMel(**{name: value for name, value in content["front_end"].items() if name in known})
    return make_tagger(config, front_end, tags, Path(folder) / WEIGHTS)


def make_tagger(config: TrialConfig, front_end: LogMel, tags: tuple[str, ...], weights: Path) -> Tagger:
    """The tagger of a configuration whose trained weights, a state dict, are in a file; on the CPU, dropout off."""
    columns = front_end.columns
    network = build_model(config, columns, len(tags), torch.zeros(columns), torch.ones(columns))  # then as it was saved
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return Tagger(network.to(memory_format=torch.channels_last).eval(), front_end, tags)  # type: ignore[call-overload]


def _load_pyfunc(data_path: str) -> Tagger:
    return load_tagger(data_path)
