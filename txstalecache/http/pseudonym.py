"""What a proxy calls itself to others on the way (RFC 9110 §7.6.3, RFC 9211 §2).

Must not know: what is said of it.
"""

from __future__ import annotations

from typing import Final

from txstalecache.http.fields import is_token

__all__ = ["OURS", "Pseudonym"]


class Pseudonym:
    """``name`` in ``Via`` and ``Cache-Status``. Who finds it in a request has seen that before: two proxies in a row
    have two, all processes of a fleet have one. ValueError for what is no token, or has more than 64 characters."""

    __slots__ = ("name", "passed")

    LONGEST: Final = 64

    def __init__(self, name: str) -> None:
        self.name = name.encode("ascii", "replace")
        if not name.isascii() or not is_token(self.name) or len(name) > self.LONGEST:
            raise ValueError("expected 1 to 64 characters of a token: letters, digits and !#$%&'*+-.^_`|~")
        self.passed = (b"Via", b"1.1 " + self.name)
        """What each message is given that goes on, in either direction."""


#: Where nobody says another one.
OURS: Final = Pseudonym("txstalecache")
