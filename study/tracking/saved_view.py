"""A saved view of a study's trials for MLflow's page: which runs, columns and charts, and the link that opens it.

MLflow keeps a view as a tag of the experiment: since 3.16 with a name, before that its state alone. Neither the tag nor
the state in it is a public interface: they are those of its page for runs, as it was in the `version` of the server.
"""

import json
import zlib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from audiotag.uris import is_server, public
from study.format import own_params
from study.ledger.schema import Figures, StudyRecord, StudyResults, TrialResult
from study.tracking.metric_names import BASELINE, PARTITIONS, evaluation_prefix, tag_names

VIEW = "mlflow.sharedViewState."  # and the view's key: an experiment's tag
OWN = "audiotag"  # a field of the tag's value that MLflow ignores, and leaves out where a user saves the view
COMPARED = ("difference", "difference_low", "difference_high", "p_holm", "p_better")  # columns of vs_baseline
MOST_TAGS, MOST_SCATTERS = 12, 4  # axes of the parallel coordinates, and charts
ALL_SHOWN = 50  # trials up to which the charts draw all, and beyond which the first 20 rows of the table
LONGEST_NAMES = 600  # characters of these axes' tags; MLflow takes 5000 for the tag
MOST_RUNS = 100  # in a chart
RUN_NAME = "attributes.`Run Name`"  # a column
RESULT = "result"  # the section of the charts
BY_EPOCH = {"xAxisKey": "step", "useGlobalXaxisKey": False, "lineSmoothness": 0, "scaleType": "linear"}
Version = tuple[int, int] | None  # of MLflow's server, major and minor; None: as new as ours
NAMED, WITH_RUNS = (3, 16), (3, 3)  # versions from which on views have names, and runs an address of their own
EMPTY: dict[str, Any] = {  # of the state, without which the page of older versions breaks
    "runsPinned": [],
    "runsHidden": [],
    "runsExpanded": {},
    "groupBy": None,
    "groupsExpanded": {},
    "useGroupedValuesInCharts": True,
    "globalLineChartConfig": {},
    "viewMaximized": False,
    "runListHidden": False,
    "hideEmptyCharts": True,
    "autoRefreshEnabled": True,
}
PACKED = "deflate;"
LOCAL = "http://127.0.0.1:5000"  # where `mlflow ui` answers


def view_key(study: StudyRecord) -> str:
    """The key of a study's view, in its tag and in links."""
    return study.id[:12]


def view_value(results: StudyResults, version: Version = None) -> str:
    """The value of the tag that holds the view of a study's trials; of the same results always the same."""
    study, has_name = results.study, version is None or version >= NAMED
    created = round(datetime.fromisoformat(study.created).timestamp() * 1000)  # ms
    state = json.dumps(_state(results) | ({} if has_name else EMPTY), separators=(",", ":"), ensure_ascii=False)
    packed = PACKED + b64encode(zlib.compress(state.encode(), 9)).decode()
    if not has_name:
        return packed
    return json.dumps({"name": study.name, "createdAt": created, "updatedAt": created, "state": packed, OWN: 1})


def is_own(value: str) -> bool:
    """Whether the value of a view's tag is one of `view_value`, rather than what a user saved in its place."""
    if value.startswith(PACKED):  # of a version in which nobody can save in the place of another view
        return True
    try:
        return OWN in json.loads(value)
    except (ValueError, TypeError):
        return False


def view_path(experiment: str, study: StudyRecord, version: Version = None) -> str:
    """The address of a study's view within MLflow's page, as its descriptions may link to it.

    Without `workflowType` MLflow opens an experiment on its page for language models.
    """
    options = f"viewStateShareKey={view_key(study)}&compareRunsMode=CHART&workflowType=machine_learning"
    page = "" if version is not None and version < WITH_RUNS else "/runs"
    return f"#/experiments/{experiment}{page}?{options}"


def view_link(experiment: str, study: StudyRecord, uri: str, version: Version = None) -> str:
    """The address at which a browser opens a study's view, without passwords; of a database that of `mlflow ui`."""
    base = LOCAL
    if is_server(uri):
        parts = urlsplit(public(uri))
        base = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
    return f"{base}/{view_path(experiment, study, version)}"


def _state(results: StudyResults) -> dict[str, Any]:
    """The state of MLflow's page: the trials of the study, the best first, with what was varied and what came out."""
    study, differing = results.study, _differing(results)
    columns = _columns(results, differing)
    return {
        "searchFilter": f"tags.`audiotag.level` = 'trial' and tags.`audiotag.study_id` = '{study.id}'",
        "orderByKey": f"metrics.`{study.metric}/mean`",
        "orderByAsc": study.objective.lower_is_better,
        "selectedColumns": columns,
        "columnOrder": [RUN_NAME, *columns],  # else parameters come last
        "columnWidths": {RUN_NAME: 260} | {column: max(100, 50 + 7 * _length(column)) for column in columns},  # px
        "runsHiddenMode": "SHOW_ALL" if len(results.trials) <= ALL_SHOWN else "FIRST_20_RUNS",
        "compareRunCharts": _charts(results, differing),
        "compareRunSections": _sections(results),
        "isAccordionReordered": True,  # else MLflow sorts the sections by name
    }


