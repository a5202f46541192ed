"""Where a cluster is: --address and RAY_ADDRESS, as Ray's users give them."""

import socket

import pytest

from study.tuning.address import AddressError, check_address, find_address, say_address

HERE = "10.0.0.1:6379"


@pytest.mark.parametrize(
    ("asked", "variable", "found"),
    [
        (None, None, None),
        (None, "", None),
        (None, HERE, HERE),
        (None, "local", None),
        ("auto", None, "auto"),
        ("auto", HERE, HERE),
        ("auto", "auto", "auto"),
        ("local", HERE, None),
        ("10.0.0.2:6379", HERE, "10.0.0.2:6379"),
    ],
)
def test_ray_address_counts_where_no_other_is_named(
    asked: str | None, variable: str | None, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if variable is not None:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    assert find_address(asked) == found


def test_a_message_names_where_an_address_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert say_address(HERE) == f"--address is {HERE}"
    monkeypatch.setenv("RAY_ADDRESS", HERE)
    assert say_address(HERE) == f"RAY_ADDRESS is {HERE}"


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("nonsense", "must be HOST:PORT"),
        ("10.0.0.1", "must be HOST:PORT"),
        ("tcp://10.0.0.1:6379", "must be HOST:PORT"),
        ("ray://10.0.0.1:10001", "Ray Client .* `--address auto`"),
        ("http://10.0.0.1:8265", "dashboard.* `ray job submit`"),
    ],
)
def test_an_address_of_another_kind_is_refused_with_what_to_do(address: str, line: str) -> None:
    with pytest.raises(AddressError, match=line):
        check_address(address)


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("[::1]", socket.AF_INET6)])
def test_an_address_must_be_one_where_something_listens(host: str, family: socket.AddressFamily) -> None:
    try:
        server = socket.create_server((host.strip("[]"), 0), family=family)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    address = f"{host}:{server.getsockname()[1]}"
    with server:
        check_address(address)
    with pytest.raises(AddressError, match="nothing answers there"):
        check_address(address)
    check_address("auto")
    check_address(None)
