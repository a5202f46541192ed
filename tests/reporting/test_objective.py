"""Reports of studies that choose by a metric of which more is better: words, sides, marks and comparisons."""

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study, with_results
from rich.console import Console

from study.cli import make_console
from study.format import decimal, signed
from study.ledger.ledger import Ledger
from study.ledger.schema import Figures, StudyResults, TrialResult
from study.reporting.comparison import write_comparison
from study.reporting.prose import answer
from study.reporting.results_files import write_results
from study.reporting.sections.against_baseline import against_baseline
from study.reporting.sections.by_parameter import by_parameter
from study.reporting.sections.further_metrics import further
from study.reporting.sections.search import importances, optimisation_history, parallel_coordinates
from study.reporting.sections.trust import trust
from study.reporting.style import style
from study.reporting.terminal_table import show_results
from study.stats.analysis import Analysis, analyse
from study.stats.rows import ResultRow

GAINS = [0.0, 2.5, 0.3]


@pytest.fixture(scope="module", params=["ap", "lwlrap"])
def judged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """A study whose second trial is clearly the best by every metric, and whose first is the baseline."""
    corpus = make_corpus(groups=50, clips=10, tags=4, evaluation=10)
    root = tmp_path_factory.mktemp("studies") / "s"
    ledger = make_study(root, ALPHAS[:3], corpus=corpus, gains=GAINS, metric=request.param)
    return analyse(ledger, with_results(ledger))


def test_the_better_row_is_the_higher_one(judged: Analysis) -> None:
    first, best, _ = judged.rows
    assert judged.best is best
    assert judged.baseline is first
    assert (best.outcome, best.test.difference > 0) == ("better", True)
    assert best.best_share > 0.9
    name = judged.objective.mean_title
    assert f"{best.label} ({name} {decimal(best.mean)}) is better than the baseline" in answer(judged)
    assert judged.selection_bias is not None
    assert judged.selection_bias <= 1e-12
    assert judged.stopping_bias <= 0  # a fold that is stopped elsewhere has less
    said = " ".join(trust(judged).lines)
    assert f"their {name} (higher is better)" in said
    assert "optimism of -" not in said  # it is how much too good the figure is, whatever is good
    assert "EER" not in said


def test_intervals_are_of_the_objective(judged: Analysis) -> None:
    for row in judged.rows:
        for kind, intervals in (("figures", row.intervals), ("evaluation", row.eval_intervals)):
            figures = getattr(row.result, kind)[judged.objective.name]
            assert intervals["mean"] is not None or figures.mean == 1
            for name, figure in {**figures.by_tag, "mean": figures.mean}.items():
                low, high = intervals[name] or (figure, figure)  # a perfect tag is perfect in every draw
                assert 0 <= low <= figure <= high <= 1


def test_figures_and_captions_name_the_objective_and_its_side(judged: Analysis) -> None:
    name = judged.objective.mean_title
    with style():
        section, parameter = against_baseline(judged), by_parameter(judged)
    assert "right of the line is better" in section.caption
    assert f"Difference in {name} " in section.caption
    assert f"{name} minus the baseline" in section.panels[0].svg
    assert section.tables[0].texts()[1][2] == signed(judged.rows[1].mean - judged.rows[0].mean)
    assert [panel.name for panel in parameter.panels] == [f"{judged.objective.name}-by-alpha"]
    assert "EER" not in parameter.panels[0].svg


def test_the_eer_and_the_other_metrics_follow_by_tag(judged: Analysis) -> None:
    section = further(judged)
    others = [name for name in ("eer", "ap", "auroc", "dprime", "lwlrap") if name != judged.objective.name]
    assert len(section.tables) == 2 * len(others)  # accuracy does not exist: clips have several tags
    for split, tables in (("figures", section.tables[:4]), ("evaluation", section.tables[4:])):
        for metric, table in zip(others, tables, strict=True):
            for row, texts in zip(judged.rows, table.texts(), strict=True):
                figures = getattr(row.result, split)[metric]
                assert texts[1:-1] == [*map(decimal, figures.by_tag.values()), decimal(figures.mean)]
                assert " | ".join(texts) in section.markdown


def test_the_terminal_shows_the_objective_and_one_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for metric, title, more in (("eer", "Equal error rate", "mAP"), ("ap", "Average precision", "EER")):
        ledger = make_study(tmp_path / metric, ALPHAS[:2], corpus=make_corpus(**SMALL), epochs=1, metric=metric)
        results = write_results(ledger, "finished")
        show_results(results, make_console())
        out = capsys.readouterr().out
        assert out.startswith(f"{title}, mean over the folds")
        header = next(line.split() for line in out.splitlines() if " Avg " in line)
        assert header[-4:] == ["Avg", "Var", more, "Time"]
        head = (ledger.root / "table.md").read_text().partition("## Answer")[0]
        (line,) = [line for line in head.splitlines() if line.startswith("| augmentation")]
        assert all(f"| {name} " in line for name in (more, "AUROC", "d'", "lwlrap"))
        narrow = Console(width=22, file=io.StringIO())
        show_results(results, narrow)
        assert more not in narrow.file.getvalue()  # it leaves first, and without a word


