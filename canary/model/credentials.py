"""What lets somebody in, blotted out of text: passwords in addresses, tokens in their queries, headers that are echoed.

It belongs where text of others is put into a sentence, and where text leaves; each does it again, for who forgets it
once has told it.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

_USERINFO: Final = re.compile(r"(?<=://)[^\s'\"<>]*@")
"""Up to the last @ that can belong to it: a password with / or ? in it, which nobody may write, ends a URL too soon."""
_SECRET_PARAMETER: Final = re.compile(r"(?i)(?<=[?&])([\w.-]*(?:token|secret|password|api_?key)[\w.-]*=)[^&#\s'\"]+")
_AUTHORIZATION: Final = re.compile(r"(?i)\b(basic|bearer)\s+[\w+/=.~-]{16,}")
_SHORTEST_SECRET: Final = 4
"""Blotting out every `a` because somebody's password is `a` would make all sentences unreadable, and protect nobody."""


def without_credentials(text: str, known: Iterable[str] = ()) -> str:
    """The text with what lets somebody in blotted out.

    That is user names, passwords and secret query parameters of every URL, what follows the words Basic and Bearer as
    in a header, and whatever is `known` to be secret (see `credentials_of`), in whatever form it appears.
    """
    for secret in known:
        text = text.replace(secret, "***")
    return _AUTHORIZATION.sub(r"\1 ***", _SECRET_PARAMETER.sub(r"\1***", _USERINFO.sub("***@", text)))


def credentials_of(address: str) -> tuple[str, ...]:
    """What is secret in an address, whatever form it has: longest first, as written and as it is sent."""
    before, at, _ = address.rpartition("@")
    if not at:
        return ()
    userinfo = before.rpartition("://")[2]
    password = userinfo.partition(":")[2]
    sent = b64encode(unquote(userinfo).encode()).decode()
    secrets = {userinfo, sent, password, unquote(password)}
    return tuple(sorted((each for each in secrets if len(each) >= _SHORTEST_SECRET), key=len, reverse=True))
