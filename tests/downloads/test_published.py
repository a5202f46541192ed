"""What is known of published data sets."""

from dataclasses import replace

import pytest

from audiotag.downloads.published import Published, RemoteFile, place_as_packed

ONE, OTHER = (RemoteFile(f"https://example.org/{name}.zip?download=1", "0" * 32, 10) for name in ("a", "b%20c"))
SET = Published("A set", "Nobody 2020", "CC0", "https://example.org", (ONE, OTHER), ("table.csv",))


def test_its_size_is_that_of_all_files_or_unknown() -> None:
    assert SET.size == 20
    unknown = replace(SET, files=(ONE, replace(OTHER, size=None)))
    assert (unknown.size, replace(unknown, about_size=25).size) == (None, 25)


def test_names() -> None:
    assert [file.name for file in SET.files] == ["a.zip", "b c.zip"]
    assert SET.source == "A set (Nobody 2020; CC0)"


@pytest.mark.parametrize("member", ["__MACOSX/set/a.wav", "set/._a.wav", "._set/a.wav", "set/.DS_Store"])
def test_what_macos_adds_is_left_out(member: str) -> None:
    assert place_as_packed(member) is None
    assert place_as_packed(member.replace("._", "_").replace("__MACOSX", "MACOSX").replace(".DS", "DS")) is not None
