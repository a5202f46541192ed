"""A study that another program continues says so."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.small_study import STUDY

import study.ledger.provenance as provenance
from study.ledger.provenance import (
    changes_file,
    continued_with,
    current_provenance,
    provenance_changes,
    uncommitted_changes,
    write_changes,
)
from study.ledger.schema import Provenance, StudyRecord

A, B = 40 * "a", 40 * "b"
VERSIONS = {"python": "3.11.7", "torch": "2.11.0"}
BEGUN = replace(STUDY, versions=VERSIONS, git_commit=A)


def continue_with(
    monkeypatch: pytest.MonkeyPatch, begun: StudyRecord, commit: str | None, **versions: str
) -> StudyRecord:
    now = Provenance(VERSIONS | versions, commit)
    monkeypatch.setattr(provenance, "current_provenance", lambda: now)
    return replace(begun, continued_with=continued_with(begun))


def test_what_runs_now() -> None:
    now = current_provenance()
    assert {"python", "torch", "ray", "optuna", "mlflow", "numpy", "kernels"} <= now.versions.keys()
    assert now.git_commit is None or len(now.git_commit) == 40
    assert (now.git_dirty is None) == (now.git_commit is None)


def test_the_same_program_leaves_the_study_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert continue_with(monkeypatch, BEGUN, A) == BEGUN
    assert provenance_changes(BEGUN) == []


def test_another_commit_and_another_package_are_listed_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    second = continue_with(monkeypatch, BEGUN, B)
    assert continue_with(monkeypatch, second, B) == second  # goes on with the same once more
    third = continue_with(monkeypatch, second, B, torch="2.12.0")
    assert provenance_changes(continue_with(monkeypatch, third, A)) == [
        "commit aaaaaaaaaa to bbbbbbbbbb",
        "torch 2.11.0 to 2.12.0",
        "commit bbbbbbbbbb to aaaaaaaaaa, torch 2.12.0 to 2.11.0",
    ]


def test_what_is_not_known_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    assert continue_with(monkeypatch, BEGUN, None) == BEGUN
    assert continue_with(monkeypatch, STUDY, B) == STUDY  # a study from before versions were kept


def test_other_uncommitted_changes_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def go_on(begun: StudyRecord, name: str | None) -> StudyRecord:
        now = Provenance(VERSIONS, A, name is not None, name)
        monkeypatch.setattr(provenance, "current_provenance", lambda: now)
        return replace(begun, continued_with=continued_with(begun))

    clean = replace(BEGUN, git_dirty=False)
    assert go_on(clean, None) == clean
    dirty = go_on(clean, "changes-1.diff")
    assert go_on(dirty, "changes-1.diff") == dirty
    assert provenance_changes(go_on(dirty, None)) == [
        "uncommitted changes none to changes-1.diff",
        "uncommitted changes changes-1.diff to none",
    ]
    earlier = replace(BEGUN, git_dirty=True)  # of a version that did not say which
    assert go_on(earlier, "changes-1.diff") == earlier


# the working tree


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one commit, below the root of its repository."""
    root = tmp_path / "whole" / "project"
    (root / "audiotag").mkdir(parents=True)
    (root / "audiotag" / "a.py").write_text("a = 1\n\n")
    (root / ".gitignore").write_text("*.log\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", "-C", str(root.parent), *who, *words], check=True)
    monkeypatch.setattr(provenance, "PROJECT", root)
    monkeypatch.setattr(provenance, "uncommitted_changes", uncommitted_changes.__wrapped__)
    return root


@pytest.fixture
def kept(tree: Path, tmp_path: Path) -> Callable[[], str | None]:
    """What a study keeps of the working tree, as study.json names it."""
    (tmp_path / "study").mkdir()

    def keep() -> str | None:
        write_changes(tmp_path / "study")
        now = current_provenance()
        assert now.git_commit is not None
        assert now.git_dirty == (now.git_changes is not None)
        return None if now.git_changes is None else (tmp_path / "study" / now.git_changes).read_text()

    return keep


def test_a_clean_tree_leaves_no_file(tree: Path, kept: Callable[[], str | None], tmp_path: Path) -> None:
    (tree / "audiotag" / "x.log").write_text("ignored")
    (tree / "notes.txt").write_text("no source")
    (tree.parent / "beside.txt").write_text("of another project")
    assert kept() is None
    assert list((tmp_path / "study").iterdir()) == []


def test_the_changes_of_a_dirty_tree_are_kept_and_can_be_applied(
    tree: Path, kept: Callable[[], str | None], tmp_path: Path
) -> None:
    (tree / "audiotag" / "a.py").write_text("a = 2\nü = 3\n\n")
    (tree / "audiotag" / "new.py").write_text("new = 1\n")
    subprocess.run(["git", "-C", str(tree), "config", "color.ui", "always"], check=True)
    text = kept()
    assert text is not None
    assert text.startswith("untracked: audiotag/new.py\n")
    assert "new = 1" not in text
    (changes,) = (tmp_path / "study").iterdir()
    subprocess.run(["git", "-C", str(tree), "checkout", "-q", "audiotag/a.py"], check=True)
    subprocess.run(["git", "-C", str(tree.parent), "apply", str(changes)], check=True)
    assert (tree / "audiotag" / "a.py").read_text() == "a = 2\nü = 3\n\n"
    assert kept() == text
    (tree / "audiotag" / "a.py").write_text("a = 4\n")
    assert kept() != text
    assert len(list((tmp_path / "study").iterdir())) == 2
    assert changes.name == changes_file(text)


def test_untracked_source_alone_is_a_dirty_tree(tree: Path, kept: Callable[[], str | None]) -> None:
    (tree / "search_spaces").mkdir()
    (tree / "search_spaces" / "mine.py").write_text("")
    assert kept() == "untracked: search_spaces/mine.py\n"


def test_large_changes_are_cut_and_say_so(
    tree: Path, kept: Callable[[], str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "LARGEST", 3000)
    (tree / "audiotag" / "a.py").write_text("".join(f"x{number} = {number}\n" for number in range(2000)))
    text = kept()
    assert text is not None
    assert text.startswith("cut: ")
    assert 2900 < len(text) < 3100
    assert text.splitlines()[-1].startswith("+x")


def test_secrets_of_the_environment_are_masked(
    tree: Path, kept: Callable[[], str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hush4711")
    monkeypatch.setenv("SOME_API_KEY", "hush0815")
    (tree / "audiotag" / "a.py").write_text("a = 'hush4711', 'hush0815'\nb = 'http://me:hush@there/'\n")
    text = kept()
    assert text is not None
    assert "hush" not in text
    assert text.startswith("masked: ")
    assert "http://***@there/" in text


def test_what_only_looks_like_a_secret_is_kept(
    tree: Path, kept: Callable[[], str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "somebody")
    lines = [
        'links = {"home": "http://example.com", "mail": "me@example.com"}',
        'place = f"#key={key}"; x = 1',
        "disabled = True  # by somebody",
        'pattern = r"(?<=://)(?:[^/\\s:]*:(?!\\d+)|[^/]*)@"',
    ]
    (tree / "audiotag" / "a.py").write_text("\n".join(lines))
    text = kept()
    assert text is not None
    assert not text.startswith("masked")
    assert all(f"+{line}\n" in text for line in lines)


def test_without_git_nothing_is_known(monkeypatch: pytest.MonkeyPatch, tree: Path, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    now = current_provenance()
    assert (now.git_commit, now.git_dirty, now.git_changes) == (None, None, None)
