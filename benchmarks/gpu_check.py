"""Is a GPU fit for studies, and what does it gain? `python benchmarks/gpu_check.py`, in less than eight minutes

Each line is a check with its limit and a verdict. Steps of each network in both precisions: against a CPU's (outputs,
gradients, the loss after 50 steps), twice to the same bits, and recorded as a CUDA graph. A fold in processes of its
own: resumed, continued from a CPU's state, the memory of a share, and two side by side. Last, trials per hour of a
study on noise of CHiME-Home's size, against one trial at a time written plainly (peer): the network of torch's modules,
eager, fp32 as torch has it by default (convolutions in TF32), torch's Adam, features on the card from the start.
A check that breaks is FAILED with its reason, and the next ones go on; what there is no time left for is skipped.
`--device cpu --small` shows in seconds that it runs where there is no GPU; its figures mean nothing.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_steps import SMALL, TAGS, Size, check_steps, make_clips
from place import Place
from rounds import write_corpus
from step import Plain
from torch.nn import functional as F
from trials import run_study
from verdicts import Report, Skipped

from audiotag.config import PRECISIONS, TrialConfig, network_names
from audiotag.corpus.corpus import Corpus, open_corpus
from audiotag.corpus.splits import FoldSplit, split_fold
from audiotag.features.load import load_features
from audiotag.features.log_mel import LogMel
from audiotag.features.standardise import band_statistics
from audiotag.training.device import CONTEXT, explain_full_memory, use_gpu
from audiotag.training.fit import fit, start_fit

ALPHA = 1.5
GAIN = 1.03  # below it recorded steps are not worth an option
SAVING = 0.1  # of an epoch's time, which saving its state may take
CHILD_SECONDS = 120.0  # a fold of five epochs takes less on any GPU
MPS = Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"), "control")


def start_child(**spec: Any) -> subprocess.Popen[str]:
    """Start a process that trains a fold, see `train_fold`."""
    command = [sys.executable, __file__, "--child", json.dumps(spec)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for such a process; give what it printed.

    Raises:
        RuntimeError: When it failed, with the last line of its error.
    """
    try:
        out, error = process.communicate(timeout=CHILD_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    if process.returncode:
        raise RuntimeError(error.strip().splitlines()[-1])
    return dict(json.loads(out.splitlines()[-1]))


def train_fold(
    config: dict[str, Any],
    device: str,
    share: float,
    clips: int,
    frames: int,
    stop: int = 0,
    load: str = "",
    save: str = "",
) -> dict[str, Any]:
    """Train a fold on noise, maybe from a saved state, maybe only until some epoch, whose state is saved."""
    if device == "cuda":
        use_gpu(share)
    trial = TrialConfig.from_dict(config)
    features, targets = make_clips(trial, clips, frames)
    split = FoldSplit(np.arange(clips // 5, clips), np.arange(clips // 5), np.arange(clips // 5))
    state = start_fit(trial, features, TAGS, split.train, seed=0, fold=0, device=device)
    if load:
        state.load_state_dict(torch.load(load, map_location="cpu", weights_only=True))
    for result in fit(state, trial, features, targets, split, seed=0, fold=0, device=device):
        if result.epoch + 1 == stop:
            break
    began = time.perf_counter()
    torch.save(state.state_dict(), file := io.BytesIO())
    saving = time.perf_counter() - began
    if save:
        Path(save).write_bytes(file.getvalue())
    weights = [value.cpu().numpy().tobytes() for value in state.model.state_dict().values()]
    found: dict[str, Any] = {
        "seconds": float(np.median([epoch.seconds for epoch in state.history][1:] or [state.history[0].seconds])),
        "saving": saving,
        "epochs": len(state.history),
        "weights": hashlib.sha256(b"".join(weights)).hexdigest(),
    }
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        found |= {"reserved": torch.cuda.max_memory_reserved(), "limit": share * total - CONTEXT}
        found |= {"outside": total - free - torch.cuda.memory_reserved()}  # of this process and of all others
    return found


def make_spec(size: Size, share: float, device: str, cuda_graphs: bool) -> dict[str, Any]:
    """Choose what `train_fold` trains."""
    epochs = max(size.epochs, 2)
    config = {"batch_size": size.batch, "max_epochs": epochs, "patience": epochs, "augmentation": "mixup"}
    config |= {"alpha": ALPHA, "cuda_graphs": cuda_graphs}
    return {"config": config, "device": device, "share": share, "clips": size.clips, "frames": size.frames}


def check_fold(report: Report, name: str, spec: dict[str, Any], folder: Path, alone: dict[str, Any]) -> None:
    """Train a fold, and resume it after its first epoch; the first one that came through is left in `alone`."""
    cuda, half = spec["device"] == "cuda", str(folder / "state.pt")
    if spec["config"]["cuda_graphs"] and not cuda:
        raise Skipped("recorded steps need a GPU")
    before = used_memory() if cuda else 0.0
    unbroken = finish(start_child(**spec))
    finish(start_child(**spec, stop=1, save=half))
    resumed = finish(start_child(**spec, load=half))
    report.line(f"{name}: bits that differ when resumed", unbroken["weights"] != resumed["weights"], most=0)
    saving = unbroken["saving"] / unbroken["seconds"]
    report.line(f"{name}: saving its state, of an epoch", saving, most=SAVING, timed=True)
    if cuda:
        report.line(f"{name}: memory of its limit", unbroken["reserved"] / unbroken["limit"], most=1.0)
        outside = (unbroken["outside"] - before) / CONTEXT
        report.line(f"{name}: CUDA's own memory, of what is set aside", outside, most=1.0)
    if alone:
        gain = alone["seconds"] / unbroken["seconds"]
        report.line(f"{name}: epochs per second, of the plain fold's", gain, least=GAIN, timed=True)
    else:
        alone |= unbroken


def check_pair(report: Report, spec: dict[str, Any], alone: dict[str, Any]) -> None:
    """Train two folds side by side, each as the one that was alone."""
    both = [finish(process) for process in [start_child(**spec), start_child(**spec)]]
    apart = sum(one["weights"] != alone["weights"] for one in both)
    report.line("two folds side by side: with other bits than alone", apart, most=0)
    gain = 2 * alone["seconds"] / max(one["seconds"] for one in both)
    mps = "with MPS" if MPS.exists() else "without MPS"
    report.line(f"two folds side by side ({mps}): epochs per second, of one's", gain, least=0.9, timed=True)


def check_move(report: Report, spec: dict[str, Any], folder: Path) -> None:
    """Begin a fold on a CPU, and end it on the device."""
    half, few = str(folder / "state.pt"), {"clips": 10 * spec["config"]["batch_size"]}
    finish(start_child(**(spec | few | {"device": "cpu"}), stop=1, save=half))
    moved = finish(start_child(**(spec | few), load=half))
    report.line("fold begun on a CPU: its epochs", moved["epochs"], least=spec["config"]["max_epochs"])


def used_memory() -> float:
    """Bytes of the card that are taken."""
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    return total - free


def check_full_memory(report: Report, share: float, device: str) -> None:
    """Ask for more than the share: the card refuses it, and the trial is named as the reason."""
    if device == "cpu":
        raise Skipped("needs a GPU")
    _, total = torch.cuda.mem_get_info()
    try:
        torch.empty(int(share * total), dtype=torch.uint8, device=device)
        told = "nothing was refused"
    except torch.OutOfMemoryError:
        told = explain_full_memory(share)
    report.line(f"more than the share, of which is said: {told}", "a trial needs" in told.lower(), least=1)


def seconds_of_plain_trial(corpus: Corpus, features: np.ndarray, epochs: int, batch: int, device: str) -> float:
    """All folds with mixup, one after the other, each epoch scored on the held-out clips."""
    began = time.perf_counter()
    x, y = torch.tensor(features, device=device), torch.tensor(corpus.targets, device=device)
    for fold in corpus.fold_numbers:
        split = split_fold(corpus, fold, "paper", 0)
        mean, scale = (torch.tensor(values, device=device) for values in band_statistics(features, split.train))
        network = Plain(len(corpus.tags)).to(device)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        for _ in range(epochs):
            network.train()
            for clips in torch.tensor(np.random.default_rng(0).permutation(split.train)).to(device).split(batch):
                share, partners = np.random.default_rng().beta(ALPHA, ALPHA), clips[torch.randperm(len(clips))]
                mixed = share * x[clips] + (1 - share) * x[partners]
                optimizer.zero_grad()
                wanted = share * y[clips] + (1 - share) * y[partners]
                F.binary_cross_entropy(network((mixed - mean) / scale), wanted).backward()
                optimizer.step()
            network.eval()
            with torch.no_grad():
                parts = torch.tensor(split.validation).to(device).split(batch)
                torch.cat([network((x[part] - mean) / scale) for part in parts]).cpu()
    return time.perf_counter() - began


def check_trials(report: Report, size: Size, share: float, device: str, folder: Path) -> None:
    """Count trials per hour, from the first trial's start to the last one's end."""
    place = Place(folder)
    corpus = open_corpus(write_corpus(folder / "corpus", size.clips, size.folds, size.evaluation))
    features = load_features(corpus, LogMel(), folder / "cache" / "audiotag" / "features")
    with torch.backends.cudnn.flags(allow_tf32=True, deterministic=False):  # as torch has them
        seconds_of_plain_trial(corpus, features, 1, size.batch, device)
        plain = seconds_of_plain_trial(corpus, features, size.epochs, size.batch, device)
    if device == "cuda":
        torch.cuda.empty_cache()
    kinds = {f"{precision}, {share:g} of the GPU each": (precision, share) for precision in PRECISIONS}
    kinds["fp32, one at a time"] = ("fp32", 1.0)
    for number, (name, (precision, part)) in enumerate(kinds.items()):
        words = ["--precision", precision, *(["--gpus-per-trial", f"{part:g}"] if device == "cuda" else [])]
        done = run_study(place, f"study-{number}", size.epochs, size.trials, *words)
        taken = max(trial["end"] for trial in done) - min(trial["begin"] for trial in done)
        report.line(f"trials per hour, {name}, of the plain loop's", size.trials * plain / taken, least=1.0, timed=True)


def main() -> int:
    """Print the lines; 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true", help="a moment's work, without a study's trials per hour")
    parser.add_argument("--share", type=float, default=0.25, help="of the card that a trial gets")
    parser.add_argument("--minutes", type=float, default=6, help="after which no further check begins")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device, share, size = arguments.device, arguments.share, SMALL if arguments.small else Size()
    if arguments.child:
        print(json.dumps(train_fold(**arguments.child)))
        return 0
    if device == "cuda" and not torch.cuda.is_available():
        print("No GPU: nothing is checked.")
        return 0
    report = Report(60 * arguments.minutes, judge_times=device == "cuda" and not arguments.small)
    if device == "cuda":
        use_gpu(share)
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}")
    with tempfile.TemporaryDirectory(prefix="gpu-", ignore_cleanup_errors=True) as folder:
        report.run("more than the share", partial(check_full_memory, report, share, device))
        for precision in PRECISIONS:
            for model in network_names():
                report.run(f"{model} {precision}", partial(check_steps, report, model, precision, size, device))
        spec, alone = make_spec(size, share, device, cuda_graphs=False), dict[str, Any]()
        recorded = make_spec(size, share, device, cuda_graphs=True)
        report.run("fold", partial(check_fold, report, "fold", spec, Path(folder), alone))
        report.run("recorded fold", partial(check_fold, report, "recorded fold", recorded, Path(folder), alone))
        report.run("two folds side by side", partial(check_pair, report, spec, alone))
        report.run("fold begun on a CPU", partial(check_move, report, spec, Path(folder)))
        if not arguments.small:
            report.run("trials per hour", partial(check_trials, report, size, share, device, Path(folder)))
    return int(report.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
