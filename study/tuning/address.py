"""The address of a Ray cluster as Ray's users give it: --address, or the variable RAY_ADDRESS. Imports no Ray."""

import os
import socket

VARIABLE = "RAY_ADDRESS"  # Ray itself sets it for a program that `ray job submit` runs
OWN = "local"  # what Ray calls a cluster of one's own
PATIENCE = 3.0  # s that a connection may take
ON_A_MACHINE_OF_IT = "on a machine of the cluster with `--address auto`, or by `ray job submit`"


class AddressError(ValueError):
    """An address at which no study can run; one line for the user."""


def find_address(asked: str | None) -> str | None:
    """Where the cluster is that a study joins: HOST:PORT or `auto`; None for a cluster of its own.

    RAY_ADDRESS counts where --address is not given or is `auto`, as it does for Ray.
    """
    named = os.environ.get(VARIABLE, "").strip() or asked if asked in (None, "auto") else asked
    return None if named == OWN else named


def say_address(address: str) -> str:
    """Begin a message about an address: with the option, or with the variable that it comes from."""
    variable = os.environ.get(VARIABLE, "").strip() == address
    return f"{VARIABLE if variable else '--address'} is {address}"


def check_address(address: str | None) -> None:
    """Check without Ray, which tries for minutes, that something listens at an address.

    Raises:
        AddressError: Where nothing does, and for addresses of other kinds.
    """
    if address is None or address == "auto":
        return
    said = say_address(address)
    kind, _, rest = address.rpartition("://")
    if kind == "ray":
        why = "Ray Client would run the study on another machine than the one that keeps its results"
        raise AddressError(f"{said}, but {why}: start it {ON_A_MACHINE_OF_IT}.")
    if kind in ("http", "https"):
        why = f"that is Ray's dashboard: start the study {ON_A_MACHINE_OF_IT}"
        raise AddressError(f"{said}, but {why}, or with `--address {OWN}` for a cluster of its own.")
    host, _, port = rest.rpartition(":")
    if kind or not host or not port.isdigit():
        allowed = f"HOST:PORT of a running Ray cluster, auto, or {OWN} for one of the study's own"
        raise AddressError(f"{said}, but must be {allowed}.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise AddressError(f"{said}, but nothing answers there ({error}): start a cluster.") from None