def test_published_rows_stand_below_eers_alone(tmp_path: Path) -> None:
    corpus = make_corpus(**SMALL | {"tags": 7})
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=corpus, epochs=1, metric="auroc", kind="chime_home")
    write_results(ledger, "finished")
    text = (ledger.root / "table.md").read_text()
    head, rest = text.split("## Further metrics")
    assert "*published*" not in head
    (eers,) = [part for part in rest.split("### ") if part.startswith("Equal error rate")]
    assert eers.count("*published*") == 2
    assert rest.count("*published*") == 2
    assert rest.count("Table 1 of the paper") == 1


# the search


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return make_study(tmp_path_factory.mktemp("studies") / "s", finished=0, corpus=make_corpus(**SMALL))


def sampled(ledger: Ledger, metric: str, params: list[dict[str, float]], means: list[float]) -> Analysis:
    study = replace(ledger.study, metric=metric, ranges={"dropout": {"low": 0.0, "high": 0.5, "log": False}})
    trials = [
        TrialResult(str(number), number, own, "finished", 1.0, {metric: Figures({}, mean)}, objective=study.objective)
        for number, (own, mean) in enumerate(zip(params, means, strict=True))
    ]
    rows = [ResultRow("s", trial, trial.params, trial.key) for trial in trials]
    return Analysis(ledger, StudyResults(study, "finished", tuple(trials)), ["dropout"], rows, rows[0], "", rows)


def step_of(svg: str) -> list[float]:
    """The heights (from the top) of the line that shows the best so far."""
    (path,) = [d for d, look in re.findall(r'<path d="([^"]+)"[^>]*style="([^"]*)"', svg) if "#0072b2" in look][:1]
    return [float(y) for _, y in re.findall(r"[ML] (\S+) (\S+)", path)]


@pytest.mark.parametrize(("metric", "sign"), [("eer", 1), ("ap", -1)])
def test_the_best_so_far_never_gets_worse(blank: Ledger, metric: str, sign: int) -> None:
    rng = np.random.default_rng(0)
    params = [{"dropout": float(rng.uniform(0, 0.5))} for _ in range(12)]
    found = sampled(blank, metric, params, rng.random(12).tolist())
    with style():
        (panel,) = optimisation_history(found)
        (lines,) = parallel_coordinates(found)
    heights = sign * np.array(step_of(panel.svg))  # downwards in a picture is more
    assert (np.diff(heights) >= 0).all()
    assert np.ptp(heights) > 0
    assert found.objective.mean_title in lines.svg


def test_importance_is_for_the_good_end(blank: Ledger) -> None:
    """Where dropout is below .1 all are good; elsewhere alpha alone moves the figure."""
    rng = np.random.default_rng(1)
    params = [{"dropout": float(rng.uniform(0, 0.5)), "alpha": float(rng.uniform(0, 1))} for _ in range(80)]
    means = [0.9 if own["dropout"] < 0.1 else 0.3 * own["alpha"] for own in params]
    found = {}
    errors = [1 - mean for mean in means]
    for case, metric, values in (("more", "ap", means), ("less", "eer", errors), ("worst", "ap", errors)):
        analysis = sampled(blank, metric, params, values)
        analysis.scientific = ["dropout", "alpha"]
        found[case] = importances(analysis)["dropout"]
    assert found["more"] == pytest.approx(found["less"])
    assert found["more"] > 0.8 > found["worst"]


# several studies


def test_studies_with_different_objectives_are_not_ranked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {"corpus": make_corpus(**SMALL), "epochs": 1}
    one = make_study(tmp_path / "a", ALPHAS[:2], gains=GAINS[:2], **options)
    other = make_study(tmp_path / "b", ALPHAS[:2], gains=GAINS[:2], metric="ap", **options)
    page = write_comparison([one, other], tmp_path, make_console())
    text = page.with_suffix(".md").read_text()
    (header,) = [line for line in text.splitlines() if line.startswith("| study")]
    columns = ["study", "trial", "EER", "mAP", "AUROC", "d'", "lwlrap"]
    assert [name.strip() for name in header.split("|")[1:-1]] == columns
    assert "different metrics" in text
    assert "verdict" not in page.read_text()
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| a |", "| b |"))]
    figures = [trial.figures for each in (one, other) for trial in with_results(each).trials]
    assert [row[2:4] for row in rows] == [[decimal(own["eer"].mean), decimal(own["ap"].mean)] for own in figures]
    assert "different metrics" in capsys.readouterr().out


def test_studies_with_the_same_other_objective_are_compared_by_it(tmp_path: Path) -> None:
    options: dict[str, Any] = {"corpus": make_corpus(groups=50, clips=10, tags=2), "epochs": 1, "metric": "ap"}
    one = make_study(tmp_path / "a", ALPHAS[:1], gains=[0.0], **options)
    other = make_study(tmp_path / "b", ALPHAS[1:2], gains=[2.5], prefix="other", **options)
    text = write_comparison([one, other], tmp_path, make_console()).with_suffix(".md").read_text()
    assert "better than the baseline" in text
    assert "different metrics" not in text
