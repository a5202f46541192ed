"""A study that is planned anew or continued: what it takes over, and what it refuses."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.loops import needs_loops
from helpers.planning import plan_study

import audiotag.corpus.partitions
import study.plan.plan
from audiotag.corpus.corpus import CorpusError
from audiotag.declarations.own_code import fingerprint
from search_spaces import SpaceError, load_space
from study.announcement import corpus_notes
from study.ledger.context import StudyContext
from study.ledger.files import LedgerError, LedgerWarning
from study.ledger.ledger import Ledger
from study.ledger.own_code import OwnCodeError
from study.plan.preflight import PlanError
from study.search.space import check_space, scan_space

ROWS = [(f"{name}.wav", number // 4, "x" * (number % 2 == 0)) for number, name in enumerate("abcdefgh")]


@pytest.fixture
def root(folder_corpus: Callable[..., Path]) -> Path:
    return folder_corpus(ROWS, seconds=0.2)


@pytest.fixture
def begun(root: Path, tmp_path: Path) -> Ledger:
    """A study of three trials of a sampled space, none of which has begun."""
    options = {"trials": 3, "epochs": 2, "partitions": 2}
    return plan_study(tmp_path, corpus=root, space="joint", name="s", **options).open_ledger()


def test_a_new_study_makes_no_folder_before_its_ledger_is_opened(root: Path, tmp_path: Path) -> None:
    plan = plan_study(tmp_path, corpus=root, space="mixup_alpha", precision="bf16", seed=4, repeats=2)
    assert not plan.root.exists()
    assert (plan.study.trials, plan.study.seeds, plan.study.varied) == (7, [4, 5], ("augmentation", "alpha"))
    assert [config.precision for config in plan.configs()] == ["bf16"]
    written = Ledger.open(plan.open_ledger().root).study
    assert written == replace(plan.study, folder=str(plan.root))


def test_the_recorded_command_has_no_password(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["study/run.py", "--tracking-uri", "https://me:secret@server/x", "--name", "a b"])
    plan = plan_study(tmp_path, corpus=root, space="mixup_alpha")
    assert plan.study.command == "python study/run.py --tracking-uri https://server/x --name 'a b'"


def test_a_resumed_study_needs_no_options(begun: Ledger, tmp_path: Path) -> None:
    plan = plan_study(tmp_path, resume="s")
    assert (plan.study, plan.grows, plan.ledger is not None) == (begun.study, False, True)
    grown = plan_study(tmp_path, resume="s", trials=5)
    assert (grown.study.trials, grown.grows) == (5, True)
    assert grown.open_ledger().study.trials == 5
    assert plan_study(tmp_path, resume="s").study.trials == 5


def test_a_study_gets_more_partitions_and_keeps_those_that_it_has(
    begun: Ledger, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = StudyContext(begun.study).key_of({})
    grown = plan_study(tmp_path, resume="s", partitions=3)
    assert (grown.grows, list(grown.study.partitions)) == (True, [1, 2, 3])
    assert grown.study.drawn[:1] == begun.study.drawn
    whole = plan_study(tmp_path, corpus=root, space="joint", trials=3, epochs=2, partitions=3, name="t").study
    assert grown.study.drawn == whole.drawn
    ledger = grown.open_ledger()
    assert StudyContext(ledger.study).key_of({}) == key
    with monkeypatch.context() as patch:  # as if another version drew others
        patch.setattr(audiotag.corpus.partitions, "ORDERS", 1)
        patch.setattr(audiotag.corpus.partitions, "partition_seed", lambda *_: 1)
        assert plan_study(tmp_path, resume="s").study.drawn == grown.study.drawn
        assert plan_study(tmp_path, resume="s", partitions=3).grows is False


def test_a_plan_without_partitions_has_those_of_the_corpus_alone(root: Path, tmp_path: Path) -> None:
    first = plan_study(tmp_path, corpus=root, space="mixup_alpha")
    assert (first.study.drawn, list(first.study.partitions)) == ((), [1])
    again = plan_study(tmp_path, corpus=root, space="mixup_alpha", partitions=1)
    assert again.study.drawn == ()


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([(*row, "house") for row in ROWS], "it has 1 of them for 2 folds"),
        # the corpus's own folds tear the group that has the tag
        ([(*row, row[2] or row[0]) for row in ROWS], r"partition 2 cannot be used: Fold . has one class only"),
    ],
)
def test_partitions_that_cannot_be_drawn_or_scored_are_refused(
    rows: list[tuple[Any, ...]], line: str, folder_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    root = folder_corpus(rows, header="filename,fold,tags,group", seconds=0.2)
    with pytest.raises(ValueError, match=rf"{line}.* (Leave out --partitions|Or ask for --partitions 1)"):
        plan_study(tmp_path, corpus=root, space="mixup_alpha", partitions=2)


def test_official_folds_that_tear_groups_are_noted(folder_corpus: Callable[..., Path], tmp_path: Path) -> None:
    rows = [(f"{number}.wav", number % 2, "x" * (number % 4 > 1), f"g{number // 4}") for number in range(24)]
    root = folder_corpus(rows, header="filename,fold,tags,group", seconds=0.2)
    plain, more = (plan_study(tmp_path, corpus=root, space="mixup_alpha", partitions=number) for number in (1, 2))
    assert [note for note in corpus_notes(more) if note not in corpus_notes(plain)] == [
        "6 groups in several of the corpus's own folds; drawn folds keep groups whole"
    ]


def test_tags_that_a_drawn_fold_cannot_score_are_noted(folder_corpus: Callable[..., Path], tmp_path: Path) -> None:
    """All clips with the rare tag are in one group, but the corpus's own folds tear it."""
    tags = ["x;rare" if number in (0, 3) else "x" * (number % 2) for number in range(12)]
    groups = ["torn" if number in (0, 3) else f"g{number}" for number in range(12)]
    rows = [(f"{n}.wav", n % 2, tag, group) for n, (tag, group) in enumerate(zip(tags, groups, strict=True))]
    root = folder_corpus(rows, header="filename,fold,tags,group", seconds=0.2)
    notes = corpus_notes(plan_study(tmp_path, corpus=root, space="mixup_alpha", partitions=2))
    assert not any("no positives" in note for note in notes)
    assert [note[:37] for note in notes if "cannot score" in note] == ["partition 2 cannot score `rare` in fo"]


