"""Helper: small versions of public corpora, in the layouts of their documentation, with generated sound."""

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
import soundfile

RATE = 8000
SECONDS = 0.3
FSD50K_TAGS = ("Bark", "Dog", "Rain")  # Bark implies Dog
WORDS = ("bed", "yes")
INSTRUMENTS = ("banjo", "cello", "flute")
ESC50 = """filename,fold,target,category,esc10,src_file,take
1-100032-A-0.wav,1,0,dog,True,100032,A
1-100038-A-14.wav,1,14,chirping_birds,False,100038,A
2-100648-A-43.wav,2,43,car_horn,False,100648,A
2-102414-A-0.wav,2,0,dog,True,102414,A
2-102414-B-0.wav,2,0,dog,True,102414,B
"""
URBANSOUND8K = """slice_file_name,fsID,start,end,salience,fold,classID,class
100032-3-0-0.wav,100032,0.0,0.317551,1,5,3,dog_bark
100263-2-0-117.wav,100263,58.5,62.5,1,5,2,children_playing
100648-1-0-0.wav,100648,4.823402,5.471927,2,10,1,car_horn
100652-3-0-0.wav,100652,0.0,4.0,1,10,3,dog_bark
"""
SONYC_COLUMNS = (
    "1-1_small-engine",
    "1-2_large-engine",
    "1-X_engine-of-uncertain-size",
    "4-1_chainsaw",
    "1_engine",
    "4_powered-saw",
)


def write_sound(path: Path, tags: Collection[int], seed: int, seconds: float = SECONDS) -> None:
    """A tone for each tag, and noise."""
    rng, time = np.random.default_rng(seed), np.arange(round(seconds * RATE)) / RATE
    wave = 0.02 * rng.standard_normal(len(time))
    for tag in tags:
        wave += 0.2 * np.sin(2 * np.pi * 400 * (tag + 1) * time)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, RATE)


def write_lines(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def write_table(root: Path, table: str, text: str, names: list[str]) -> Path:
    (root / table).parent.mkdir(parents=True)
    (root / table).write_text(text)
    for number, name in enumerate(names):
        path = root / "audio" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(number).uniform(-0.1, 0.1, 800), 8000)
    return root


def write_esc50(root: Path, text: str = ESC50) -> Path:
    return write_table(root, "meta/esc50.csv", text, [line.split(",")[0] for line in ESC50.splitlines()[1:]])


def write_urbansound8k(root: Path, text: str = URBANSOUND8K) -> Path:
    rows = [line.split(",") for line in URBANSOUND8K.splitlines()[1:]]
    return write_table(root, "metadata/UrbanSound8K.csv", text, [f"fold{row[5]}/{row[0]}" for row in rows])


