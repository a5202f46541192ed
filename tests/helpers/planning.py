"""Helper: a plan without a terminal, and a small corpus in the layout of CHiME-Home."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from rich.console import Console

from audiotag.corpus.layouts.chime_home import DEVELOPMENT_LIST, FOLD_LIST
from study.plan.plan import Plan, make_plan
from study.plan.request import Request


def plan_study(folder: Path, **options: Any) -> Plan:
    """The plan of a study in `folder`/studies; the options are those of a request."""
    corpus = options.pop("corpus", None)
    request = Request(studies=folder / "studies", corpus=None if corpus is None else str(corpus), **options)
    return make_plan(request, Console(file=io.StringIO()))


def write_layout(root: Path) -> Path:
    """Eight chunks of noise, with their stereo recordings."""
    (root / "chunks").mkdir(parents=True)
    names = [f"home.s{number}_chunk0" for number in range(8)]
    for number, name in enumerate(names):
        base, letters = root / "chunks" / name, "cmfvpbo" if number % 4 < 2 else "S"
        noise = np.random.default_rng(number).uniform(-0.1, 0.1, (4800, 2))
        soundfile.write(f"{base}.16kHz.wav", noise[:1600, 0], 16_000)
        soundfile.write(f"{base}.48kHz.wav", noise, 48_000)
        text = f"segmentname,{name.split('_')[0]}\nmajorityvote,{letters}\nchunkname,{name}\n"
        Path(f"{base}.csv").write_text(text)
    (root / DEVELOPMENT_LIST).write_text("".join(f"0,{name}\n" for name in names))
    (root / FOLD_LIST).write_text("".join(f"0,{name},{number % 2}\n" for number, name in enumerate(names)))
    return root
