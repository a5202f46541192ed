import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.archives import contents

from audiotag.corpus.__main__ import main
from audiotag.corpus.corpus import open_corpus, read_tables
from audiotag.corpus.propose_folds import imbalance, propose_folds
from audiotag.corpus.tables import EVALUATION

Write = Callable[..., Path]
HEADER = "filename,tags,group"


def made_up(clips: int = 60, groups: int = 20, seed: int = 0) -> list[tuple[str, str, str]]:
    rng = np.random.default_rng(seed)
    habits = rng.random((groups, 3)) * 0.8
    groups_of = [n % groups for n in range(clips)]
    tags = [";".join(np.array(list("xyz"))[rng.random(3) < habits[group]]) for group in groups_of]
    return [(f"{n}.wav", tags[n], f"g{group}") for n, group in enumerate(groups_of)]


def test_imbalance_by_hand() -> None:
    targets = np.array([[1], [1], [0], [0]], dtype=bool)
    assert imbalance(targets, np.array([1, 2, 1, 2])) == (0.0, 0.0)
    assert imbalance(targets, np.array([1, 1, 2, 2])) == (1.0, 2.0)  # 2 and 0 where 1 is wanted


def test_esc10_gets_folds_as_even_as_its_own(shared_data: Path) -> None:
    corpus, _ = read_tables(shared_data / "esc10")
    folds = propose_folds(corpus, 5, seed=0)
    assert [corpus.targets[folds == fold].sum(axis=0).tolist() for fold in range(1, 6)] == [[8.0] * 10] * 5
    assert all(len(set(folds[corpus.groups == group])) == 1 for group in set(corpus.groups))
    assert (folds != corpus.folds).any()


@pytest.mark.parametrize("seed", range(3))
def test_groups_stay_whole_and_tags_are_better_balanced_than_by_chance(folder_corpus: Write, seed: int) -> None:
    corpus, _ = read_tables(folder_corpus(made_up(seed=seed), header=HEADER))
    folds = propose_folds(corpus, 4, seed)
    assert set(folds.tolist()) == {1, 2, 3, 4}
    assert all(len(set(folds[corpus.groups == group])) == 1 for group in set(corpus.groups))
    rng = np.random.default_rng(seed)
    names, member = np.unique(corpus.groups, return_inverse=True)
    chance = [imbalance(corpus.targets > 0, rng.permutation(np.arange(len(names)) % 4)[member]) for _ in range(20)]
    assert imbalance(corpus.targets > 0, folds) < tuple(np.median(chance, axis=0) / 2)


def test_the_seed_decides(folder_corpus: Write) -> None:
    corpus, _ = read_tables(folder_corpus(made_up(), header=HEADER))
    first, again, other = (propose_folds(corpus, 4, seed) for seed in (0, 0, 1))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_the_written_table_is_the_corpus_with_folds(folder_corpus: Write, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(*row, "development") for row in made_up()] + [("e, f.wav", "x;y", "g0", "evaluation")]
    root = folder_corpus(rows, header=f"{HEADER},split")
    assert main(["folds", str(root), "--folds", "3"]) == 0
    shown = capsys.readouterr().out
    assert f"Written to {root / 'clips_with_folds.csv'}" in shown
    assert "each clip is a group of its own" not in shown
    before, _ = read_tables(root)
    (root / "clips_with_folds.csv").rename(root / "clips.csv")
    corpus = open_corpus(root)
    assert (corpus.clips, corpus.tags, corpus.groups.tolist()) == (before.clips, before.tags, before.groups.tolist())
    assert corpus.targets.tolist() == before.targets.tolist()
    assert corpus.fold_numbers == (1, 2, 3)
    assert corpus.folds[-1] == EVALUATION


def test_no_groups_are_warned_about(folder_corpus: Write, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder_corpus([row[:2] for row in made_up()], header="filename,tags")
    assert main(["folds", str(root), "--output", str(root / "new.csv")]) == 0
    assert "warning: each clip is a group of its own" in capsys.readouterr().out


def test_a_rare_tag_is_a_warning(folder_corpus: Write, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        (name, "rare" if number == 0 else "x" if number % 2 else "", group)
        for number, (name, _, group) in enumerate(made_up())
    ]
    assert main(["folds", str(folder_corpus(rows, header=HEADER))]) == 0
    assert capsys.readouterr().out.count("warning: tag `rare` has one class only in fold") == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--folds", "21"], "The number of folds is 21, but .* has 20 groups, which stay whole: ask for --folds 20"),
        (["--folds", "1"], "--folds is 1, but must be at least 2"),
        (["--output", "/nowhere/a.csv"], r"`/nowhere/a.csv` cannot be written \(no such file or directory\)"),
    ],
)
def test_mistakes(folder_corpus: Write, words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder_corpus(made_up(), header=HEADER)
    with pytest.raises(SystemExit) as end:
        main(["folds", str(root), *words])
    assert end.value.code == 2
    assert re.search(message, capsys.readouterr().err)
    assert sorted(path.name for path in root.iterdir()) == ["audio", "clips.csv"]


def test_official_folds_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, data in contents().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    with pytest.raises(SystemExit):
        main(["folds", str(tmp_path)])
    assert "has the official folds of its layout (chime-home)" in capsys.readouterr().err


def test_no_file_is_written_over(folder_corpus: Write, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder_corpus(made_up(), header=HEADER)
    before = (root / "clips.csv").read_text()
    with pytest.raises(SystemExit):
        main(["folds", str(root), "--output", str(root / "clips.csv")])
    assert "exists: take it away, or name another with --output" in capsys.readouterr().err
    assert (root / "clips.csv").read_text() == before


def test_a_table_with_mistakes_is_refused(folder_corpus: Write, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder_corpus(made_up(), header=HEADER)
    with (root / "clips.csv").open("a") as file:
        file.write("0.wav,x,g0\n/a.wav,x,g0\n")
    with pytest.raises(SystemExit):
        main(["folds", str(root)])
    told = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[0] for line in told] == ["problem", "problem", "error"]
