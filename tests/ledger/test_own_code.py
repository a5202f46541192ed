"""The source that a study keeps: run from its own file, or where the user trusts it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.small_study import STUDY

from search_spaces import load_space
from study.ledger.own_code import OwnCodeError, first_difference, require_trust, study_space
from study.ledger.schema import StudyRecord, read_record, write_record

TEXT = (
    '"""Why?"""\nfrom values import ALPHA\n\ndef define(trial):\n    return {"alpha": ALPHA, "augmentation": "mixup"}\n'
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A space outside the project, with a module beside it."""
    (tmp_path / "values.py").write_text("ALPHA = 1.5\n")
    (tmp_path / "question.py").write_text(TEXT)
    return tmp_path / "question.py"


def study_of(path: Path) -> StudyRecord:
    space = load_space(str(path))
    made = {"space": space.name, "space_source": space.source, "space_fingerprint": space.fingerprint}
    return replace(STUDY, **made, space_helpers=space.helpers, space_path=space.path)


def test_a_file_that_is_as_it_was_is_run(path: Path) -> None:
    study = study_of(path)
    assert read_record(StudyRecord, write_record(study)) == study
    assert study.space == "question"
    assert study.space_helpers == {"values.py": "ALPHA = 1.5\n"}
    require_trust(study, False)
    assert study_space(study).path == str(path)


@pytest.mark.parametrize(
    ("file", "text", "match"),
    [
        ("question.py", TEXT.replace("Why", "How"), r"question\.py was .*Why.* in line 1, now it is .*How.* in line 1"),
        ("values.py", "ALPHA = 2.5\n", r"values\.py was 'ALPHA = 1\.5' in line 1, now it is 'ALPHA = 2\.5' in line 1"),
        ("question.py", None, r"question\.py is gone"),
        ("values.py", None, r"values\.py is gone"),
        ("question.py", TEXT + "raise SystemExit\n", "now it is 'raise SystemExit' in line 6"),
    ],
)
def test_a_file_that_is_not_is_run_where_it_is_trusted(path: Path, file: str, text: str | None, match: str) -> None:
    study = study_of(path)
    if text is None:
        (path.parent / file).unlink()
    else:
        (path.parent / file).write_text(text)
    with pytest.raises(OwnCodeError, match=match):
        study_space(study)
    with pytest.raises(OwnCodeError, match=match):
        require_trust(study, False)
    require_trust(study, True)
    kept = study_space(study, trusted=True)
    assert (kept.fingerprint, kept.define(None)["alpha"]) == (study.space_fingerprint, 1.5)


@pytest.mark.parametrize(
    ("changes", "file"),
    [
        ({"space_path": "studies/s/question.py"}, "studies/s/question.py"),  # of the working directory
        ({"space_path": "/proc/self/cwd/question.py"}, "question.py"),
        ({"space_path": "{root}/studies/s/question.py"}, "studies/s/question.py"),
        ({"space_path": "{root}/studies/s/more/question.py"}, "studies/s/more/question.py"),
        ({"space_path": "{root}/link.py"}, "studies/s/question.py"),
        ({"space_path": "{root}/question.py", "space_source": ""}, "question.py"),
        ({"space_path": None, "space": "../../{root}/studies/s/question"}, "studies/s/question.py"),
        ({"space_path": None, "space": "{root}/question", "space_source": ""}, "question.py"),
    ],
)
def test_a_file_that_may_have_come_with_the_study_proves_nothing(
    changes: dict[str, str | None], file: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's study.json may name a place in its own folder, and bring the file along."""
    root = path.parent
    monkeypatch.chdir(root)
    monkeypatch.setattr("search_spaces.__path__", [str(root / "a" / "b")])
    values = {name: value and value.format(root=root) for name, value in changes.items()}
    study = replace(study_of(path), **values, space_helpers={})
    (root / "studies" / "s" / "more").mkdir(parents=True)
    (root / "studies" / "s" / "study.json").write_text("{}")
    (root / "a" / "b").mkdir(parents=True)
    text = "from pathlib import Path\n" + "Path('ran').touch()\n"
    study = replace(study, space_source=study.space_source and text)
    (root / file).write_text(text)
    (root / "link.py").symlink_to(root / "studies" / "s" / "question.py")
    for call in (study_space, lambda study: require_trust(study, False)):
        with pytest.raises(OwnCodeError, match="may have come with the study"):
            call(study)
    assert not (root / "ran").exists()


def test_a_file_may_move(path: Path, tmp_path: Path) -> None:
    study, there = study_of(path), tmp_path / "there"
    there.mkdir()
    for name in ("question.py", "values.py"):
        (tmp_path / name).rename(there / name)
    with pytest.raises(OwnCodeError, match="is gone"):
        study_space(study)
    assert study_space(study, path=str(there / "question.py")).fingerprint == study.space_fingerprint


def test_a_link_finds_the_modules_beside_the_file_itself(path: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / "question.py").symlink_to(path)
    study = study_of(path)
    assert study_space(study, path=str(links / "question.py")).fingerprint == study.space_fingerprint
    (tmp_path / "values.py").write_text("ALPHA = 2.5\n")
    with pytest.raises(OwnCodeError, match=r"values\.py was"):
        study_space(study, path=str(links / "question.py"))


def test_the_sampler_of_the_study_is_kept(path: Path) -> None:
    assert study_space(replace(study_of(path), sampler="random")).sampler == "random"


def test_a_space_of_the_project_is_found_by_name(space_file: Callable[[str, str], Path]) -> None:
    file = space_file("mine", TEXT.replace("from values import ALPHA", "ALPHA = 1"))
    space = load_space("mine")
    study = replace(STUDY, space="mine", space_source=space.source, space_fingerprint=space.fingerprint)
    assert study_space(study).path == ""
    file.write_text(space.source + "# more\n")
    with pytest.raises(OwnCodeError, match=r"mine\.py was shorter, now it is '# more' in line 6"):
        study_space(study)


def test_the_first_difference_of_two_texts() -> None:
    assert first_difference("a\nb", "a\n c ") == ("'b' in line 2", "'c' in line 2")
    assert first_difference("a", "a\nb") == ("shorter", "'b' in line 2")
    assert first_difference("a", "a") == ("another one", "this one")
