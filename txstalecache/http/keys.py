"""Cache keys: what identifies a cached resource, before ``Vary`` chooses among its variants.

Must not know: Redis, prefixes, requests' connections.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import translate
from hashlib import blake2b
from operator import attrgetter
from typing import Final
from urllib.parse import unquote_to_bytes

from txstalecache.http.fields import DESCRIBING, identifying, is_token
from txstalecache.http.messages import Fields, RequestHead

__all__ = ["DEFAULT_TEMPLATE", "Key", "KeyTemplate", "KeyTemplateError", "cookie_value", "split_url"]


class Key(tuple[bytes, ...]):
    """Identifies what is cached: the parts it is made of. Different parts never collide. Nobody changes one.

    ``host`` and ``target`` are kept beside the parts for purging by host, path and URL, and for logs. It is a tuple,
    because it is looked up twenty times for one request.
    """

    host: bytes
    target: bytes
    _digest = ""

    def __new__(cls, parts: tuple[bytes, ...], host: bytes = b"", target: bytes = b"") -> Key:
        key = tuple.__new__(cls, parts)
        key.host, key.target = host, target
        return key

    def extended(self, *parts: bytes) -> Key:
        """The key of something else about the same target."""
        return Key((*self, *parts), self.host, self.target)

    @property
    def digest(self) -> str:
        """A 160-bit hash over the length-prefixed parts, in hex."""
        if not self._digest:
            sized = b"".join([b"%d:%b" % (len(part), part) for part in self])
            self._digest = blake2b(sized, digest_size=20).hexdigest()
        return self._digest


_URL = re.compile(rb"(https?)://([^/?#\s@\\]+)([/?][\x21\x22\x24-\x7e]*)?", re.IGNORECASE)


def split_url(url: bytes) -> tuple[bytes, bytes, bytes]:
    """Scheme, authority and target of an absolute URL, as a request for it would have them. ValueError when it is none,
    or has a fragment or a user in it."""
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError("expected a URL (like http://example.org/path), without user, fragment or spaces")
    target = found[3] or b"/"
    return found[1].lower(), found[2].lower(), target if target.startswith(b"/") else b"/" + target


class KeyTemplateError(ValueError):
    """A key template that means nothing. Its text is one line for whoever wrote the template."""


#: One part of a key, read off a request.
_Part = Callable[[RequestHead], bytes]


def _method(request: RequestHead) -> bytes:
    # HEAD is answered from what GET stored (RFC 9111 §4).
    return b"GET" if request.method == b"HEAD" else request.method


def _query(request: RequestHead) -> bytes:
    return request.query or b""


def _is_args(request: RequestHead) -> bytes:
    return b"?" if request.query else b""


def _digest(value: bytes) -> bytes:
    return blake2b(value, digest_size=20, person=b"txsc-key").hexdigest().encode("ascii")


def _header(name: bytes) -> _Part:
    # A key is written to the store with the entry; who asks is not.
    if identifying(name):
        return lambda request: b"" if (value := request.fields.get(name)) is None else _digest(value)
    return lambda request: request.fields.get(name) or b""


def cookie_value(fields: Fields, name: bytes) -> bytes | None:
    """What the first cookie called ``name`` says; None without one."""
    # Lines of Cookie are joined with "; " where they were split (RFC 9113 §8.2.3).
    for line in fields.get_all(b"cookie"):
        for crumb in line.split(b";"):
            key, equals, value = crumb.partition(b"=")
            if equals and key.strip(b" \t") == name:
                return value.strip(b" \t")
    return None


def _cookie(name: bytes) -> _Part:
    return lambda request: b"" if (value := cookie_value(request.fields, name)) is None else _digest(value)


def _parameter_name(pair: bytes) -> str:
    # As the origin will read it: a name must not slip past a filter by being written another way.
    return unquote_to_bytes(pair.partition(b"=")[0].replace(b"+", b" ")).decode("latin-1")


def _argument(name: str) -> _Part:
    wanted = name.lower()

    def read(request: RequestHead) -> bytes:
        for pair in _query(request).split(b"&"):
            if _parameter_name(pair).lower() == wanted:
                return pair.partition(b"=")[2]
        return b""

    return read


def _sorted(pairs: list[bytes]) -> list[bytes]:
    # Pairs with one name keep their order: it may matter to the origin.
    return sorted(pairs, key=lambda pair: pair.partition(b"=")[0])


def _shown(text: str) -> str:
    return repr(text)[1:-1]


def _query_part(text: str, options: list[str]) -> _Part:
    """``sorted``, ``only:a,b``, ``without:a,b``: the first may come before one of the others."""
    ordered = False
    if options[0] == "sorted":
        ordered, options = True, options[1:]
    if options and (options[0] not in ("only", "without") or len(options) != 2 or not options[1]):
        raise KeyTemplateError(
            f"${{{_shown(text)}}}: after query comes sorted, only:NAMES or without:NAMES (names with commas)"
        )
    patterns = [name.strip() for name in options[1].split(",")] if options else []
    if not all(patterns):
        raise KeyTemplateError(f"${{{_shown(text)}}}: an empty parameter name")
    keep = bool(options) and options[0] == "only"
    # Whoever asks may send thousands of parameters: each is looked at once, however many patterns there are.
    listed = re.compile("|".join(map(translate, patterns))).match

    def read(request: RequestHead) -> bytes:
        pairs = [pair for pair in _query(request).split(b"&") if pair]
        if patterns:
            pairs = [pair for pair in pairs if (listed(_parameter_name(pair)) is not None) is keep]
        return b"&".join(_sorted(pairs) if ordered or keep else pairs)

    return read


_PLAIN: dict[str, _Part] = {
    "method": _method,
    "request_method": _method,
    "scheme": attrgetter("scheme"),
    "host": attrgetter("host"),
    "path": attrgetter("path"),
    "uri": attrgetter("path"),
    "query": _query,
    "args": _query,
    "query_string": _query,
    "is_args": _is_args,
    "request_uri": attrgetter("target"),
}
_BODY = frozenset({"body", "body_digest"})
_PATH = frozenset({"path", "uri"})
_QUERY = frozenset({"query", "args", "query_string"})
_REFERENCE = re.compile(r"\$(?:\{(?P<braced>[^{}]*)\}|(?P<plain>[A-Za-z_][A-Za-z0-9_]*)|(?P<stray>))")
_KNOWN = (
    "method, scheme, host, path, query, query:sorted, query:only:NAMES, query:without:NAMES, arg:NAME, header:NAME, "
    "cookie:NAME, body, request_uri; or as nginx has it request_method, uri, args, query_string, is_args, arg_NAME, "
    "http_NAME, cookie_NAME"
)


@dataclass(frozen=True)
class KeyTemplate:
    """A recipe for keys. Made by ``parse``; used for every request of a route."""

    text: str
    fields: frozenset[bytes]
    """Request fields (lower case) that the key has whole. ``cookie`` only when it is keyed whole."""
    cookies: frozenset[bytes]
    """Names of single cookies that the key has."""
    needs_body: bool
    """Whether the body's digest is part of the key."""
    has_host: bool
    """Whether requests with one key are for one host."""
    has_target: bool
    """Whether they are for one target, its query included."""
    _parts: tuple[_Part | None, ...]
    """None stands for the body's digest."""

    @classmethod
    def parse(cls, text: str) -> KeyTemplate:
        """The template written as ``text``: literals, and ``$name`` or ``${name}`` for parts of the request.

        Raises ``KeyTemplateError`` for a name that means nothing, and for a template that is the same for all requests.
        """
        parts: list[_Part | None] = []
        fields: set[bytes] = set()
        cookies: set[bytes] = set()
        names: set[str] = set()
        place = 0
        for match in _REFERENCE.finditer(text):
            if literal := text[place : match.start()]:
                parts.append(_constant(literal))
            place = match.end()
            name = match["braced"] if match["braced"] is not None else match["plain"]
            if name is None:
                raise KeyTemplateError(f"a $ without a name at character {match.start() + 1} of {text!r}")
            parts.append(_part(name, fields, cookies))
            names.add(name)
        if not place:
            raise KeyTemplateError(f"{text!r} names no part of the request: every request would have the same key")
        if text[place:]:
            parts.append(_constant(text[place:]))
        whole = "request_uri" in names or not (names.isdisjoint(_PATH) or names.isdisjoint(_QUERY))
        return cls(text, frozenset(fields), frozenset(cookies), None in parts, "host" in names, whole, tuple(parts))

    def key(self, request: RequestHead, body_digest: bytes | None = None) -> Key:
        """The key of ``request``. Equal for GET and HEAD; another method, its body and what describes that are always
        part of it."""
        parts = tuple([(body_digest or b"") if part is None else part(request) for part in self._parts])
        if request.method not in _READING:
            # What a body says is in the key of a request that has one, whatever the template forgot; and so is what it
            # is said to be: the same bytes are something else under another type.
            parts = (*parts, request.method, body_digest or b"", _described(request))
        return Key(parts, request.host, request.target)


