"""Tables as spreadsheets and other programs write them: read where they are unambiguous, else one line for all rows."""

from collections.abc import Callable
from pathlib import Path

import pytest

from audiotag.corpus.__main__ import main
from audiotag.corpus.corpus import Corpus, CorpusError, open_corpus, read_tables
from audiotag.corpus.validate import tag_warnings

Write = Callable[..., Path]
ROWS = [("a.wav", 1, "x;y"), ("b.wav", 1, ""), ("c.wav", 2, "x"), ("sub/d.wav", 2, "y")]
TABLE = "filename,fold,tags\na.wav,1,x;y\nb.wav,1,\nc.wav,2,x\nsub/d.wav,2,y\n"
SEMICOLONS = TABLE.replace("x;y", '"x;y"').replace(",", ";")


@pytest.fixture
def root(folder_corpus: Write) -> Path:
    return folder_corpus(ROWS)


def with_table(root: Path, text: str, encoding: str = "utf-8") -> Path:
    (root / "clips.csv").write_bytes(text.encode(encoding))
    return root


@pytest.mark.parametrize(
    ("text", "encoding", "noted"),
    [
        (TABLE.replace(",1,", ",1.0,").replace(",2,", ",2.0,"), "utf-8", ""),
        (SEMICOLONS, "utf-8-sig", "semicolons"),
        (SEMICOLONS.replace(";1;", ";1,0;"), "utf-8", "semicolons"),
        (f"sep=;\n{SEMICOLONS}", "utf-8", "semicolons"),
        (TABLE.replace(",", "\t"), "utf-16", "tabs"),
        (TABLE.replace(",", "|"), "utf-8", "vertical bars"),
        (TABLE.replace("\n", "\r\n"), "utf-8", ""),
        (TABLE.replace("filename,fold,tags", "Filename,FOLD,Tags"), "utf-8", "`Filename` as `filename`"),
        (
            TABLE.replace("filename,fold,tags", "fname,fold,labels"),
            "utf-8",
            "`fname` as `filename`, `labels` as `tags`",
        ),
        (TABLE.replace("filename", "File name"), "utf-8", "`File name` as `filename`"),
        (TABLE.replace("sub/d", "sub\\d"), "utf-8", ""),
        (TABLE.replace("\nc.wav", "\naudio/c.wav").replace("\nsub/d", "\naudio\\sub\\d"), "utf-8", ""),
        (TABLE + "._a.wav,1,x\nsub/._d.wav,one,x\n", "utf-8", "2 rows passed over"),
        ("".join(f"{n},{line}\n" for n, line in enumerate(TABLE.splitlines())).replace("0,f", ",f", 1), "utf-8", ""),
        ("".join(f"{line},,\n" for line in TABLE.splitlines()), "utf-8", ""),
        (TABLE.replace("x;y", "x;y,,"), "utf-8", ""),
    ],
    ids=str,
)
def test_what_other_programs_write_is_the_same_corpus(root: Path, text: str, encoding: str, noted: str) -> None:
    before = open_corpus(root).fingerprint
    corpus = open_corpus(with_table(root, text, encoding))
    assert corpus.fingerprint == before
    assert len(corpus.notes) == bool(noted)
    assert noted in "".join(corpus.notes)


def test_a_file_that_is_named_as_the_table_has_it_goes_first(folder_corpus: Write) -> None:
    root = folder_corpus([("a.wav", 1, "x"), ("sub\\d.wav", 1, ""), ("sub/d.wav", 2, "x"), ("audio/a.wav", 2, "")])
    corpus = open_corpus(root)
    assert corpus.clips == ("a.wav", "sub\\d.wav", "sub/d.wav", "audio/a.wav")
    assert [path.relative_to(root / "audio").as_posix() for path in corpus.paths] == list(corpus.clips)


def test_recordings_may_lie_beside_the_table(root: Path) -> None:
    before = open_corpus(root).fingerprint
    for path in [*(root / "audio").iterdir()]:
        path.rename(root / path.name)
    (root / "audio").rmdir()
    assert open_corpus(root).fingerprint == before


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("{}.wav,one,x", "'one'"),
        ("{}.wav,1,x,y", "4 cells"),
        ("/{}.wav,1,x", "'/0.wav'"),
        ("a.wav,1,x", "`a.wav` again"),
        ("{}.wav,1,\x07", "control character"),
        ("{}.wav,,x", "`0.wav`, `1.wav`"),
    ],
)
def test_a_mistake_of_many_rows_is_one_line(root: Path, line: str, shown: str) -> None:
    with_table(root, TABLE + "".join(f"{line.format(number)}\n" for number in range(24)))
    _, problems = read_tables(root)
    assert len(problems) == 1
    assert shown in problems[0]
    assert "24" in problems[0] or "23 more lines" in problems[0]


