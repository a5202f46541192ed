"""The files of spaces: what is read of them and of the modules that they import, and what may be wrong with them."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

import search_spaces
from search_spaces import SpaceError, load_space, space_names

SpaceFile = Callable[[str, str | bytes], Path]
SPACE = '"""Why?"""\n\ndef define(trial):\n    return {"alpha": 1.0}\n'

# reference


@pytest.mark.parametrize("name", space_names())
def test_the_fingerprint_of_a_space_that_stands_alone_is_that_of_its_text(name: str) -> None:
    """As ever: earlier studies are resumed with it."""
    space = load_space(name)
    text = (Path(search_spaces.__file__).parent / f"{name}.py").read_bytes()
    assert (space.helpers, space.fingerprint) == ({}, hashlib.sha256(text).hexdigest()[:16])


# property


@pytest.mark.parametrize(
    ("line", "helper"),
    [
        ("from search_spaces import _values", "_values"),
        ("from search_spaces._values import ALPHA", "_values"),
        ("import search_spaces._values", "_values"),
        ("from . import _values", "_values"),
        ("from ._values import ALPHA as WIDTH", "_values"),
        ("from search_spaces.shared.values import ALPHA", "shared/values"),
        ("from search_spaces.other import ALPHA", "other"),
    ],
)
@pytest.mark.parametrize("indent", ["", "def later():\n    "], ids=["at once", "later"])
def test_the_fingerprint_holds_the_modules_that_a_space_imports(
    line: str, helper: str, indent: str, space_file: SpaceFile
) -> None:
    space_file("made_up", SPACE + indent + line + "\n")
    space_file(helper, "ALPHA = 1.0\n")
    before = load_space("made_up")
    assert f"{helper}.py" in before.helpers
    space_file("_idle", "ALPHA = 1.0\n")
    assert load_space("made_up").fingerprint == before.fingerprint
    space_file(helper, "ALPHA = 2.0\n")
    assert load_space("made_up").fingerprint != before.fingerprint


def test_the_fingerprint_holds_what_helpers_import_and_nothing_of_others(space_file: SpaceFile) -> None:
    space_file(
        "made_up",
        f"{SPACE}import json, numpy.linalg\nfrom audiotag.config import TrialConfig\nimport search_spaces._a\n",
    )
    space_file("_a", "from search_spaces import SAMPLERS, _b\n")
    space_file("_b", "import search_spaces._a\nimport os.path\n")
    assert sorted(load_space("made_up").helpers) == ["_a.py", "_b.py"]


def test_the_fingerprint_of_a_link_holds_modules_beside_the_file_itself(
    space_file: SpaceFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space_file("idle", SPACE)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.py").write_text(f"{SPACE}import values_beside_mine\n")
    (elsewhere / "values_beside_mine.py").write_text("ALPHA = 1.0\n")
    (tmp_path / "spaces" / "mine.py").symlink_to(elsewhere / "mine.py")
    monkeypatch.syspath_prepend(elsewhere)
    assert list(load_space("mine").helpers) == ["values_beside_mine.py"]


def test_a_file_in_another_encoding_is_read_as_it_declares(space_file: SpaceFile) -> None:
    space_file("made_up", b"# -*- coding: latin-1 -*-\n" + SPACE.replace("Why", "Wie häufig").encode("latin-1"))
    space = load_space("made_up")
    assert space.question == "Wie häufig?"
    assert "häufig" in space.source


def test_what_a_file_prints_is_no_output_of_the_program(
    space_file: SpaceFile, capsys: pytest.CaptureFixture[str]
) -> None:
    space_file("made_up", f"{SPACE}print('hello')\n")
    load_space("made_up")
    assert capsys.readouterr() == ("", "hello\n")


# malformed

BROKEN = {
    "bytes": (SPACE.encode() + b"x = '\xfc'\n", "SyntaxError"),
    "syntax": (f"{SPACE}x = (\n", "line 5"),
    "null": (f"{SPACE}\0", "SyntaxError"),
    "exits": (f"{SPACE}import sys\nsys.exit(0)\n", "sys.exit.*line 6 of exits.py"),
    "imports": (f"{SPACE}import no_such_module\n", "no_such_module.*line 5 of imports.py"),
    "raises": (f"{SPACE}1 / 0\n", "ZeroDivisionError.*line 5 of raises.py"),
    "passed_on": (f"{SPACE}import search_spaces._raises\n", "ZeroDivisionError.*line 2 of _raises.py"),
    "empty": ("", "must have a docstring"),
    "lines": (f"{SPACE}raise ValueError('a\\nb')\n", "ValueError"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_read_says_why(name: str, space_file: SpaceFile) -> None:
    content, why = BROKEN[name]
    space_file("_raises", "\n1 / 0\n")
    space_file(name, content)
    with pytest.raises(SpaceError, match=f"(?s)`{name}` .*{why}"):
        load_space(name)


# a file elsewhere


def test_a_file_elsewhere_is_a_space_with_the_modules_beside_it(tmp_path: Path) -> None:
    (tmp_path / "question.py").write_text(
        f"{SPACE}import json\nimport values\nfrom audiotag.config import TrialConfig\n"
    )
    (tmp_path / "values.py").write_text("import more\n")
    (tmp_path / "more.py").write_text("")
    space = load_space(str(tmp_path / "question.py"))
    assert (space.name, space.path) == ("question", str(tmp_path / "question.py"))
    assert sorted(space.helpers) == ["more.py", "values.py"]
    assert space.define(None) == {"alpha": 1.0}
    assert "question" not in space_names()


@pytest.mark.parametrize("package", [True, False])
def test_modules_that_a_function_imports_when_it_is_called_belong_to_the_space(tmp_path: Path, package: bool) -> None:
    line = "from late_layers.deep import dense" if package else "from late_layers import deep"
    (tmp_path / "question.py").write_text(f"{SPACE}\ndef later():\n    {line}\n")
    (tmp_path / "late_layers").mkdir()
    (tmp_path / "late_layers" / "deep.py").write_text("")
    if package:
        (tmp_path / "late_layers" / "__init__.py").write_text("")
    helpers = sorted(load_space(str(tmp_path / "question.py")).helpers)
    assert helpers == [*["late_layers/__init__.py"] * package, "late_layers/deep.py"]


def test_a_file_may_begin_with_the_mark_of_windows_editors(tmp_path: Path) -> None:
    (tmp_path / "question.py").write_text(SPACE, encoding="utf-8-sig")
    assert load_space(str(tmp_path / "question.py")).source == SPACE


def test_a_file_in_the_working_directory_is_named_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stereotype.py").write_text(SPACE)
    with pytest.raises(SpaceError, match=r"did you mean stereotype\.py\?"):
        load_space("stereotype")


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("nothing.py", None, r"There is no Python file `.*nothing\.py`"),
        ("question.txt", SPACE, r"There is no Python file"),
        ("a question.py", SPACE, "must have a name of letters, digits"),
        ("question.py", f"{SPACE}\n1 / 0\n", r"ZeroDivisionError.*line 6 of question\.py"),
        ("question.py", "", "must have a docstring"),
        ("question.py", f"{SPACE}from . import values\n", "ImportError"),
    ],
)
def test_a_file_elsewhere_that_is_no_space_is_one_line(tmp_path: Path, name: str, text: str | None, match: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SpaceError, match=match):
        load_space(str(tmp_path / name))
