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

from PIL import Image, ImageChops  # of Pillow, which matplotlib needs
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "pictures"
COLUMNS = 92  # of the terminal
WIDTHS = {"report": 1100, "terminal": 9 * COLUMNS + 60}  # pixels of a page
TALLEST = 3000  # pixels of a page
MARGIN = 20  # pixels of a page below what it shows
SCALE = 2  # pixels of a picture per pixel of a page, so that it is sharp on any screen
COLOURS = 64  # of a picture's palette
MOST_BYTES = 250_000  # per picture
TERMINAL = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 16px 20px; background: {background}; color: {foreground} }}
pre {{ margin: 0; font: 15px/20px "DejaVu Sans Mono", monospace }}
</style><pre>{code}</pre>"""


def write_corpus(source: Path, folder: Path, tags: int) -> None:
    """Write a corpus of those clips that have one of the tags with the shortest names, which a table can hold."""
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
    """Run the study, or what an interruption has left of it."""
    words = ["--space", "augmentation", "--corpus", str(corpus), "--epochs", str(epochs), "--name", name]
    if (WORK / "studies" / name).exists():
        words = ["--resume", name]
    subprocess.run([sys.executable, "study/run.py", *words, *places()], cwd=ROOT, check=True)


def places() -> list[str]:
    """Give the options that keep a study and its MLflow runs out of the user's own."""
    return ["--studies", str(WORK / "studies"), "--tracking-uri", f"sqlite:///{WORK / 'mlflow.db'}"]


def report_page(name: str) -> str:
    """Cut the report behind its first figure."""
    page = (WORK / "studies" / name / "report.html").read_text()
    return page[: page.index("</figure>")]


def terminal_page(name: str) -> str:
    """Show the table of `study/report.py` as a terminal does."""
    environment = os.environ | {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    command = [sys.executable, "study/report.py", name, *places()]
    output = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    table = output.split("\nNext:")[0].rstrip()  # then come paths of this machine
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(f"$ python study/report.py {name}\n{table}"))
    return console.export_html(theme=MONOKAI, code_format=TERMINAL, inline_styles=True)


def photograph(page: str, name: str) -> None:
    """Write a page as a PNG, down to the last thing that it shows."""
    picture = ROOT / "docs" / f"{name}.png"
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("error: Chromium is not installed: apt-get install chromium")
    with TemporaryDirectory() as folder:
        source, raw = Path(folder) / "page.html", Path(folder) / "raw.png"
        source.write_text(page)
        options = [f"--user-data-dir={folder}", f"--window-size={WIDTHS[name]},{TALLEST}", f"--screenshot={raw}"]
        options += [f"--force-device-scale-factor={SCALE}", "--hide-scrollbars", "--disable-gpu"]
        options += ["--no-sandbox"] if os.geteuid() == 0 else []  # which Chromium refuses to root
        command = [chromium, "--headless", *options, source.as_uri()]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, timeout=120)
        image = Image.open(raw).convert("RGB")
        background = Image.new("RGB", image.size, image.getpixel((0, image.height - 1)))
        shown = ImageChops.difference(image, background).getbbox()
        assert shown is not None, "a page shows something"
        bottom = shown[3] + SCALE * MARGIN
        image.crop((0, 0, image.width, bottom)).quantize(COLOURS).save(picture, optimize=True)
    if (size := picture.stat().st_size) > MOST_BYTES:
        sys.exit(f"error: {picture} has {size} bytes, but must have at most {MOST_BYTES}: take fewer colours.")
    print(f"{picture.relative_to(ROOT)}: {size} bytes")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="a folder with audio/ and clips.csv, one tag per clip")
    parser.add_argument("--tags", type=int, default=5, help="how many tags of it (default 5)")
    parser.add_argument("--epochs", type=int, default=8, help="most epochs per fold (default 8)")
    arguments = parser.parse_args()
    corpus = WORK / arguments.corpus.absolute().name
    name = f"augmentation-{corpus.name}"
    write_corpus(arguments.corpus, corpus, arguments.tags)
    run_study(corpus, name, arguments.epochs)
    photograph(terminal_page(name), "terminal")  # which writes the report, too
    photograph(report_page(name), "report")


if __name__ == "__main__":
    main()
