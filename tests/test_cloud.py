"""URLs of studies, and the folders that are working copies of them."""

from pathlib import Path

import pytest

from study.cloud import PlaceError, copied_folder, folder_of, is_url, register, shown, tidy, url_of


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("s3://lab", "s3://lab"),
        ("s3://lab/", "s3://lab"),
        ("S3://lab//a/b/", "s3://lab/a/b"),
        ("gs://lab/a", "gs://lab/a"),
        ("az://box/a b", "az://box/a b"),
    ],
)
def test_one_place_has_one_url(url: str, kept: str) -> None:
    assert tidy(url) == kept == tidy(kept)


@pytest.mark.parametrize(
    "url",
    ["s3://", "s3:///a", "http://host/a", "file:///a", "s3://me:secret@lab/a", "s3://lab/../a", "s3://lab?key=secret"],
)
def test_what_names_no_place_is_refused_and_no_secret_is_shown(url: str) -> None:
    assert is_url(url)
    with pytest.raises(PlaceError) as error:
        folder_of(url)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("path", ["studies", "/a/b", "../x", "s3:/lab", "C:\\studies", "a://"])
def test_a_folder_is_its_own_place(path: str) -> None:
    if path != "a://":
        assert folder_of(path) == Path(path)
        assert not is_url(path)
    assert url_of(Path(path)) is None
    assert shown(Path(path)) == str(Path(path))


def test_a_working_copy_is_shown_as_what_it_is_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("study.cloud._urls", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = folder_of("s3://lab/team/")
    assert folder == folder_of("s3://lab/team") != folder_of("s3://lab/other")
    assert tmp_path in folder.parents
    assert not folder.exists()
    assert shown(folder / "a" / "study.json") == "s3://lab/team/a/study.json"
    assert copied_folder(tmp_path) is None
    register(tmp_path / "here", "gs://box")
    assert shown(tmp_path / "here") == "gs://box"
