"""Whole studies, as a user starts them: `python study/run.py` in a process of its own, on a few short recordings."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[1]
TAGS = ("hum", "hiss")
pytestmark = pytest.mark.slow


def write_corpus(root: Path, clips: int = 24) -> Path:
    """Half a second a clip: a low tone, noise, both or neither, in three folds, and an evaluation split."""
    (root / "audio").mkdir(parents=True)
    lines = ["filename,fold,tags,split"]
    for number in range(clips):
        rng = np.random.default_rng(number)
        hum, hiss = number % 2, number // 2 % 2
        seconds = np.arange(8000) / 16000
        wave = 0.2 * hum * np.sin(2 * np.pi * 200 * seconds) + (0.001 + 0.1 * hiss) * rng.normal(size=8000)
        soundfile.write(root / "audio" / f"{number}.wav", np.clip(wave, -1, 1), 16000)
        tags = ";".join(tag for tag, there in zip(TAGS, (hum, hiss), strict=True) if there)
        lines.append(f"{number}.wav,{number // 4 % 3},{tags},{'evaluation' if number >= clips - 4 else 'development'}")
    (root / "clips.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    write_corpus(folder / "corpus")
    return folder


def command(place: Path, *words: str, store: str = "mlflow.db") -> list[str]:
    uri = f"sqlite:///{place / store}"
    return [
        sys.executable,
        str(ROOT / "study" / "run.py"),
        *words,
        "--studies",
        str(place / "studies"),
        "--tracking-uri",
        uri,
    ]


def run(place: Path, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(place / "cache")}
    return subprocess.run(
        command(place, *words, **options), capture_output=True, text=True, env=environment, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def finished(place: Path) -> subprocess.CompletedProcess[str]:
    words = ("--space", "augmentation", "--trials", "3", "--epochs", "3", "--cpus-per-trial", "0.5", "--name", "whole")
    return run(place, *words, "--corpus", str(place / "corpus"))


def results(place: Path, name: str) -> dict[str, Any]:
    return json.loads((place / "studies" / name / "results.json").read_text())


def without_times(value: Any) -> Any:
    """Results without what the clock gives."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in ("seconds", "study")}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def test_a_study_ends_with_its_table(place: Path, finished: subprocess.CompletedProcess[str]) -> None:
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stderr == ""
    first, *lines = finished.stdout.splitlines()
    assert first == "Corpus   corpus"
    assert any(line.split()[-4:-2] == ["hiss", "hum"] for line in lines)
    assert sum("of 3 folds" in line for line in lines) == 9
    assert any(line.lstrip().startswith("compare the trials    mlflow ui --backend-store-uri") for line in lines)


def test_results_keep_their_contract(place: Path, finished: subprocess.CompletedProcess[str]) -> None:
    content = results(place, "whole")
    assert content["status"] == "finished"
    assert content["tags"] == sorted(TAGS)
    assert [trial["params"]["augmentation"] for trial in content["trials"]] == ["none", "mixup", "sample_pairing"]
    for trial in content["trials"]:
        assert trial["status"] == "finished"
        assert [fold["fold"] for fold in trial["folds"]] == [0, 1, 2]
        by_tag = [np.mean([fold["eer"][tag] for fold in trial["folds"]]) for tag in content["tags"]]
        assert trial["eer_mean"] == pytest.approx(np.mean(by_tag))
        assert trial["eer_var_classes"] == pytest.approx(np.var(by_tag, ddof=1))
        assert trial["eer_var_folds"] == pytest.approx(np.var([fold["eer_mean"] for fold in trial["folds"]], ddof=1))
        assert set(trial["eval_eer"]) == set(TAGS)
        with np.load(place / "studies" / "whole" / "trials" / trial["key"] / "fold_1.npz") as arrays:
            assert arrays["held_out"].shape == (8, 2)
            assert arrays["evaluation_clips"].tolist() == ["20.wav", "21.wav", "22.wav", "23.wav"]


def test_mlflow_holds_the_study(place: Path, finished: subprocess.CompletedProcess[str]) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
    (experiment,) = [found for found in client.search_experiments() if found.name == "augmentation"]
    runs = client.search_runs([experiment.experiment_id], "tags.`audiotag.study` = 'whole'")
    levels = [found.data.tags["audiotag.level"] for found in runs]
    assert {level: levels.count(level) for level in levels} == {"study": 1, "trial": 3, "fold": 9}
    assert {found.info.status for found in runs} == {"FINISHED"}
    by_key = {trial["key"]: trial for trial in results(place, "whole")["trials"]}
    for found in runs:
        if found.data.tags["audiotag.level"] == "trial":
            trial = by_key[found.data.tags["audiotag.trial"]]
            metrics = found.data.metrics
            assert metrics["eer/mean"] == pytest.approx(trial["eer_mean"])
            assert metrics["eer/hum"] == pytest.approx(trial["eer"]["hum"])
            assert metrics["eer/var_classes"] == pytest.approx(trial["eer_var_classes"])
            assert found.data.params["augmentation"] == trial["params"]["augmentation"]
        if found.data.tags["audiotag.level"] == "fold":
            assert [point.step for point in client.get_metric_history(found.info.run_id, "val/loss")] == [0, 1, 2]


def test_resuming_a_finished_study_changes_nothing(place: Path, finished: subprocess.CompletedProcess[str]) -> None:
    folder = place / "studies" / "whole"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    again = run(place, "--resume", "whole")
    assert again.returncode == 0, again.stderr
    assert "nothing left to do" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def interrupt(place: Path, name: str, sign: signal.Signals, ready: Callable[[Path], bool]) -> tuple[int, str]:
    """Starts the study of `finished` under another name and sends it a signal when it has come far enough."""
    words = ("--space", "augmentation", "--trials", "3", "--epochs", "3", "--cpus-per-trial", "0.5", "--name", name)
    process = subprocess.Popen(
        command(place, *words, "--corpus", str(place / "corpus"), store="other.db"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    while process.poll() is None and not ready(place / "studies" / name):
        time.sleep(0.02)
    if sign == signal.SIGKILL:
        os.killpg(process.pid, sign)
    else:
        process.send_signal(sign)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_study_ends_as_an_unbroken_one(
    place: Path, finished: subprocess.CompletedProcess[str], sign: signal.Signals
) -> None:
    name = sign.name.lower()
    code, output = interrupt(place, name, sign, lambda study: any(study.glob("trials/*/fold_1.json")))
    if sign != signal.SIGKILL:
        assert code == 130, output
        assert output.splitlines()[-1].startswith(f"python study/run.py --resume {name}")
        assert results(place, name)["status"] == "interrupted"
    resumed = run(place, "--resume", name, "--cpus-per-trial", "0.5", store="other.db")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert without_times(results(place, name)) == without_times(results(place, "whole"))
    for path in (place / "studies" / "whole" / "trials").glob("*/*.npz"):
        with np.load(path) as unbroken, np.load(place / "studies" / name / path.relative_to(path.parents[2])) as other:
            for array in unbroken:
                assert np.array_equal(unbroken[array], other[array]), (path, array)
