"""Choosing among the responses stored under one key (RFC 9111 §4.1).

A selector is what a response was chosen by: the request fields that ``Vary`` names, with normalised values. Values
that say who is asking are kept as digests only.
Must not know: keys, stores.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b

from txstalecache.http.entry import Selector
from txstalecache.http.fields import CREDENTIALS, HOP_BY_HOP, LONGEST, identifying, is_token, members
from txstalecache.http.forward import PRECONDITIONS
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.remembered import remembered

__all__ = ["MOST_NAMES", "by_credentials", "matches", "names", "selector"]

#: What is never sent on as a client sent it, and says nothing about what is asked for: no answer is chosen by it.
_OF_THE_WAY = HOP_BY_HOP | PRECONDITIONS | {b"expect", b"traceparent", b"tracestate"}

#: A response that varies by more than this is as good as ``*``.
MOST_NAMES = 32

#: A value of more bytes is compared as it is: with as many variants as there may be, it would be taken apart as often.
_LONGEST = 1024

# Their members are a set: quality says what is preferred, not the order (RFC 9110 §12.5.3, §12.5.4), nor the case.
_SETS = frozenset({b"accept-encoding", b"accept-language", b"accept-charset"})


# Those whose members are a list: members with nothing in them make no difference (RFC 9110 §5.6.1).
_LISTS = frozenset(
    b"""
    accept access-control-request-headers cache-control cdn-loop content-encoding content-language forwarded pragma
    prefer priority sec-ch-ua sec-ch-ua-full-version-list via want-content-digest want-repr-digest x-forwarded-for
    """.split()
)


# Those in which a comma is one like any other character.
_TEXTS = frozenset({b"from", b"host", b"origin", b"referer", b"user-agent"})


@remembered(512, longest=_LONGEST)
def _names(value: bytes) -> tuple[bytes, ...] | None:
    if len(value) > LONGEST:
        return None
    found = {name.lower() for name in members(value)}
    if len(found) > MOST_NAMES or not all(name != b"*" and is_token(name) for name in found):
        return None
    return tuple(sorted(found - _OF_THE_WAY))


def names(fields: Fields, fixed: frozenset[bytes] = frozenset()) -> tuple[bytes, ...] | None:
    """The request fields a response varies by: lower case, sorted. None for ``*`` anywhere, or what cannot be read.

    Left out are those that are the same in whatever the origin is asked: the ``fixed`` ones, and those of the way."""
    value = fields.get(b"vary")
    found = () if value is None else _names(value)
    return tuple(name for name in found if name not in fixed) if found and fixed else found


@remembered(2048, longest=_LONGEST)
def _listed(value: bytes) -> bytes:
    return b", ".join(members(value))


@remembered(2048, longest=_LONGEST)
def _spaced(value: bytes) -> bytes:
    """With one space behind each comma, where there is something between all of them."""
    found = members(value)
    return b", ".join(found) if len(found) == value.count(b",") + 1 else value


@remembered(2048, longest=_LONGEST)
def _set(value: bytes) -> bytes:
    found = {b";".join(part.strip() for part in member.lower().split(b";")) for member in members(value)}
    # ``;q=1`` is what no weight means (RFC 9110 §12.4.2).
    return b", ".join(sorted(member.removesuffix(b";q=1") for member in found))


def _normalised(name: bytes, value: bytes) -> bytes:
    """``value`` with what makes no difference taken out (RFC 9111 §4.1): how lines were joined, spaces around members,
    set order."""
    if identifying(name):
        return blake2b(value, digest_size=20, person=b"txsc-vary").hexdigest().encode("ascii")
    if len(value) > _LONGEST:
        return value
    if name in _SETS:
        return _set(value)
    if name in _LISTS:
        return _listed(value)
    return value if name in _TEXTS else _spaced(value)


def selector(names: Collection[bytes], request: RequestHead) -> Selector:
    """What ``request`` says in the fields called ``names`` (lower case); None stands for an absent one."""
    if not names:
        return ()
    fields = request.fields
    found: list[tuple[bytes, bytes | None]] = []
    for name in sorted(names):
        value = fields.get(name)
        found.append((name, None if value is None else _normalised(name, value)))
    return tuple(found)


def matches(entry_selector: Selector, request: RequestHead) -> bool:
    """Whether ``request`` would have been given the response with this selector (RFC 9111 §4.1)."""
    fields = request.fields
    for name, wanted in entry_selector:
        value = fields.get(name)
        if value is None or wanted is None:
            if value is not wanted:
                return False
        elif (value != wanted or identifying(name)) and _normalised(name, value) != wanted:
            return False  # a secret that looks like the digest is not the secret
    return True


def by_credentials(entry_selector: Selector) -> bool:
    """Whether the response was chosen by who asked: it must not be fetched again on anybody else's behalf. Who sent no
    credentials is nobody."""
    return any(value is not None and name in CREDENTIALS for name, value in entry_selector)