def test_the_newest_unfinished_study_of_a_space_is_continued(begun: Ledger, root: Path, tmp_path: Path) -> None:
    newer = plan_study(tmp_path, corpus=root, space="joint", trials=1, name="newer").open_ledger()
    begun.update_study(created="2020-01-01T00:00:00+00:00")
    (tmp_path / "studies" / "torn").mkdir()
    (tmp_path / "studies" / "torn" / "study.json").write_text("{")
    with pytest.warns(RuntimeWarning, match="torn"), pytest.warns(LedgerWarning):
        assert plan_study(tmp_path, space="joint", resume="").root == newer.root
    (tmp_path / "studies" / "torn" / "study.json").unlink()
    newer.trial("k").write_trial(0, {"model": "crnn"})
    newer.trial("k").write_failure("made up")
    assert plan_study(tmp_path, space="joint", resume="").root == begun.root
    with pytest.raises(PlanError, match="no unfinished study of the space `dropout`"):
        plan_study(tmp_path, space="dropout", resume="")


QUESTION = """'Does it help?'

def own(x, y, rng):
    return x + 1, y

def define(trial):
    trial.suggest_categorical("augmentation", ["none", "own"])
"""


def test_a_space_of_a_user_s_own_is_found_again_by_its_path(root: Path, tmp_path: Path) -> None:
    files = [tmp_path / name / "question.py" for name in ("one", "two", "three")]
    for file in files[:2]:
        file.parent.mkdir()
        file.write_text(QUESTION)
    made = [plan_study(tmp_path, corpus=root, space=str(file), name=file.parent.name) for file in files[:2]]
    ledgers = [plan.open_ledger() for plan in made]
    ledgers[0].update_study(created="2020-01-01T00:00:00+00:00")
    for file, ledger in zip(files[:2], ledgers, strict=True):
        assert plan_study(tmp_path, space=str(file), resume="").root == ledger.root
    files[0].parent.rename(files[2].parent)
    with pytest.raises(OwnCodeError, match=r"one/question\.py is gone\. .* `study/run\.py --resume one --space PATH`"):
        plan_study(tmp_path, resume="one")
    assert plan_study(tmp_path, resume="one", space=str(files[2])).study.space_path == str(files[2])
    assert plan_study(tmp_path, resume="one", trust_code=True).study == ledgers[0].study


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"repeats": 2}, "--repeats was 1, now it is 2"),
        ({"seed": 1}, "--seed was 0, now it is 1"),
        ({"space": "dropout"}, "--space was joint, now it is dropout"),
        ({"protocol": "nested"}, "--protocol was paper, now it is nested"),
        ({"sampler": "random"}, "--sampler was tpe, now it is random"),
        ({"scheduler": "asha"}, "--scheduler was fifo, now it is asha"),
        ({"metric": "ap"}, "--metric was eer, now it is ap"),
        ({"epochs": 3}, "--epochs was 2, now it is 3"),
        ({"precision": "bf16"}, "--precision was fp32, now it is bf16"),
        ({"trials": 2}, "--trials is 2, but the study has 3"),
        ({"partitions": 1}, "--partitions is 1, but the study has 2: it can only grow"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_study_keeps_its_settings(begun: Ledger, tmp_path: Path, options: dict[str, Any], line: str) -> None:
    with pytest.raises(PlanError, match=line):
        plan_study(tmp_path, resume="s", **options)


def test_a_study_keeps_its_space_and_its_corpus(
    begun: Ledger, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = root / "clips.csv"
    table.write_text(table.read_text().replace("b.wav,0,", "b.wav,0,y"))
    with pytest.raises(PlanError, match=r"the corpus .* was tags \('x',\), now it is tags \('x', 'y'\)"):
        plan_study(tmp_path, resume="s")
    begun.update_study(space_fingerprint="0", space_source=load_space("joint").source.replace("alpha", "beta"))
    with pytest.raises(OwnCodeError, match=r"/joint\.py was .*beta.* now it is .*alpha"):
        plan_study(tmp_path, resume="s")


def test_a_study_keeps_what_its_space_imports(
    root: Path, tmp_path: Path, space_file: Callable[[str, str], Path]
) -> None:
    text = '"""Why?"""\nfrom search_spaces._values import VALUES\n\ndef define(trial):\n'
    text += "    trial.suggest_categorical('alpha', VALUES)\n    return {'augmentation': 'mixup'}\n"
    space_file("mine", text)
    space_file("_values", "VALUES = [0.5, 1.5]\n")
    ledger = plan_study(tmp_path, corpus=root, space="mine", name="s").open_ledger()
    plan_study(tmp_path, resume="s")
    space_file("_values", "VALUES = [0.5, 2.5]\n")
    with pytest.raises(OwnCodeError, match=r"/_values\.py was .*1.5.* now it is .*2.5"):
        plan_study(tmp_path, resume="s")
    # as an earlier version recorded it
    ledger.update_study(space_fingerprint=fingerprint(ledger.study.space_source, {}), space_helpers=None)
    assert plan_study(tmp_path, resume="s").study.trials == 2


@needs_loops  # of Winograd
def test_combinations_of_one_configuration_are_one_trial(
    root: Path, tmp_path: Path, space_file: Callable[[str, str], Path]
) -> None:
    text = '"""Why?"""\ndef define(trial):\n    trial.suggest_categorical("precision", ["fp32", "bf16"])\n'
    space_file("mine", text + '    trial.suggest_categorical("convolution", ["direct", "winograd"])\n')
    assert plan_study(tmp_path, corpus=root, space="mine").study.trials == 3  # bf16 has the direct one alone


def test_every_combination_of_a_sampled_space_is_tried_unless_it_says_how_many(
    root: Path, tmp_path: Path, space_file: Callable[[str, str], Path]
) -> None:
    text = '"""Why?"""\nimport optuna\nSAMPLER = "tpe"\n\ndef define(trial):\n'
    text += "    if trial.suggest_categorical('batch_size', [1, 2, 3]) == 2:\n        raise optuna.TrialPruned\n"
    space_file("mine", text)
    assert plan_study(tmp_path, corpus=root, space="mine").study.trials == 2


@pytest.mark.parametrize(
    ("options", "kind", "line"),
    [
        ({"name": "a/b"}, PlanError, "--name is 'a/b'"),
        ({"name": "s"}, LedgerError, "The study `s` exists"),
        ({"corpus": "/nowhere"}, CorpusError, "does not exist"),
        ({"sampler": "exhaustive"}, ValueError, "no list of values of alpha, dropout"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(
    begun: Ledger, root: Path, tmp_path: Path, options: dict[str, Any], kind: type[Exception], line: str
) -> None:
    with pytest.raises(kind, match=line):
        plan_study(tmp_path, **{"corpus": root, "space": "joint"} | options)
    assert [path.name for path in (tmp_path / "studies").iterdir()] == ["s"]


def test_accuracy_chooses_where_each_clip_has_one_tag(folder_corpus: Callable[..., Path], tmp_path: Path) -> None:
    root = folder_corpus([(f"{number}.wav", number // 2, "xy"[number % 2]) for number in range(4)], seconds=0.2)
    plan_study(tmp_path, corpus=root, space="joint", metric="accuracy", name="s").open_ledger()
    assert plan_study(tmp_path, resume="s").study.objective.name == "accuracy"


def test_a_metric_without_a_figure_on_the_corpus_is_refused(root: Path, tmp_path: Path) -> None:
    assert plan_study(tmp_path, corpus=root, space="joint", metric="lwlrap").study.metric == "lwlrap"
    with pytest.raises(PlanError, match=r"--metric is accuracy, but fold 0 .* exactly one tag per clip"):
        plan_study(tmp_path, corpus=root, space="joint", metric="accuracy")


def test_the_nested_protocol_needs_groups(folder_corpus: Callable[..., Path], tmp_path: Path) -> None:
    rows = [(*row, "house") for row in ROWS]
    root = folder_corpus(rows, header="filename,fold,tags,group", seconds=0.2)
    with pytest.raises(PlanError, match=r"Fold 0 .* at least 2 groups"):
        plan_study(tmp_path, corpus=root, space="joint", protocol="nested")


def test_a_sampled_space_without_an_end_needs_a_number_of_trials(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study.plan.plan, "load_space", lambda name: replace(load_space(name), trials=None))
    with pytest.raises(PlanError, match="how many trials with --trials N"):
        plan_study(tmp_path, corpus=root, space="joint")


def test_a_study_keeps_what_separates_tags(folder_corpus: Callable[..., Path], tmp_path: Path) -> None:
    cells = ["x,y", "x", "y,z", "z", "x,y", "x", "y,z", "z"]
    root = folder_corpus([(f"{number}.wav", number // 4, tags) for number, tags in enumerate(cells)], seconds=0.2)
    plan = plan_study(tmp_path, corpus=root, space="mixup_alpha", name="s", tag_separator=",")
    plan.open_ledger()
    assert plan.study.tags == ("x", "y", "z")
    other = plan_study(tmp_path, corpus=root, space="mixup_alpha", name="t")
    assert other.study.tags == ("x", "x,y", "y,z", "z")
    assert any("`x,y`" in note for note in corpus_notes(other))
    assert plan_study(tmp_path, resume="s").corpus.fingerprint == plan.corpus.fingerprint
    with pytest.raises(PlanError, match="A study keeps its settings"):
        plan_study(tmp_path, resume="s", tag_separator=";")


def test_a_study_from_before_tags_were_separated_by_bars_is_resumed(
    tmp_path: Path, folder_corpus: Callable[..., Path]
) -> None:
    rows = [(f"{number}.wav", number % 2, "x|y" if number % 4 < 2 else "z") for number in range(8)]
    root = folder_corpus(rows, seconds=0.2)
    plan = plan_study(tmp_path, corpus=root, space="mixup_alpha", name="s", tag_separator=";")
    assert plan.corpus.tags == ("x|y", "z")
    ledger = plan.open_ledger()
    record = json.loads((ledger.root / "study.json").read_text())
    del record["corpus"]["tag_separator"]  # which an earlier version did not have
    (ledger.root / "study.json").write_text(json.dumps(record))
    assert plan_study(tmp_path, resume="s").corpus.tags == ("x|y", "z")
    assert plan_study(tmp_path, corpus=root, space="mixup_alpha", name="new").corpus.tags == ("x", "y", "z")


def test_a_study_whose_space_is_gone_says_where_its_text_is(
    root: Path, tmp_path: Path, space_file: Callable[[str, str], Path]
) -> None:
    define = (
        'def define(trial):\n    trial.suggest_categorical("alpha", [0.5, 1.5])\n    return {"augmentation": "mixup"}'
    )
    path = space_file("mine", f'"""Why?"""\n{define}\n')
    plan_study(tmp_path, corpus=root, space="mine", name="s").open_ledger()
    path.unlink()
    with pytest.raises(OwnCodeError, match=r"mine\.py is gone\. .*space_source"):
        plan_study(tmp_path, resume="s")


@pytest.mark.parametrize(
    ("baseline", "refused"),
    [
        ({"augmentation": "nonne"}, True),
        ({"alpha": 0.7}, True),
        ({"alpha": 1.5}, False),
        ({"augmentation": "mixup"}, False),
    ],
)
def test_a_baseline_must_be_a_trial(baseline: dict[str, Any], refused: bool, root: Path, tmp_path: Path) -> None:
    space = replace(load_space("mixup_alpha"), baseline=baseline)
    if not refused:
        check_space(scan_space(space), {})
        return
    with pytest.raises(SpaceError, match="BASELINE"):
        check_space(scan_space(space), {})


def test_the_cross_entropy_over_tags_needs_one_tag_per_clip(
    folder_corpus: Callable[..., Path], tmp_path: Path, space_file: Callable[[str, str], Path]
) -> None:
    text = '"""Why?"""\ndef define(trial):\n    trial.suggest_categorical("loss", ["bce", "cross_entropy"])\n'
    space_file("losses", text)
    rows = [("a.wav", 0, "x"), ("b.wav", 0, "y"), ("c.wav", 1, "x"), ("d.wav", 1, "y")]
    own = folder_corpus(rows, seconds=0.2)
    plan = plan_study(tmp_path, corpus=own, space="losses", name="s")
    assert plan.study.varied == ("loss",)
    table = (own / "clips.csv").read_text()
    (own / "clips.csv").write_text(table.replace("c.wav,1,x", "c.wav,1,x;y").replace("d.wav,1,y", "d.wav,1,"))
    with pytest.raises(PlanError, match=r"2 clips of .* none or several \(the first is c\.wav with 2\): use 'bce'"):
        plan_study(tmp_path, corpus=own, space="losses", name="t")


def test_a_study_keeps_how_long_clips_may_be(
    folder_corpus: Callable[..., Path], tmp_path: Path, space_file: Callable[[str, str], Path]
) -> None:
    text = '"""Why?"""\ndef define(trial):\n    trial.suggest_categorical("crop_seconds", [0.0, 0.1, {}])\n'
    space_file("crops", text.format(0.15))
    root = folder_corpus([(f"{n}.wav", n % 2, "xy"[n // 2]) for n in range(4)], seconds=0.2)
    plan = plan_study(tmp_path, corpus=root, space="crops", name="s", clip_seconds=0.15)
    plan.open_ledger()
    assert (plan.study.corpus.clip_seconds, plan.study.corpus.asked_seconds) == (0.15, 0.15)
    assert plan_study(tmp_path, resume="s").corpus.fingerprint == plan.corpus.fingerprint
    with pytest.raises(PlanError, match=r"clip_seconds 0\.15, now it is clip_seconds 0\.2"):
        plan_study(tmp_path, resume="s", clip_seconds=1.0)
    with pytest.raises(PlanError, match=r"`crop_seconds` is 0\.15, but the clips of .* to 0\.12 s: choose less"):
        plan_study(tmp_path, corpus=root, space="crops", name="t", clip_seconds=0.12)
    assert plan_study(tmp_path, corpus=root, space="crops", name="t").study.corpus.asked_seconds is None
