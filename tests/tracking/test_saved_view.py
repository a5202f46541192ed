"""study.tracking.saved_view: what the view holds, when it is a user's, and that MLflow's own page shows it."""

import base64
import json
import re
import shutil
import zlib
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import mlflow
import pytest
from helpers.chromium import needs_chromium, read_page
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study
from helpers.ports import port_answers
from helpers.tracked import client_of, copy_to

from audiotag.metrics import METRICS
from study.ledger.ledger import Ledger
from study.ledger.results import study_results
from study.reporting.results_files import write_results
from study.tracking.mlflow_store import server_version
from study.tracking.mlflow_sync import MlflowCopy
from study.tracking.run_labels import fold_name, run_color
from study.tracking.saved_view import EMPTY, VIEW, Version, is_own, view_key, view_link, view_path, view_value
from study.tracking.tracker import Progress

CORPUS = make_corpus(**SMALL)
JOINT = [{"augmentation": "none", "dropout": 0.1}, {"augmentation": "mixup", "alpha": 0.5, "dropout": 0.2}]


def make(root: Path, configs: list[dict[str, Any]] | None = None, **more: Any) -> Ledger:
    return make_study(root, ALPHAS[:3] if configs is None else configs, **{"corpus": CORPUS, "epochs": 2, **more})


def state_of(value: str) -> dict[str, Any]:
    """The state in a tag, as MLflow's page unpacks it."""
    packed = json.loads(value)["state"]
    assert packed.startswith("deflate;")
    return json.loads(zlib.decompress(base64.b64decode(packed.removeprefix("deflate;"))))


