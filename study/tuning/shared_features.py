"""What the trials of a study train on, as workers take it.

On the driver's own machine they map the files of the cache, whose pages all processes share. What is in no file, and
all of it for the nodes of a cluster, is in Ray's object store: a node gets only what its trials need, once.
"""

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import ray

from audiotag.augment.variants import Variants, VariantSettings, variant_settings
from audiotag.config import TrialConfig
from audiotag.features.log_mel import LogMel
from audiotag.features.mapped import MappedFile, find_mapped
from audiotag.features.store import CacheError
from audiotag.features.waves import Waves
from study.tuning.features import StudyFeatures, TrialFeatures

V = TypeVar("V", Variants, Waves)


@dataclass(frozen=True, eq=False)
class SharedArray:
    """An array that workers take: from its file on the node where that is, else from the object store."""

    file: MappedFile | None
    node: str  # Ray's name of the node that has the file
    stored: Any = None  # a reference to the array; None where no node needs it

    def get(self) -> np.ndarray:
        """The array; where it is on this node already, it is not copied.

        Raises:
            CacheError: If the file was deleted, and there is nothing else to take.
        """
        if self.file is not None and self.node == this_node():
            try:
                return self.file.open()
            except CacheError:
                if self.stored is None:
                    raise
        found: np.ndarray = ray.get(self.stored)
        return found


@dataclass(frozen=True, eq=False)
class SharedFeatures:
    """Features, variants and waveforms as `StudyFeatures` has them, each for itself."""

    clips: dict[LogMel, SharedArray]
    variants: dict[VariantSettings, tuple[SharedArray, "ray.ObjectRef[Variants]"]]  # the latter without values
    waves: dict[LogMel, tuple[SharedArray, "ray.ObjectRef[Waves]"]]  # likewise

    def of(self, config: TrialConfig) -> TrialFeatures:
        """Give a trial its own.

        Raises:
            LookupError: For variants that nobody computed.
            CacheError: If the cache was deleted meanwhile.
        """
        front_end, settings = config.front_end, variant_settings(config)
        parts = StudyFeatures({front_end: self.clips[front_end].get()})
        if settings in self.variants:
            parts.variants[settings] = _take(*self.variants[settings])
        if config.mixes_waveforms:
            parts.waves[front_end] = _take(*self.waves[front_end])
        return parts.of(config)


def _take(values: SharedArray, rest: "ray.ObjectRef[V]") -> V:
    found: V = ray.get(rest)
    return replace(found, values=values.get())


def share(features: StudyFeatures, elsewhere: bool) -> SharedFeatures:
    """Let workers take the features; `elsewhere` says that some may be on other machines than this one."""

    def share_array(array: np.ndarray) -> SharedArray:
        file = find_mapped(array)
        stored = ray.put(np.ascontiguousarray(array)) if elsewhere or file is None else None
        return SharedArray(file, this_node(), stored)

    def share_with_values(found: V) -> tuple[SharedArray, "ray.ObjectRef[V]"]:
        return share_array(found.values), ray.put(replace(found, values=found.values[:0]))

    return SharedFeatures(
        {front_end: share_array(clips) for front_end, clips in features.clips.items()},
        {settings: share_with_values(variants) for settings, variants in features.variants.items()},
        {front_end: share_with_values(waves) for front_end, waves in features.waves.items()},
    )


def this_node() -> str:
    """Ray's name of the node on which this process is."""
    name: str = ray.get_runtime_context().get_node_id()
    return name
