"""audiotag.uris: passwords in what the commands print or store."""

import pytest

from audiotag.cli import Parser
from audiotag.uris import public, public_command


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://me:hush@there:5000/x", "http://there:5000/x"),
        ("https://hush@there", "https://there"),
        ("postgresql+psycopg2://me:hush@there/db", "postgresql+psycopg2://there/db"),
        ("postgresql://me:hu/sh@there/db", "postgresql://there/db"),
        ("http://me:hu#sh?h@there", "http://there"),
        ("http://me:hu@sh@there/x", "http://there/x"),
        ("http://me:hu@s/h@there/x", "http://there/x"),
        ("http://me:1234@there", "http://there"),
        ("http://me:1234hush/@there", "http://there"),
        ("http://there/?token=hush&page=2", "http://there/?token=***&page=2"),
        ("http://there/?page=2&access_token=hush;x#y", "http://there/?page=2&access_token=***#y"),
        ("http://there/#api-key=hush", "http://there/#api-key=***"),
        ("sqlite:///x.db?key=hush&mode=ro", "sqlite:///x.db?key=***&mode=ro"),
    ],
)
def test_a_password_or_token_is_masked(uri: str, shown: str) -> None:
    assert public(uri) == shown
    assert "hush" not in public(f"at {uri} and '{uri}', say")
    assert public_command(["run", uri]).split()[1].strip("'") == shown


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////tmp/a@b:c/mlflow.db",
        "sqlite:///a@b.db?timeout=3",
        "http://there:5000/a@b",
        "http://[::1]:5000",
    ],
)
def test_the_rest_stays(uri: str) -> None:
    assert public(uri) == uri
    assert public(f"see {uri}: x@y") == f"see {uri}: x@y"


def test_a_password_with_spaces_is_masked_in_a_command() -> None:
    assert public_command(["run", "--uri", "http://me:hu sh@there"]) == "run --uri http://there"


def test_a_mistyped_option_shows_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Parser().parse_args(["--tracking-url=http://me:hush@there"])
    assert "hush" not in capsys.readouterr().err
