"""The report in a browser: columns sort, points say what they are, rows go off and on, and nothing is asked for."""

from pathlib import Path

import numpy as np
import pytest
from helpers.chromium import visit
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study
from helpers.pages import Page

from study.format import decimal
from study.ledger.ledger import Ledger
from study.ledger.results import study_results
from study.reporting.results_files import REPORT, write_results

SORT = """
const table = document.querySelector("table"), body = table.tBodies[0], found = [];
const order = () => [...body.rows].map((row) => row.cells[0].firstChild.textContent.trim());
const heading = [...table.tHead.rows[0].cells].find((cell) => cell.textContent === "Avg" && cell.offsetWidth);
for (const event of ["", "click", "click", "key"]) {
  if (event === "click") heading.click();
  if (event === "key") heading.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  found.push([order(), heading.getAttribute("aria-sort")]);
}
return found;
"""
HOVER = """
const figure = document.querySelector("#by-parameter ~ figure svg");
figure.scrollIntoView();
const uses = [...figure.querySelector(".series").querySelectorAll("use")], tip = document.querySelector(".tip");
const said = uses.map((use) => {
  const box = use.getBoundingClientRect();
  const at = { clientX: box.x + box.width / 2, clientY: box.y + box.height / 2, bubbles: true };
  figure.dispatchEvent(new PointerEvent("pointermove", at));
  return tip.hidden ? "" : tip.textContent;
});
figure.dispatchEvent(new PointerEvent("pointerleave"));
return [said, tip.hidden];
"""
SWITCH = """
const figure = document.querySelector(".rows").closest("figure"), box = figure.querySelector(".rows input");
const shown = () => [...figure.querySelectorAll(".series")].filter((one) => one.style.display !== "none").length;
const found = [box.value, shown()];
box.click();
found.push(shown(), figure.querySelectorAll(`.series[data-row="${box.value}"]`).length);
box.click();
return [...found, shown()];
"""
NARROW = """
const wide = (element) => element.scrollWidth > document.documentElement.clientWidth;
const cells = [...document.querySelector("table").tHead.rows[0].cells].filter((cell) => cell.offsetWidth);
const first = cells[0].getBoundingClientRect().x;
document.querySelector(".scroll").scrollLeft = 400;
return [wide(document.body), cells.map((cell) => cell.textContent), cells[0].getBoundingClientRect().x === first];
"""
FOLLOWS = """
document.documentElement.style.setProperty("--ink", "rgb(1, 2, 3)");
return [...new Set([...document.querySelectorAll("figure svg text")].map((text) => getComputedStyle(text).fill))];
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    made = make_study(
        tmp_path_factory.mktemp("studies") / "s", ALPHAS[:4], corpus=make_corpus(**SMALL), gains=[0.3, 0.0, 0.9, 0.5]
    )
    write_results(made, "finished")
    return made


def test_a_click_sorts_a_table_by_a_column_and_another_one_the_other_way(ledger: Ledger, tmp_path: Path) -> None:
    seen = visit(ledger.root / REPORT, SORT, tmp_path)
    means = {str(trial.params["alpha"]): trial.mean for trial in study_results(ledger, "finished").trials}
    rising = [f"{float(alpha):g}" for alpha in sorted(means, key=lambda alpha: means[alpha] or 0)]
    assert [order for order, _ in seen.value] == [["0", "0.1", "0.5", "1"], rising, rising[::-1], rising]
    assert [arrow for _, arrow in seen.value] == [None, "ascending", "descending", "ascending"]
    assert seen.messages == []
    assert [address for address in seen.requests if not address.startswith(("file:", "data:"))] == []


def test_a_point_says_its_trial_fold_and_value(ledger: Ledger, tmp_path: Path) -> None:
    said, hidden = visit(ledger.root / REPORT, HOVER, tmp_path).value
    first = study_results(ledger, "finished").trials[0]
    values = [fold.figures["eer"].mean for fold in first.folds]
    wanted = [f"alpha 0, fold {fold.fold}: {decimal(value)}" for fold, value in zip(first.folds, values, strict=True)]
    assert hidden
    assert set(said) <= set(wanted)  # of points at one place the first is said
    assert len(set(said)) == len({decimal(value) for value in values})


def test_the_curves_of_a_row_go_off_and_on(ledger: Ledger, tmp_path: Path) -> None:
    row, all_of_them, left, own, again = visit(ledger.root / REPORT, SWITCH, tmp_path).value
    assert row == "key0000"
    assert own == 3 + 1 + 1 + 4  # folds, kept epochs, mean; training and validation of loss and accuracy
    assert (all_of_them, left, again) == (4 * own, 3 * own, 4 * own)


def test_figures_follow_the_colours_of_the_page(ledger: Ledger, tmp_path: Path) -> None:
    assert visit(ledger.root / REPORT, FOLLOWS, tmp_path).value == ["rgb(1, 2, 3)"]


def test_on_a_phone_the_mean_comes_first_and_names_stay(ledger: Ledger, tmp_path: Path) -> None:
    wide, cells, stays = visit(ledger.root / REPORT, NARROW, tmp_path, width=400).value
    assert not wide
    assert cells[:3] == ["alpha", "Avg", "c"]
    assert cells.count("Avg") == 1
    assert stays


def test_a_large_study_has_a_page_of_less_than_6_mb(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    corpus = make_corpus(**SMALL | {"tags": 7})
    corpus["targets"] = (rng.random((len(corpus["names"]), 20)) < 0.4).astype(np.uint8)
    configs = [{"augmentation": "mixup", "alpha": number / 10} for number in range(30)]
    tags = tuple(f"some tag {number}" for number in range(20))
    made = make_study(tmp_path / "s", configs, corpus=corpus, tags=tags, epochs=100)
    write_results(made, "finished")
    assert (made.root / REPORT).stat().st_size < 6e6
    assert "some tag 19" in Page((made.root / REPORT).read_text()).text


def test_the_mean_stands_before_many_tags(tmp_path: Path) -> None:
    corpus = make_corpus(**SMALL)
    corpus["targets"] = np.tile(corpus["targets"], (1, 6))
    tags = tuple(f"tag {number}" for number in range(12))
    made = make_study(tmp_path / "s", ALPHAS[:2], corpus=corpus, tags=tags)
    write_results(made, "finished")
    _, cells, _ = visit(made.root / REPORT, NARROW, tmp_path).value
    assert cells[:3] == ["alpha", "Avg", "tag 0"]
    assert cells.count("Avg") == 1
