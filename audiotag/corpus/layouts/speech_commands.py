"""Speech Commands (version 2) as it is published: a folder per word, `validation_list.txt` and `testing_list.txt`.

Source: P. Warden, "Speech Commands: a dataset for limited-vocabulary speech recognition", 2018.
"""

from pathlib import Path

from audiotag.audio.find import find_audio
from audiotag.corpus.cells import read_text
from audiotag.corpus.errors import count, list_first
from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import FIXED_SPLIT, Listing, Row
from audiotag.downloads.published import Published, RemoteFile

LISTS = {"validation": Path("validation_list.txt"), "test": Path("testing_list.txt")}
SPEAKER = "_nohash_"  # what follows the speaker in the name of a file
NO_WORD = "_"  # what the names of folders begin with that are no words, such as `_background_noise_`

PUBLISHED = Published(
    title="Speech Commands v2",
    authors="Warden 2018",
    licence="CC BY 4.0",
    page="https://arxiv.org/abs/1804.03209",
    files=(
        RemoteFile(
            "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
            "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
            2_428_923_189,
        ),
    ),
    tables=tuple(path.as_posix() for path in LISTS.values()),
    unpacked=3_400_000_000,  # 105,829 clips of 1 s at most, at 16 kHz, 16 bit
)


def read(root: Path) -> Listing:
    """Read folders and lists: the tag is the word, the group the speaker; what is in no list is trained on."""
    words = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith((NO_WORD, ".")))
    parts, problems = dict[str, str](), []
    for part, name in LISTS.items():
        listed = [line.strip() for line in read_text(root / name).splitlines() if line.strip()]
        parts |= dict.fromkeys(listed, part)
        if strange := [f"`{clip}`" for clip in listed if clip.partition("/")[0] not in words]:
            problems.append(
                f"{count(len(strange), 'line')} of `{root / name}` with a word that has no folder: "
                f"{list_first(strange)}; unpack the archive again."
            )
    found = [path.relative_to(root).as_posix() for word in words for path in find_audio(root / word)]
    clips = [clip for clip in dict.fromkeys([*found, *sorted(parts)]) if clip.partition("/")[0] in words]
    if nameless := [f"`{clip}`" for clip in clips if SPEAKER not in clip]:
        problems.append(
            f"{count(len(nameless), 'recording')} of `{root}` without `{SPEAKER}` behind the speaker in the name: "
            f"{list_first(nameless)}; rename."
        )
    return Listing(
        root, tuple(_row(root, clip, parts.get(clip, "train")) for clip in clips), tuple(problems), tuple(words)
    )


def _row(root: Path, clip: str, part: str) -> Row:
    word, _, name = clip.partition("/")
    return Row(clip, root / clip, FIXED_SPLIT[part], frozenset([word]), name.partition(SPEAKER)[0])


LAYOUT = Layout(
    name="speech_commands",
    files=f"{LISTS['validation']} and {LISTS['test']} with a folder per word",
    detect=lambda root: any((root / name).is_file() for name in LISTS.values()),
    read=read,
    fixed_seconds=1.0,
    audio_folders=(),  # all of them are read
    fixed_folds=True,
    missing_audio="unpack the archive again (python -m audiotag.corpus get speech_commands does it)",
    terms=f"These are recordings of {PUBLISHED.source}: name the author.",
    published=PUBLISHED,
)
