"""Draws the README's pictures from a study on real recordings: `make pictures CORPUS=PATH`.

Trains the space `augmentation` for a few epochs on a few tags of a folder corpus (ESC-10: four minutes on two cores),
then photographs its report and its table with Chromium. All but the two pictures stays in `build/pictures`: an
interrupted study continues there, a finished one is photographed again; to begin anew, delete the folder.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "pictures"
COLUMNS = 92  # of the terminal
REPORT = 1100, 1430  # width and height in pixels of the report's part that is shown: down to the first figure
LINE = 20  # pixels per terminal line
SCALE = 2  # pixels of a picture per pixel of a page, so that it is sharp on any screen
COLOURS = 64  # of a picture's palette
MOST_BYTES = 200_000  # per picture
TERMINAL = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 16px 20px; background: {background}; color: {foreground} }}
pre {{ margin: 0; font: 15px/20px "DejaVu Sans Mono", monospace }}
</style><pre>{code}</pre>"""


def write_corpus(source: Path, folder: Path, tags: int) -> None:
    """Writes a corpus of those clips that have one of the tags with the shortest names, which a table can hold."""
    with (source / "clips.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = sorted({row["tags"] for row in rows}, key=lambda tag: (len(tag), tag))[:tags]
    rows = [row for row in rows if row["tags"] in kept]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "clips.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        path = folder / "audio" / row["filename"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            shutil.copyfile(source / "audio" / row["filename"], path)


def run_study(corpus: Path, name: str, epochs: int) -> None:
    """Runs the study, or what an interruption has left of it."""
    words = ["--space", "augmentation", "--corpus", str(corpus), "--epochs", str(epochs), "--name", name]
    if (WORK / "studies" / name).exists():
        words = ["--resume", name]
    subprocess.run([sys.executable, "study/run.py", *words, *places()], cwd=ROOT, check=True)


def places() -> list[str]:
    """The options that keep a study and its MLflow runs out of the user's own."""
    return ["--studies", str(WORK / "studies"), "--tracking-uri", f"sqlite:///{WORK / 'mlflow.db'}"]


def terminal_page(name: str) -> tuple[str, int]:
    """The table of `study/report.py` as a terminal shows it: a page, and its height in pixels."""
    environment = os.environ | {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    command = [sys.executable, "study/report.py", name, *places()]
    output = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    table = output.split("\nNext:")[0].rstrip()  # then come paths of this machine
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(f"$ python study/report.py {name}\n{table}"))
    page = console.export_html(theme=MONOKAI, code_format=TERMINAL, inline_styles=True)
    return page, LINE * (table.count("\n") + 2) + 32


def photograph(page: Path, picture: Path, width: int, height: int) -> None:
    """Writes the top of a page as a PNG."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("error: Chromium is not installed: apt-get install chromium")
    with TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.png"
        options = [f"--user-data-dir={folder}", f"--window-size={width},{height}", f"--screenshot={raw}"]
        options += [f"--force-device-scale-factor={SCALE}", "--hide-scrollbars", "--disable-gpu"]
        options += ["--no-sandbox"] if os.geteuid() == 0 else []  # which Chromium refuses to root
        command = [chromium, "--headless", *options, page.as_uri()]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, timeout=120)
        Image.open(raw).convert("RGB").quantize(COLOURS).save(picture, optimize=True)
    if (size := picture.stat().st_size) > MOST_BYTES:
        sys.exit(f"error: {picture} has {size} bytes, but must have at most {MOST_BYTES}: take fewer colours.")
    print(f"{picture.relative_to(ROOT)}: {size} bytes")


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="a folder with audio/ and clips.csv, one tag per clip")
    parser.add_argument("--tags", type=int, default=5, help="how many tags of it (default 5)")
    parser.add_argument("--epochs", type=int, default=8, help="most epochs per fold (default 8)")
    arguments = parser.parse_args()
    corpus = WORK / arguments.corpus.absolute().name
    name = f"augmentation-{corpus.name}"
    write_corpus(arguments.corpus, corpus, arguments.tags)
    run_study(corpus, name, arguments.epochs)
    page, height = terminal_page(name)
    (WORK / "terminal.html").write_text(page)
    photograph(WORK / "terminal.html", ROOT / "docs" / "terminal.png", 9 * COLUMNS + 60, height)
    photograph(WORK / "studies" / name / "report.html", ROOT / "docs" / "report.png", *REPORT)


if __name__ == "__main__":
    main()
