"""How fast are features computed? `python benchmarks/features.py`

From WAV files (16 kHz, mono, 4 s, as CHiME-Home's) to the CRNN's log-mel features, the cache cold, as a study computes
them. Against librosa with the same settings and as many threads (peer), and against reading the same files and the bare
FFTs of the same frames (floor). The three take turns; ratios are of each round's own times, of the wall's seconds and
of the CPU's, which neighbours on the machine disturb least.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch
from rounds import show, timed, write_corpus

from audiotag.corpus.corpus import open_corpus
from audiotag.features.load import load_features
from audiotag.features.log_mel import LogMel
from audiotag.features.store import CLIPS_PER_TASK

FRONT_END, SECONDS = LogMel(), 4.0


def of_librosa(path: Path) -> np.ndarray:
    """Log-mel features (T, M) as librosa computes them."""
    wave, rate = soundfile.read(path, dtype="float32")
    energies = librosa.feature.melspectrogram(
        y=wave,
        sr=rate,
        n_fft=FRONT_END.n_fft,
        hop_length=FRONT_END.hop_length,
        window="hamming",
        center=False,
        n_mels=FRONT_END.n_mels,
        norm="slaney",
    )
    return np.log(energies.T + FRONT_END.log_offset)


def read_and_transform(paths: list[Path]) -> None:
    """Read some files and take the bare FFTs of their frames."""
    waves = np.stack([soundfile.read(path, dtype="float32")[0] for path in paths])
    torch.fft.rfft(torch.from_numpy(waves).unfold(1, FRONT_END.n_fft, FRONT_END.hop_length))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=int, default=480)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="features-") as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        corpus = open_corpus(write_corpus(Path(folder) / "corpus", arguments.clips, seconds=SECONDS))
        tasks = [list(corpus.paths[n : n + CLIPS_PER_TASK]) for n in range(0, len(corpus.paths), CLIPS_PER_TASK)]
        caches = iter(Path(folder) / f"cache-{number}" for number in range(1000))
        runs: dict[str, Callable[[], object]] = {
            "ours": lambda: load_features(corpus, FRONT_END, next(caches)),
            "librosa (peer)": lambda: list(pool.map(of_librosa, corpus.paths)),
            "files and FFTs (floor)": lambda: list(pool.map(read_and_transform, tasks)),
        }
        ours = load_features(corpus, FRONT_END, next(caches))
        for number in range(0, len(corpus.paths), 97):
            np.testing.assert_allclose(ours[number], of_librosa(corpus.paths[number]), rtol=1e-4, atol=1e-4)
        read_and_transform(tasks[0])
        times = np.array([[timed(run) for run in runs.values()] for _ in range(arguments.rounds)])  # (rounds, 3, 2)
    hours = arguments.clips * SECONDS / 3600
    rows: dict[str, np.ndarray] = {}
    for kind, name in enumerate(("wall", "CPU")):
        mine, peer, floor = times[:, :, kind].T
        rows |= {f"librosa / ours, {name}": peer / mine, f"ours / files and FFTs, {name}": mine / floor}
    rows["ours, hours of audio a second"] = hours / times[:, 0, 0]
    show("features", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
