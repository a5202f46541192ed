"""URIs, as they may be shown and stored: without passwords and tokens."""

import re
import shlex
from collections.abc import Sequence
from typing import Any

USER = re.compile(r"(?<=://)(?:[^/\s:]*:(?!\d+(?:[/?#\s]|$))\S*|[^/?#\s]*)@")  # a password may hold / and @
SECRET = re.compile(r"(?i)([?&;#][\w.%-]*(?:pass|pwd|token|secret|key|sig|auth|cred)[\w.%-]*=)[^&#\s]+")
IN_SOURCE = re.compile(r"""(?<=://)[^\s/@:'"`,;()<>\[\]{}]+:[^\s/@:'"`,;()<>\[\]{}]+(?=@)""")  # user:password
MASK = "***"


def public(text: str) -> str:
    """Mask the user names, passwords and tokens of the URIs in a text, which is to be shown or stored.

    "http://me:secret@host/?token=abc" becomes "http://host/?token=***".
    """
    return SECRET.sub(rf"\1{MASK}", USER.sub("", text))


def is_server(uri: str) -> bool:
    """Whether a URI names a server that is reached by HTTP."""
    return uri.startswith(("http://", "https://"))


def mask_in_source(text: str) -> str:
    """Mask the user names and passwords of the URIs in the text of a program, and nothing that only looks like one."""
    return IN_SOURCE.sub(MASK, text)


def public_command(words: Sequence[Any]) -> str:
    """A command line as a shell takes it, without the passwords in its words, whatever these hold."""
    return shlex.join(_public_word(str(word)) for word in words)


def _public_word(word: str) -> str:
    """A word of a command line: spaces in it do not end a URI."""
    return public(word.replace(" ", "\0")).replace("\0", " ")
