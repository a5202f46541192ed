"""Tables in terminals of any width: whole words, a line per row, and the tags elsewhere where they do not fit."""

import io
from dataclasses import replace
from itertools import product

import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study
from rich.console import Console

from audiotag.config import TrialConfig
from study.ledger.schema import Figures, StudyRecord, TrialResult
from study.reporting.live_table import LiveTable
from study.reporting.tables import CROSS_VALIDATION, paper_table
from study.reporting.terminal_table import fit_paper_table, not_shown

WIDTHS = (60, 80, 100, 120)
VARIED = ("augmentation", "alpha", "model", "schedule")
CONFIGS = (
    TrialConfig(augmentation="sample_pairing", schedule="intermittent"),
    TrialConfig(augmentation="extrapolation", alpha=0.7),
    TrialConfig(augmentation="mixup", alpha=5.0),
)
LETTERS = tuple("cmfvpbo")
WORDS = ("speech", "Electric guitar", "Plucked_string_instrument", "狗")


def tags_of(number: int) -> tuple[str, ...]:
    return LETTERS[:number] if number <= 7 else tuple(f"{WORDS[k % 4]} {k}" for k in range(number))


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    root = tmp_path_factory.mktemp("studies") / "s"
    return make_study(root, ALPHAS[:1], corpus=make_corpus(**SMALL), finished=0).study


def results(tags: tuple[str, ...]) -> list[TrialResult]:
    def figures(mean: float) -> dict[str, Figures]:
        return {"eer": Figures(dict.fromkeys(tags, mean), mean, 0.00123)}

    return [
        TrialResult(f"k{n}", n, config.to_dict(), "finished", 250.0, figures(0.2), evaluation=figures(0.3))
        for n, config in enumerate(CONFIGS)
    ]


def printed(console: Console) -> list[str]:
    return console.file.getvalue().rstrip().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("width", "number", "varied"), [*product(WIDTHS, (2, 7, 10, 20, 50, 200), (1, 2, 4))])
def test_a_row_is_a_line_of_whole_words(record: StudyRecord, width: int, number: int, varied: int) -> None:
    tags, console = tags_of(number), Console(width=width, file=io.StringIO())
    study = replace(record, varied=VARIED[:varied], corpus=replace(record.corpus, tags=tags))
    table = paper_table(study, results(tags), CROSS_VALIDATION)
    fitted, left_out = table.fit(console)
    console.print(fitted)
    lines = printed(console)
    rows = lines[-3:]  # below the rule
    assert set(lines[-4].strip()) == {"─"}
    assert max(map(len, lines)) <= width
    for row, texts in zip(rows, table.texts(), strict=True):
        shown = [text for column, text in enumerate(texts) if column not in left_out and text]
        assert row.split() == " ".join(shown).split()
    assert len({row.rindex(".200") for row in rows}) == 1  # Avg
    header = " ".join(lines[:-4]).split()
    names = [table.header[column] for column in range(len(table.header)) if column not in left_out]
    assert sorted(header) == sorted(" ".join(names).split())
    assert bool(not_shown(table, left_out, width)) == bool(left_out)
    if number >= 20:
        assert f"{number} tags" in not_shown(table, left_out, width)[0]
        assert {"Avg", "Var"} <= set(names)


def test_the_letters_of_chime_home_fit_into_eighty_columns(record: StudyRecord) -> None:
    study = replace(record, varied=VARIED[:2], corpus=replace(record.corpus, tags=LETTERS))
    timed = [
        replace(trial, seconds=5900.0, figures=trial.figures | {"ap": Figures({}, 0.6)}) for trial in results(LETTERS)
    ]
    console = Console(width=80, file=io.StringIO())
    _, fitted, missing = fit_paper_table(study, timed, CROSS_VALIDATION, console)
    header = [str(column.header) for column in fitted.columns]
    assert header == ["trial", *LETTERS, "Avg", "Var", "Eval", "mAP", "Time"]
    assert missing == []
    console.print(fitted)
    lines = printed(console)
    assert max(map(len, lines)) <= 80
    named = [line.split("  ")[0].split(" .")[0].strip() for line in lines[-4:]]
    assert named == ["sample_pairing", "extrapolation,", "alpha 0.7", "mixup, alpha 5"]


def test_a_line_says_what_letters_are_short_for_where_they_are_shown(record: StudyRecord) -> None:
    for kind, tags, width, words in (
        ("chime_home", LETTERS, 80, "c (child speech)"),
        ("chime_home", LETTERS, 30, ""),
        ("folder", LETTERS, 80, ""),
    ):
        study = replace(record, corpus=replace(record.corpus, tags=tags, kind=kind))
        _, _, lines = fit_paper_table(study, results(tags), CROSS_VALIDATION, Console(width=width))
        said = [line for line in lines if line.startswith("Tags: ")]
        assert [words in line for line in said] == [True] * bool(words)


def test_what_all_rows_share_stands_above_the_table(record: StudyRecord) -> None:
    study = replace(record, varied=VARIED, corpus=replace(record.corpus, tags=LETTERS[:2]))
    title, fitted, _ = fit_paper_table(study, results(LETTERS[:2])[1:], CROSS_VALIDATION, Console(width=80))
    assert title == "Equal error rate, mean over the folds; crnn in every row"
    assert [str(column.header) for column in fitted.columns][:3] == ["augmentation", "alpha", LETTERS[0]]


def test_what_fits_is_not_pushed_together(record: StudyRecord) -> None:
    study = replace(record, varied=VARIED[:1], corpus=replace(record.corpus, tags=LETTERS[:2]))
    console = Console(width=80, file=io.StringIO())
    console.print(paper_table(study, results(LETTERS[:2]), CROSS_VALIDATION).fit(console)[0])
    assert printed(console)[1].split("  ")[-5:-1] == [" Avg", " Var", "Eval", " Time"]


@pytest.mark.parametrize(("width", "varied"), [*product(WIDTHS, (1, 2, 4))])
def test_the_live_table_fits(record: StudyRecord, width: int, varied: int) -> None:
    console = Console(width=width, height=24, file=io.StringIO())
    study = replace(record, varied=VARIED[:varied], trials=40)
    table = LiveTable(console, study, slots=2, max_epochs=9)
    for number in range(30):
        table.started(f"{number:06}", CONFIGS[number % 3].to_dict())
        if number < 28:
            table.ended(f"{number:06}", None)
    console.print(table.render())
    lines = printed(console)
    assert max(map(len, lines)) <= width
    assert len(lines) <= 24
    assert sum(line.rstrip().endswith("starting") for line in lines) == 2
    assert sum("finished" in line for line in lines) == 14
    assert not any("…" in line for line in lines)
