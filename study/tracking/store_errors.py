"""What went wrong with a tracking store, in a line for the user."""

import re
from textwrap import shorten

from audiotag.uris import public

LONGEST_REASON = 300  # characters of an error's text; MLflow quotes whole pages
FOREIGN = re.compile(r"API request to endpoint .* failed with error code (\d+) != 200")  # followed by a page of HTML
CREDENTIALS = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"


def reason(error: BaseException) -> str:
    """The root cause of an error, in a line without passwords; where access is refused, also how to get it."""
    hint = f": {CREDENTIALS}" if asks_for_credentials(error) else ""
    while inner := error.__cause__ or error.__context__ or _wrapped(error):
        error = inner
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if (answer := FOREIGN.match(text)) is not None:
        text = f"HTTP {answer[1]}"
    return shorten(public(text.splitlines()[0]), LONGEST_REASON, placeholder=" ...") + hint


def _wrapped(error: BaseException) -> BaseException | None:
    """The error that urllib3 keeps among the arguments of its own."""
    last = error.args[-1] if error.args else None
    return last if isinstance(last, BaseException) else None


def asks_for_credentials(error: BaseException) -> bool:
    """Whether a server refuses access."""
    status = getattr(error, "get_http_status_code", None)  # of MLflow's own errors
    return status is not None and status() in (401, 403)