def charts_of(state: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [chart for chart in state["compareRunCharts"] if chart["type"] == kind]


def value_of(ledger: Ledger) -> str:
    return view_value(study_results(ledger, "finished"))


def tags_of(uri: str) -> dict[str, str]:
    """Tags of the experiment that are views."""
    tags = client_of(uri).get_experiment_by_name("mixup_alpha").tags
    return {name.removeprefix(VIEW): value for name, value in tags.items() if name.startswith(VIEW)}


# what it holds


def test_the_trials_of_the_study_the_best_first(tmp_path: Path) -> None:
    ledger = make(tmp_path / "s")
    state = state_of(value_of(ledger))
    wanted = f"tags.`audiotag.level` = 'trial' and tags.`audiotag.study_id` = '{ledger.study.id}'"
    assert state["searchFilter"] == wanted
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`eer/mean`", True)
    columns = state["selectedColumns"]
    assert columns[:3] == ["params.`alpha`", "metrics.`eer/mean`", "metrics.`eer/var_classes`"]  # all have mixup
    assert "metrics.`vs_baseline/difference`" in columns
    assert not [name for name in columns if "eval" in name or name.startswith("tags")]


def test_by_another_metric_the_highest_comes_first(tmp_path: Path) -> None:
    ledger = make(tmp_path / "s", metric="ap", corpus=make_corpus(**SMALL, evaluation=2))
    state = state_of(value_of(ledger))
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`ap/mean`", False)
    assert "metrics.`eval_ap/mean`" in state["selectedColumns"]
    assert [chart["metricKey"] for chart in charts_of(state, "LINE")] == ["val/ap_mean", "val/loss"]


def test_every_metric_that_it_names_is_there(tmp_path: Path, uri: str) -> None:
    ledger = make(tmp_path / "s", corpus=make_corpus(**SMALL, evaluation=2), gains=[0.0, 0.3, 1.5])
    write_results(ledger, "finished")
    store, (value,) = copy_to(uri, ledger), tags_of(uri).values()
    named = set(re.findall(r"metrics\.`([^`]*)`", json.dumps(state_of(value))))
    for chart in state_of(value)["compareRunCharts"]:
        named |= {chart.get("metricKey"), chart.get("yaxis", {}).get("key"), *chart.get("selectedMetrics", [])}
    points = {name for key, run in store.items() if key[0] == "trial" for name in run["points"]}
    assert named - {None} <= points
    assert {"eer/c", "eer/m"} < named


def test_charts_over_what_differs(tmp_path: Path) -> None:
    state = state_of(value_of(make(tmp_path / "s", JOINT)))
    assert [chart["xaxis"]["key"] for chart in charts_of(state, "SCATTER")] == ["dropout"]  # one alpha is no axis
    (across,) = charts_of(state, "PARALLEL")
    assert across["selectedParams"] == ["dropout"]  # MLflow would leave out trials without alpha
    assert across["selectedMetrics"] == ["eer/c", "eer/m", "eer/mean"]
    sections = {section["uuid"]: section for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == {"result"}
    assert [name for name, section in sections.items() if section["display"]] == ["result"]
    assert set(METRICS) - {"accuracy"} < set(sections)  # clips have several tags


@pytest.mark.parametrize("finished", [0, 1])
def test_a_study_that_has_hardly_begun_has_one(finished: int, tmp_path: Path) -> None:
    state = state_of(value_of(make(tmp_path / "s", finished=finished)))
    assert len(charts_of(state, "BAR")) == 1
    assert len(charts_of(state, "PARALLEL")) == finished
    assert [chart["xaxis"]["key"] for chart in charts_of(state, "SCATTER")] == []


def test_what_mlflow_takes_is_not_exceeded(tmp_path: Path) -> None:
    corpus = make_corpus(**(SMALL | {"tags": 7}))
    names = tuple(f"{number}{base64.b85encode(bytes([7 * number] * 200)).decode()[:200]}" for number in range(7))
    state = value_of(make(tmp_path / ("s" * 200), tags=names, corpus=corpus))
    assert len(state) < 5000
    assert 1 < len(charts_of(state_of(state), "PARALLEL")[0]["selectedMetrics"]) < 8


# nothing twice, and a user's views stay


def test_it_is_written_once_under_a_key_that_stays(tmp_path: Path, uri: str) -> None:
    ledger = make(tmp_path / "s")
    copy_to(uri, ledger)
    before = tags_of(uri)
    assert before == {view_key(ledger.study): value_of(ledger)}
    copy_to(uri, Ledger.open(ledger.root))
    assert tags_of(uri) == before
    renamed = Ledger.open(ledger.root.rename(tmp_path / "other"))
    copy_to(uri, renamed)
    assert tags_of(uri).keys() == before.keys()
    assert json.loads(tags_of(uri)[view_key(ledger.study)])["name"] == "other"


def test_each_study_of_a_space_has_its_own(tmp_path: Path, uri: str) -> None:
    for name in ("one", "two"):
        copy_to(uri, make(tmp_path / name))
    assert {json.loads(value)["name"] for value in tags_of(uri).values()} == {"one", "two"}


@pytest.mark.parametrize("value", ['{"name": "mine", "createdAt": 1, "updatedAt": 2, "state": "{}"}', "?", "[]", "3"])
def test_what_a_user_saved_in_its_place_stays(value: str, tmp_path: Path, uri: str) -> None:
    ledger, client = make(tmp_path / "s"), client_of(uri)
    copy_to(uri, ledger)
    experiment = client.get_experiment_by_name("mixup_alpha").experiment_id
    client.set_experiment_tag(experiment, VIEW + view_key(ledger.study), value)
    client.set_experiment_tag(experiment, f"{VIEW}0123", value)
    copy_to(uri, Ledger.open(ledger.root))
    assert tags_of(uri) == {view_key(ledger.study): value, "0123": value}
    assert not is_own(value)


# older versions of MLflow


@pytest.mark.parametrize(("version", "named"), [(None, True), ((3, 16), True), ((3, 15), False), ((2, 14), False)])
def test_in_older_versions_a_view_is_its_state_alone(version: Version, named: bool, tmp_path: Path) -> None:
    results = study_results(make(tmp_path / "s"), "finished")
    value, newest = view_value(results, version), state_of(view_value(results))
    assert is_own(value)
    assert value.startswith("deflate;") != named
    if not named:
        old = json.loads(zlib.decompress(base64.b64decode(value.removeprefix("deflate;"))))
        assert old == newest | EMPTY
        assert not EMPTY.keys() & newest.keys()


@pytest.mark.parametrize(("version", "page"), [(None, "7/runs?"), ((3, 3), "7/runs?"), ((3, 2), "7?"), ((2, 22), "7?")])
def test_in_older_versions_runs_are_on_the_page_of_the_experiment(version: Version, page: str, tmp_path: Path) -> None:
    study = make(tmp_path / "s", finished=0).study
    assert view_path("7", study, version).startswith(f"#/experiments/{page}viewStateShareKey=")


# the link


@pytest.mark.parametrize(
    ("uri", "base"),
    [
        ("sqlite:////x/mlflow.db", "http://127.0.0.1:5000/#/"),
        ("http://there:5000/", "http://there:5000/#/"),
        ("https://me:hush@there/mlflow/?token=hush", "https://there/mlflow/#/"),
    ],
)
def test_the_link_has_no_password(uri: str, base: str, tmp_path: Path) -> None:
    study = make(tmp_path / "s", finished=0).study
    link = view_link("7", study, uri)
    assert link.startswith(f"{base}experiments/7/runs?viewStateShareKey={view_key(study)}&")
    assert "hush" not in link


def test_it_is_told_once_as_soon_as_a_running_study_can_be_seen(tmp_path: Path, uri: str) -> None:
    told: list[str] = []
    ledger = make(tmp_path / "s", finished=0)
    copy = MlflowCopy(ledger, uri, told.append)
    assert copy.view is None
    for status in ("running", "running", "finished"):
        copy.update(Progress(status))
        assert told == [copy.view]
    again = MlflowCopy(ledger, uri, told.append)
    again.update(Progress("finished"))  # of one that is not running it is among the commands that come next
    assert (again.view, len(told)) == (copy.view, 1)


def test_a_view_of_a_running_study_grows_with_it(tmp_path: Path, uri: str) -> None:
    """At 1, 2, 4, ... trials that have ended."""
    ledger, other, seen = make(tmp_path / "s", finished=0), make(tmp_path / "other" / "s"), []
    copy = MlflowCopy(ledger, uri)
    for key in (None, "key0000", "key0001", "key0002"):
        if key is not None:
            for path in other.trial(key).path.glob("fold_*"):
                shutil.copy(path, ledger.trial(key).path)
        copy.update(Progress("running"))
        seen.append(len(charts_of(state_of(tags_of(uri)[view_key(ledger.study)]), "SCATTER")))
    assert seen == [0, 0, 1, 1]
    copy.update(Progress("finished"))
    assert tags_of(uri) == {view_key(ledger.study): value_of(ledger)}


# names and colours


def test_runs_have_names_and_colours_of_their_own() -> None:
    assert fold_name("alpha 0.5", {"fold": 3}) == "alpha 0.5, fold 3"
    colors = [run_color(number) for number in range(200)]
    assert len(set(colors)) == 200
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in colors)


# MLflow's own page


@needs_chromium
@pytest.mark.slow
def test_the_link_opens_the_result(tmp_path: Path, start_server: Callable[[], Any], free_port: int) -> None:
    """From a fresh browser. It notices when MLflow keeps its views otherwise."""
    ledger = make(tmp_path / "s", gains=[0.0, 1.5, 0.5])
    write_results(ledger, "finished")
    port_answers(free_port, start_server(), tmp_path / "server.log")
    assert server_version(f"http://127.0.0.1:{free_port}") == tuple(map(int, mlflow.__version__.split(".")[:2]))
    copy = MlflowCopy(ledger, f"http://127.0.0.1:{free_port}")
    copy.update(Progress("finished"))
    assert copy.view is not None
    titles = ["eer/mean", "alpha vs. eer/mean", "Parallel Coordinates", "val/eer_mean", "val/loss"]
    html = read_page(copy.view, tmp_path, lambda html: html.count("js-plotly-plot") >= 4)
    charts = re.sub(r"<[^>]*>", "\n", html)
    assert [title for title in titles if f"\n{title}\n" not in charts] == []
    assert runs_shown(html) == ["alpha 0.1", "alpha 0.5", "alpha 0"]
    assert re.findall(r'value="(#[0-9a-f]{6})"></label>', html) == [run_color(number) for number in (1, 2, 0)]
    table = read_page(copy.view.replace("CHART", "TABLE"), tmp_path / "table", runs_shown)
    first = copy.view.partition("/runs?")[0]  # as by hand: MLflow's page for language models
    path = target_of("Its trials", read_page(first, tmp_path / "by_hand", lambda html: "Its trials" in html))
    assert copy.view.endswith(f"/{path}")
    columns = set(re.findall(r'col-id="((?:params|metrics)\.`[^"]+`)"', table))
    assert columns == set(state_of(value_of(ledger))["selectedColumns"])


def target_of(text: str, html: str) -> str:
    """Where a link on a page leads."""
    return unescape(re.findall(rf'<a [^>]*href="([^"]*)"[^>]*>{text}</a>', html)[0])


def runs_shown(html: str) -> list[str]:
    """The names of the runs in the list on MLflow's page."""
    return re.findall(r'href="#/experiments/\d+/runs/[0-9a-f]{32}"[^>]*><span[^>]*>([^<]+)<', html)
