"""A whole study whose trials change waveforms, by the project's functions and a user's own: killed, and resumed."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.whole_studies import finish, read_results, wait_for, write_noise
from place import Place, kill

from study.ledger.ledger import Ledger
from study.ledger.results import finished_folds

pytestmark = pytest.mark.slow
SPACE = '''"""Does a tilt help?"""
import numpy as np

def tilt(wave, sample_rate, rng, *, most: float = 0.9):
    tilted = wave.copy()
    tilted[..., 1:] -= np.float32(rng.uniform(-most, most)) * wave[..., :-1]
    return tilted

def define(trial):
    name = trial.suggest_categorical("augmentation", ["tilt+background_noise+mixup", "time_stretch"])
    if "+" in name:
        return {"model": "crnn", "sampling": "balanced", "recordings": RECORDINGS, "alpha": 1.5}
    return {"model": "cgrnn", "sampling": "balanced"}
'''


def test_it_ends_as_if_it_had_not_been_killed(tmp_path: Path) -> None:
    place, corpus = Place(tmp_path), write_noise(tmp_path / "corpus")
    (tmp_path / "noises").mkdir()
    soundfile.write(tmp_path / "noises" / "a.wav", np.random.default_rng(0).uniform(-0.2, 0.2, 9000), 16_000)
    space = tmp_path / "tilted.py"
    space.write_text(SPACE.replace("RECORDINGS", repr(str(tmp_path / "noises"))))
    words = ["--space", str(space), "--corpus", str(corpus), "--epochs", "1"]
    finish(place.start(*words, "--name", "whole"), place)
    process = place.start(*words, "--name", "killed")
    wait_for(process, place.study("killed"), "trials/*/fold_1.json")
    kill(process.pid)
    process.wait()
    finish(place.start("--resume", "killed"), place)
    whole, killed = (read_results(place, name) for name in ("whole", "killed"))
    assert [trial["status"] for trial in whole["trials"]] == ["finished"] * 2
    assert {trial["key"]: trial["eer"] for trial in whole["trials"]} == {
        trial["key"]: trial["eer"] for trial in killed["trials"]
    }
    losses = [
        [
            row.train_loss
            for records in finished_folds(folder, ledger.study)
            for record in records
            for row in record.history
        ]
        for ledger in (Ledger.open(place.study("whole")), Ledger.open(place.study("killed")))
        for folder in sorted(ledger.trials(), key=lambda folder: folder.key)
    ]
    assert losses[:2] == losses[2:]
    assert len({str(each) for each in losses}) == 2
    soundfile.write(tmp_path / "noises" / "a.wav", np.random.default_rng(1).uniform(-0.2, 0.2, 9000), 16_000)
    finish(place.start("--resume", "killed"), place, code=2)
    assert "the recordings for the background was" in place.output()