_READING: Final = (b"GET", b"HEAD")
_DESCRIBING: Final = sorted(DESCRIBING)


def _described(request: RequestHead) -> bytes:
    get = request.fields.get
    said = [(name, value) for name in _DESCRIBING if (value := get(name)) is not None]
    return b"\n".join(map(b": ".join, said))


def _constant(literal: str) -> _Part:
    encoded = literal.encode("utf-8", "surrogateescape")
    return lambda request: encoded


def _part(name: str, fields: set[bytes], cookies: set[bytes]) -> _Part | None:
    """What ``name`` stands for; None for the body's digest. What it keys on is added to ``fields`` or ``cookies``."""
    if name in _PLAIN:
        return _PLAIN[name]
    if name in _BODY:
        return None
    kind, colon, rest = name.partition(":")
    if kind == "query":
        return _query_part(name, rest.split(":"))
    if not colon:
        kind, _, rest = name.partition("_")
        kind = {"http": "header", "cookie": "cookie", "arg": "arg"}.get(kind, "")
        if kind == "header":
            rest = rest.replace("_", "-")
    encoded = rest.encode("utf-8", "surrogateescape")
    if kind not in ("header", "cookie", "arg"):
        raise KeyTemplateError(f"${{{_shown(name)}}} is none of the parts of a request: {_KNOWN}")
    if not encoded or (kind != "arg" and not is_token(encoded)):
        raise KeyTemplateError(f"${{{_shown(name)}}} needs the name of a {kind}")
    if kind == "header":
        fields.add(encoded.lower())
        return _header(encoded.lower())
    if kind == "cookie":
        cookies.add(encoded)
        return _cookie(encoded)
    return _argument(rest)


#: Scheme, host (lower case) and target, byte for byte as it is forwarded (RFC 9111 §2).
DEFAULT_TEMPLATE: Final = KeyTemplate.parse("${scheme}${host}${request_uri}")