def write_fsd50k(root: Path, clips: int = 30, metadata: bool = True) -> Path:
    """A third of dev validates; eval is half as large as dev."""
    truth, parts = root / "FSD50K.ground_truth", {"dev": clips, "eval": clips // 2}
    write_lines(truth / "vocabulary.csv", *(f"{k},{tag},/m/0{k}" for k, tag in enumerate(FSD50K_TAGS)))
    for number, (part, many) in enumerate(parts.items()):
        rows, uploaders = ["fname,labels,mids" + ",split" * (part == "dev")], {}
        for n in range(many):
            tags = {0: (0, 1), 1: (1,), 2: (2,), 3: (1, 2)}[n % 4]
            name = f"{1000 * (number + 1) + n}"
            labels, mids = ",".join(FSD50K_TAGS[k] for k in tags), ",".join(f"/m/0{k}" for k in tags)
            rows.append(f'{name},"{labels}","{mids}"' + (",val" if n % 3 == 2 else ",train") * (part == "dev"))
            write_sound(root / f"FSD50K.{part}_audio" / f"{name}.wav", tags, n, SECONDS + 0.01 * (n % 5))
            uploaders[name] = {"title": "a sound", "uploader": f"{part} user {n // 2}"}
        write_lines(truth / f"{part}.csv", *rows)
        if metadata:
            write_lines(root / "FSD50K.metadata" / f"{part}_clips_info_FSD50K.json", json.dumps(uploaders))
    return root


def write_speech_commands(root: Path, speakers: int = 10) -> Path:
    """Each speaker says each word twice; two of ten speakers validate, and two are for testing."""
    lists: dict[str, list[str]] = {"validation": [], "testing": []}
    for n in range(speakers):
        for k, word in enumerate(WORDS):
            for again in range(2):
                clip = f"{word}/{n:08x}_nohash_{again}.wav"
                write_sound(root / clip, [k], 4 * n + again)
                if part := {8: "validation", 9: "validation", 6: "testing", 7: "testing"}.get(n % 10):
                    lists[part].append(clip)
    for part, clips in lists.items():
        write_lines(root / f"{part}_list.txt", *clips)
    write_sound(root / "_background_noise_" / "white_noise.wav", [], 0, 2 * SECONDS)
    return root


def write_openmic(root: Path, clips: int = 36, columns: int = 3) -> Path:
    """Half of the labels are known, in so many `columns` of the mask; every third clip is for testing."""
    rng = np.random.default_rng(0)
    truth = rng.random((clips, len(INSTRUMENTS)))
    mask = rng.random(truth.shape) < 0.5
    keys = np.array([f"{n // 12:03}{n:03}_{1000 + n}" for n in range(clips)], dtype=object)
    root.mkdir(parents=True, exist_ok=True)
    arrays = {"X": np.zeros((clips, 10, 128), np.uint8), "Y_true": truth, "Y_mask": mask[:, :columns]}
    np.savez(root / "openmic-2018.npz", sample_key=keys, **arrays)  # type: ignore[arg-type]
    write_lines(root / "class-map.json", json.dumps({name: k for k, name in enumerate(INSTRUMENTS)}))
    for part, wanted in (("train", (0, 1)), ("test", (2,))):
        chosen = [key for n, key in enumerate(keys) if n % 3 in wanted]
        write_lines(root / "partitions" / f"split01_{part}.csv", *chosen)
    for n, key in enumerate(keys):
        write_sound(root / "audio" / key[:3] / f"{key}.ogg", np.flatnonzero((truth[n] >= 0.5) & mask[n]).tolist(), n)
    return root


def sonyc_row(split: str, sensor: int, name: str, annotator: int, *votes: int) -> str:
    return ",".join(map(str, (split, sensor, name, annotator, *votes)))


def write_sonyc(root: Path, clips: int = 30) -> Path:
    """Three annotators for each recording; sensors keep to a part, and the authors have agreed on the test clips."""
    header = ",".join(["split,sensor_id,audio_filename,annotator_id", *(f"{name}_presence" for name in SONYC_COLUMNS)])
    rows, rng = [header], np.random.default_rng(0)
    for n in range(clips):
        split, name = ("train", "train", "train", "validate", "test")[n // 2 % 5], f"00_{n:06}.wav"
        engine, saw = n % 2, n // 2 % 2
        for annotator in (1, 2, 3, *[0] * (split == "test")):
            heard = engine * int(annotator == 0 or rng.random() < 0.7)
            fine = [heard * (n % 4 == 1), heard * (n % 4 == 3), heard * (n % 8 == 7), saw if n % 5 else -1]
            rows.append(sonyc_row(split, n // 2, name, annotator, *fine, heard, saw))
        write_sound(root / "audio" / name, [k for k, there in enumerate((engine, saw)) if there], n)
    write_lines(root / "annotations.csv", *rows)
    return root


def write_class_folders(root: Path, parts: tuple[str, ...] = ("train", "val", "test"), clips: int = 6) -> Path:
    """Two classes with so many recordings in each part, or in no part at all."""
    for p, part in enumerate(parts or ("",)):
        for k, name in enumerate(("cat", "dog")):
            for n in range(clips):
                write_sound(root / part / name / f"{part}{n}.wav", [k], 100 * p + n)
    return root