def test_different_mistakes_have_a_line_each(root: Path) -> None:
    _, problems = read_tables(with_table(root, TABLE + "e.wav,one,x\nf.wav,two,x\n/g.wav,1,x\n"))
    assert len(problems) == 2
    assert "7 ('two')" in problems[0]


# separators of tags


def tags_of(root: Path, cells: list[str], header: str = "tags", separator: str | None = None) -> Corpus:
    lines = [f'filename,fold,"{header}"', *(f'{n}.wav,1,"{cell}"' for n, cell in enumerate(cells))]
    return read_tables(with_table(root, "\n".join(lines)), separator)[0]


@pytest.mark.parametrize(
    ("cells", "header", "separator", "tags", "warned"),
    [
        (["x|y", "x|z"], "tags", None, "x y z", ""),  # read
        (["x,y", "x", "y"], "tags", None, "x y", ""),
        (["x,y", "x", "z"], "tags", None, "x x,y z", "1 tag with `,` in 1 clip"),  # may be one name
        (["x,y", "x;z", "y", "x|z"], "tags", None, "x x,y x|z y z", "`|`"),
        (["x|y,z", "x"], "tags", None, "x y,z", "`,`"),
        (["x|y", "x"], "tags", ";", "x x|y", ""),  # asked for
        (["x,y", "x;z"], "tags", ",", "x y z", ""),
        (["x + y", "x"], "tags", "+", "x y", ""),
        (["x,y", "x;z"], "tags,", None, "x y z", ""),  # told by the header
        (["x|y", "x"], "labels;", None, "x x|y", ""),
        (["x,y", "x"], "tags,", ";", "x x,y", ""),
    ],
)
def test_separators_of_tags(
    root: Path, cells: list[str], header: str, separator: str | None, tags: str, warned: str
) -> None:
    corpus = tags_of(root, cells, header, separator)
    assert corpus.tags == tuple(tags.split(" "))
    assert len(corpus.warnings) == 2 if "x|z" in corpus.tags else bool(corpus.warnings) == bool(warned)
    assert warned in " ".join(corpus.warnings)
    guessed = not separator and header == "tags" and not warned
    assert ("separates tags" in " ".join(corpus.notes)) == guessed or warned == "`,`"


def test_long_cells_are_measured_tag_by_tag(root: Path) -> None:
    cell = "|".join(f"{'x' * 30}{number}" for number in range(9))
    assert len(tags_of(root, [cell]).tags) == 9
    corpus, problems = read_tables(root, ";")
    assert (corpus.clips, len(problems)) == ((), 1)


def test_fixed_tags_have_no_separator(metadata: Path) -> None:
    with pytest.raises(CorpusError, match="leave --tag-separator out"):
        read_tables(metadata, ",")


def test_a_written_table_says_that_a_comma_separates_nothing(root: Path) -> None:
    with_table(root, 'filename,tags;\na.wav,"x,y"\nb.wav,x\nc.wav,y\nsub/d.wav,\n')
    assert main(["folds", str(root), "--folds", "2"]) == 0
    (root / "clips_with_folds.csv").rename(root / "clips.csv")
    corpus, _ = read_tables(root)
    assert (corpus.tags, corpus.notes, corpus.warnings) == (("x", "x,y", "y"), (), ())


def test_the_command_reads_as_it_is_asked(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_table(root, 'filename,fold,tags\na.wav,1,"x,y"\nb.wav,1,\nc.wav,2,y\nsub/d.wav,2,\n')
    assert main(["check", str(root)]) == 0
    assert "1 tag with `,` in 1 clip" in capsys.readouterr().out
    assert main(["check", str(root), "--tag-separator", ","]) == 0
    shown = capsys.readouterr().out
    assert "Tags    2," in shown
    assert "with `,`" not in shown
    with pytest.raises(SystemExit) as end:
        main(["check", str(root), "--tag-separator", "and"])
    assert end.value.code == 2


# names of tags


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (["nan", "None", "null", "x"], ["`nan`", "`None`", "`null`"]),
        (["u\u0308", "\u00fc", "x"], ["`u\u0308` (with decomposed accents) = `\u00fc`"]),
        (["Dog bark", "dog_bark", "x"], ["`Dog bark` = `dog_bark`"]),
        (["x", "y"], []),
    ],
)
def test_odd_tags_are_warned_of_in_one_line(root: Path, tags: list[str], words: list[str]) -> None:
    warnings = tag_warnings(tags_of(root, tags))
    assert len(warnings) == bool(words)
    assert all(word in warnings[0] for word in words)
