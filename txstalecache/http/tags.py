"""Tags: the names under which entries are purged together.

``Surrogate-Key`` and ``xkey`` are separated by spaces, ``Cache-Tag`` by commas; ``Cache-Groups`` is a structured list
of strings (RFC 9875) whose groups belong to one origin each.
Must not know: how purges are recorded.
"""

from __future__ import annotations

from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.structured import Item, String, parse_list

__all__ = ["group_tag", "invalidated", "of"]

_FIELDS = (b"surrogate-key", b"xkey", b"cache-tag", b"cache-groups")
_NONE: frozenset[bytes] = frozenset()


def _groups(value: bytes | None) -> list[bytes]:
    """The strings of a list of strings; what is not one makes the whole field nothing (RFC 9875 §2, §3)."""
    if value is None:
        return []
    found: list[bytes] = []
    for member in parse_list(value) or ():
        if not isinstance(member, Item) or not isinstance(member.value, String):
            return []
        found.append(member.value.value)
    return found


def group_tag(request: RequestHead, group: bytes) -> bytes:
    """The tag of a cache group: groups of other origins with the same name are other groups (RFC 9875 §2.1), and one
    origin is one however it was written."""
    return b"group:%s://%s:%s" % (request.scheme, request.host, group)


def of(request: RequestHead, fields: Fields) -> frozenset[bytes]:
    """The tags of the response with ``fields`` to ``request``. A cache group counts under its bare name as well, so
    that an operator can purge it as any other tag."""
    if fields.names.isdisjoint(_FIELDS):
        return _NONE
    found: set[bytes] = set()
    for name in (b"surrogate-key", b"xkey"):
        for value in fields.get_all(name):
            found.update(value.split())
    for value in fields.get_all(b"cache-tag"):
        found.update(tag for part in value.split(b",") if (tag := part.strip()))
    for group in _groups(fields.get(b"cache-groups")):
        found.add(group)
        found.add(group_tag(request, group))
    return frozenset(found)


def invalidated(request: RequestHead, fields: Fields) -> frozenset[bytes]:
    """The tags that a successful unsafe request invalidates by ``Cache-Group-Invalidation`` (RFC 9875 §3).

    Whether it was one is ``invalidation.succeeded``'s to say.
    """
    return frozenset(group_tag(request, group) for group in _groups(fields.get(b"cache-group-invalidation")))
