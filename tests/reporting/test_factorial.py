"""The section on factorial studies: its tables, figure and words, on the page and in table.md."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.chains import THREE, every_chain
from helpers.made_up import ALPHAS, SMALL, analysis_of, make_corpus, make_study, with_results
from helpers.pages import Page

from study.format import signed
from study.ledger.ledger import Ledger
from study.reporting.results_files import write_results
from study.reporting.section import Section
from study.reporting.sections.against_baseline import RULE, p_value
from study.reporting.sections.factorial import TITLE, factorial
from study.reporting.style import style
from study.stats.analysis import Analysis, analyse
from study.stats.factorial import analyse_factorial

CHAINS = every_chain()
NONE, MIXUP = {"augmentation": "none"}, {"augmentation": "mixup", "alpha": 1.5}
DROPOUT = [{**params, "dropout": dropout} for params in (NONE, MIXUP) for dropout in (0.0, 0.2)]


@pytest.fixture(scope="module")
def on_top(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """Mixup and spec_augment help, together less than the sum of both; freq_mixstyle does nothing."""
    chains = [params["augmentation"].split("+") for params in CHAINS]
    gains = [0.8 * ("mixup" in chain or "spec_augment" in chain) + 0.4 * ("mixup" in chain) for chain in chains]
    root = tmp_path_factory.mktemp("studies") / "on_top"
    ledger = make_study(root, CHAINS, corpus=make_corpus(groups=50, clips=10, tags=4), epochs=1, gains=gains)
    write_results(ledger, "finished")
    return ledger


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return make_study(tmp_path_factory.mktemp("studies") / "s", finished=0, corpus=make_corpus(**SMALL))


def section_of(analysis: Analysis) -> Section | None:
    with style():
        return factorial(analysis)


def drawn(ledger: Ledger, configs: list[dict[str, Any]], means: np.ndarray, **options: Any) -> Section:
    section = section_of(analysis_of(ledger, configs, means, **options))
    assert section is not None
    return section


# reference


def test_tables_show_every_effect(on_top: Ledger) -> None:
    analysis = analyse(on_top, with_results(on_top))
    section, found = section_of(analysis), analyse_factorial(analysis)
    effects, factors = section.tables
    names = ["mixup", "spec_augment", "freq_mixstyle", "mixup \u00d7 spec_augment", "mixup \u00d7 freq_mixstyle"]
    names += ["spec_augment \u00d7 freq_mixstyle", "mixup \u00d7 spec_augment \u00d7 freq_mixstyle"]
    assert [texts[0] for texts in effects.texts()] == names
    for texts, effect in zip(effects.texts(), found.effects, strict=True):
        test = effect.tested
        figures = [signed(test.difference), f"{signed(test.low)} to {signed(test.high)}", f"{test.t:.2f}"]
        assert texts[1:-1] == [*figures, p_value(test.p), p_value(effect.adjusted)]
    for texts, effect, alone in zip(factors.texts(), found.on_top, found.alone, strict=True):
        assert texts[1:3] == [signed(alone), signed(effect.test.difference)]
    assert [texts[-1] for texts in effects.texts()[:4]] == [
        "better with it",
        "better with it",
        "not distinguishable",
        "together worse than the sum of both effects",
    ]
    assert [line.kind for line in effects.lines[:4]] == ["better", "better", "indistinguishable", "worse"]


def test_page_and_markdown_have_the_section(on_top: Ledger) -> None:
    page = Page((on_top.root / "report.html").read_text(encoding="utf-8"))
    text = (on_top.root / "table.md").read_text(encoding="utf-8")
    section = section_of(analyse(on_top, with_results(on_top)))
    assert page.open == []
    for part in (TITLE, section.intro, section.caption, *section.lines, *section.notes):
        assert part in page.text
    assert f"## {TITLE}\n\n{section.markdown}\n" in text
    for table in section.tables:
        assert f"### {table.title}\n\n{table.markdown()}" in section.markdown
        for texts in table.texts():
            assert " ".join(texts) in page.text
    (panel,) = section.panels
    assert (on_top.root / "figures" / "effects.svg").read_text(encoding="utf-8") == panel.svg
    for name in THREE:
        assert name in panel.svg


def test_an_interaction_is_read_with_its_own_numbers(blank: Ledger) -> None:
    """Mixup changes the mean by -.100 without dropout and by -.020 with it."""
    cells = np.array([0.4, 0.35, 0.3, 0.33])  # of DROPOUT
    means = cells[:, None] + 0.001 * np.random.default_rng(0).normal(size=(4, 5)).round(1)
    means -= means.mean(axis=1, keepdims=True) - cells[:, None]
    (line,) = drawn(blank, DROPOUT, means).lines
    assert "mixup changes the mean EER by -.100 with dropout 0 and by -.020 with dropout 0.2" in line
    trials = [params for params in CHAINS if "freq_mixstyle" not in params["augmentation"]]  # none, spec, mixup, both
    (line,) = drawn(blank, trials, means).lines
    assert "mixup changes the mean EER by -.100 without spec_augment and by -.020 with spec_augment" in line


def test_factors_are_named_with_what_they_are_off(blank: Ledger) -> None:
    section = drawn(blank, DROPOUT, np.random.default_rng(1).uniform(size=(4, 5)))
    assert "2 factors, each on or off: mixup, dropout 0.2 (off: dropout 0)" in section.intro


@pytest.mark.parametrize(("metric", "side", "name"), [("eer", "left", "mean EER"), ("ap", "right", "mAP")])
def test_the_better_side_is_that_of_the_objective(blank: Ledger, metric: str, side: str, name: str) -> None:
    sign = -1 if metric == "eer" else 1
    noise = 0.001 * np.random.default_rng(2).normal(size=(4, 5))
    section = drawn(blank, DROPOUT, 0.5 + sign * np.array([[0.0], [0.1], [0.1], [0.4]]) + noise, metric=metric)
    assert f"{side} of the line is better" in section.caption
    assert f"effect on the {name}" in section.panels[0].svg
    verdicts = [texts[-1] for texts in section.tables[0].texts()]
    assert verdicts == ["better with it"] * 2 + ["together better than the sum of both effects"]
    assert ("EER" in section.markdown) == (metric == "eer")


def test_a_factor_that_harms(blank: Ledger) -> None:
    noise = 0.001 * np.random.default_rng(2).normal(size=(4, 5))
    section = drawn(blank, DROPOUT, 0.5 + np.array([[0.0], [0.1], [0.0], [0.1]]) + noise)
    for table in section.tables:
        assert [texts[-1] for texts in table.texts()][:2] == ["not distinguishable", "worse with it"]


# degenerate


def test_a_failed_trial_is_named(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", CHAINS, corpus=make_corpus(**SMALL), epochs=1, finished=7)
    ledger.trial("key0007").write_failure("the loss is not finite")
    write_results(ledger, "finished")
    section = section_of(analyse(ledger, with_results(ledger)))
    assert "3 factors, each on or off: mixup, spec_augment, freq_mixstyle." in section.intro
    assert "mixup+spec_augment+freq_mixstyle" in section.intro
    assert "(failed)" in section.intro
    assert (section.tables, section.panels) == ((), [])
    assert section.markdown == section.intro
    assert section.intro in Page((ledger.root / "report.html").read_text(encoding="utf-8")).text


def test_other_studies_have_no_such_section(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:4], corpus=make_corpus(**SMALL), epochs=1)
    write_results(ledger, "finished")
    assert section_of(analyse(ledger, with_results(ledger))) is None
    for file in ("report.html", "table.md"):
        assert TITLE not in (ledger.root / file).read_text(encoding="utf-8")


def test_two_folds_show_estimates_alone(blank: Ledger) -> None:
    means = np.random.default_rng(3).uniform(size=(4, 2))
    section = drawn(blank, DROPOUT, means)
    effects, factors = section.tables
    assert list(effects.header) == ["effect", "estimate", "verdict"]
    assert list(factors.header) == ["factor", "alone", "on top", "verdict"]
    assert effects.texts()[0][1] == signed((means[2:] - means[:2]).mean())
    assert all(texts[-1].startswith("not tested: 2 folds") for texts in (*effects.texts(), *factors.texts()))
    assert (section.panels, section.lines) == ([], [])
    assert "degrees of freedom" not in section.markdown


def test_what_is_said_depends_on_what_is_shown(blank: Ledger) -> None:
    rng = np.random.default_rng(5)
    two, three, untested = (
        drawn(blank, configs, rng.uniform(size=(len(configs), folds)))
        for configs, folds in ((DROPOUT, 5), (CHAINS, 5), (CHAINS, 2))
    )
    said = [["the third is on" in each.intro, RULE in each.intro] for each in (two, three, untested)]
    assert said == [[False, True], [True, True], [True, False]]
    assert ["four times as wide" in each.markdown for each in (two, three, untested)] == [False, True, False]


def test_larger_interactions_are_said_to_be_left_out(blank: Ledger) -> None:
    rng = np.random.default_rng(4)
    four = [{**params, "dropout": dropout} for params in CHAINS for dropout in (0.0, 0.2)]
    left_out = "more than two factors are left out"
    assert left_out in drawn(blank, four, rng.uniform(size=(16, 5))).markdown
    assert left_out not in drawn(blank, CHAINS, rng.uniform(size=(8, 5))).markdown
    assert left_out not in drawn(blank, DROPOUT, rng.uniform(size=(4, 5))).markdown
