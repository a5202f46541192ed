"""What a command imports before it has told its help or a mistake."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "torchaudio", "ray", "mlflow", "matplotlib", "obstore", "boto3")


def heavy_imports(command: str, words: list[str], code: int, folder: Path) -> str:
    """Run a command of study/ in a folder, where it must end with an exit code; which of HEAVY it imported, "[]"."""
    script = (
        "import runpy, sys\n"
        f"sys.argv = ['study/{command}', *{words!r}]\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / 'study' / command)!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        f"    assert (end.code or 0) == {code}, end.code\n"
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=folder, check=False)
    *_, last = done.stdout.splitlines() or [""]
    assert last.startswith("heavy: "), done.stdout + done.stderr
    return last.removeprefix("heavy: ")
