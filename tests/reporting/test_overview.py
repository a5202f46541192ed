"""The table of all studies."""

import io
from pathlib import Path

import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study
from rich.console import Console

from study import report
from study.ledger.results import study_results
from study.reporting.overview import overview

CORPUS = make_corpus(**SMALL)


def test_each_study_has_a_row(tmp_path: Path) -> None:
    whole = make_study(tmp_path / "whole", ALPHAS[:2], corpus=CORPUS, gains=[0.0, 2.0], created="2026-01-02T00:00:00")
    part = make_study(tmp_path / "part", ALPHAS[:3], corpus=CORPUS, finished=1, metric="ap")
    none = make_study(tmp_path / "none", ALPHAS[:2], corpus=CORPUS, finished=0, created="2026-01-03T00:00:00")
    none.trials()[0].write_failure("it diverged")
    with none.locked():
        first, second, third = overview([whole, none, part]).texts()
    best = study_results(whole, "finished").best
    assert best is not None
    mean = f"mean EER {best.mean:.3f}".replace("0.", ".")
    assert second == ["whole", "mixup_alpha", "made_up", "finished", "mixup, alpha 0.1", mean, "2026-01-02"]
    assert first[:5] == ["part", "mixup_alpha", "made_up", "1 of 3 trials", "mixup, alpha 0"]
    assert first[5].startswith("mAP .")
    assert third[3:] == ["running", "", "", "2026-01-03"]
    assert overview([none]).texts()[0][3] == "1 of 2 trials, 1 failed"


@pytest.mark.parametrize("width", [50, 80, 160])
def test_it_fits_a_terminal(tmp_path: Path, width: int) -> None:
    ledger = make_study(tmp_path / "mixup_alpha-20261129-234903", ALPHAS[:2], corpus=CORPUS)
    console = Console(width=width, file=io.StringIO())
    console.print(overview([ledger]).fit(console, most_lines=True)[0])
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    assert ("made_up" in lines[3]) == (width == 160)
    assert lines[3].split()[0] == ledger.root.name


def test_report_without_a_name_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["study/report.py", *words])
        try:
            code = report.main()
        except SystemExit as end:
            code = int(end.code or 0)
        streams = capsys.readouterr()
        return code, streams.out + streams.err

    make_study(tmp_path / "studies" / "a", ALPHAS[:2], corpus=CORPUS)
    before = sorted(tmp_path.rglob("*"))
    code, out = said("--studies", str(tmp_path / "studies"))
    assert (code, out.splitlines()[3].split()[:4]) == (0, ["a", "mixup_alpha", "made_up", "finished"])
    assert sorted(tmp_path.rglob("*")) == before
    monkeypatch.chdir(tmp_path / "studies" / "a")
    assert "There are no studies in studies" in said()[1]
    code, out = said("--studies", "nowhere")
    assert (code, out.count("\n")) == (2, 1)