def _differing(results: StudyResults) -> list[str]:
    """The parameters in which the trials differ; before there are two, those that the space sets."""
    varied = results.study.varied
    if len(results.trials) < 2:
        return list(varied)
    configs = [own_params(trial.params) for trial in results.trials]
    return [name for name in varied if len({str(config.get(name)) for config in configs}) > 1]


def _columns(results: StudyResults, differing: Sequence[str]) -> list[str]:
    study, metric = results.study, results.study.metric
    metrics = [f"{metric}/{name}" for name in ("mean", "var_classes")]
    metrics += [f"{evaluation_prefix(metric)}/mean"] if study.corpus.evaluation_clips else []
    metrics += [f"{BASELINE}/{name}" for name in COMPARED]
    tags = ["audiotag.status"] if results.with_status("pruned") else []
    tags += ["audiotag.failure"] if results.with_status("failed") else []
    columns = {"params": differing, "metrics": metrics, "tags": tags}
    return [f"{kind}.`{name}`" for kind, names in columns.items() for name in names]


def _length(column: str) -> int:
    """The characters in the head of a column."""
    return len(column.partition(".")[2].strip("`"))


def _sections(results: StudyResults) -> list[dict[str, Any]]:
    """The study's own charts, and folded below them those that MLflow makes of each metric."""
    metrics = _defined(trial.figures for trial in results.finished)
    scored = _defined(trial.evaluation for trial in results.finished)
    others = [*metrics, *map(evaluation_prefix, scored), BASELINE, "train", "val"]
    others += [PARTITIONS] if results.study.has_several_partitions else []
    own = {"isReordered": True, "deleted": False, "isGenerated": False}
    folded = [{"uuid": name, "name": name, "display": False, **own} for name in others]
    return [{"uuid": RESULT, "name": results.study.name, "display": True, "columns": 2, **own}, *folded]


def _defined(figures: Iterable[Mapping[str, Figures]]) -> list[str]:
    """The metrics that exist for some trial."""
    return list(dict.fromkeys(name for own in figures for name, part in own.items() if part.mean is not None))


def _charts(results: StudyResults, differing: Sequence[str]) -> list[dict[str, Any]]:
    study, metric = results.study, results.study.metric
    mean, finished = f"{metric}/mean", results.finished
    known = {name: _values(finished, name) for name in differing}
    numeric = [name for name, values in known.items() if len({*values}) > 1 and all(map(_is_number, values))]
    everywhere = [name for name in numeric if len(known[name]) == len(finished)]
    tags = [f"{metric}/{tag}" for tag in _telling_tags(finished, study)]
    x = [{"key": name, "type": "PARAM"} for name in numeric[:MOST_SCATTERS]]
    y = {"key": mean, "type": "METRIC"}
    charts = [_chart("BAR", mean, metricKey=mean, selectedMetricKeys=[mean])]
    charts += [_chart("SCATTER", axis["key"], xaxis=axis, yaxis=y) for axis in x]
    if tags:
        charts.append(_chart("PARALLEL", "tags", selectedParams=everywhere, selectedMetrics=[*tags, mean]))
    for key in (f"val/{metric}_mean", "val/loss"):
        charts.append(_chart("LINE", key, metricKey=key, selectedMetricKeys=[key], **BY_EPOCH))
    return charts


def _chart(kind: str, key: str, **more: Any) -> dict[str, Any]:
    own = {"uuid": f"{RESULT} {key}", "type": kind, "metricSectionId": RESULT}
    return own | {"runsCountToCompare": MOST_RUNS, "deleted": False, "isGenerated": False} | more


def _values(trials: Sequence[TrialResult], name: str) -> list[Any]:
    """A parameter of the trials that have it."""
    return [config[name] for trial in trials if name in (config := own_params(trial.params))]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _telling_tags(trials: Sequence[TrialResult], study: StudyRecord) -> list[str]:
    """The tags, as metrics' names have them, that every trial has a figure of; of many those that differ most."""
    by_tag = [trial.figures[study.metric].by_tag for trial in trials]
    known = {tag: [value for own in by_tag if (value := own.get(tag)) is not None] for tag in study.tags}
    whole = [tag for tag, values in known.items() if values and len(values) == len(trials)]
    names, room, chosen = tag_names(study.tags), LONGEST_NAMES, set[str]()
    for tag in sorted(whole, key=lambda tag: min(known[tag]) - max(known[tag]))[:MOST_TAGS]:
        if (room := room - len(names[tag])) >= 0:
            chosen.add(tag)
    return [names[tag] for tag in whole if tag in chosen]
