"""Speech Commands (version 2) as it is published: a folder per word, `validation_list.txt` and `testing_list.txt`.

Source: P. Warden, "Speech Commands: a dataset for limited-vocabulary speech recognition", 2018.
"""

from pathlib import Path

from audiotag.audio.find import find_audio
from audiotag.corpus.cells import read_text
from audiotag.corpus.errors import count, list_first
from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import FIXED_SPLIT, Listing, Row

LISTS = {"validation": Path("validation_list.txt"), "test": Path("testing_list.txt")}
SPEAKER = "_nohash_"  # what follows the speaker in the name of a file
NO_WORD = "_"  # what the names of folders begin with that are no words, such as `_background_noise_`


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
    missing_audio="unpack the archive again",
    terms="These are recordings of Speech Commands (Warden 2018; CC BY 4.0): name the author.",
)
