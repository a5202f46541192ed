"""study.tracking.store_errors: a failure of a tracking store in a line."""

from urllib3.exceptions import ProtocolError

from study.tracking.store_errors import reason


def test_a_long_reason_ends_at_a_word() -> None:
    line = reason(ValueError("word " * 500))
    assert line.endswith("word ...")
    assert len(line) < 400


def test_a_reason_is_that_of_the_innermost_error() -> None:
    inner = ConnectionResetError("the server hung up")
    assert reason(ProtocolError("Connection aborted.", inner)) == "the server hung up"
