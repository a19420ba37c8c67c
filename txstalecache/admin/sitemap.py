"""Sitemaps, read with care: they come from the origin.

https://www.sitemaps.org/protocol.html: a ``urlset`` of URLs, or a ``sitemapindex`` of sitemaps; at most 50,000 of them.
Must not know: how they are fetched.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final
from xml.etree.ElementTree import ParseError, XMLParser

from txstalecache.http.keys import split_url
from txstalecache.http.messages import without_port

__all__ = ["MOST_BYTES", "MOST_URLS", "BadSitemap", "Sitemap", "read"]

MOST_URLS: Final = 50_000
#: Of a sitemap, whole and unpacked.
MOST_BYTES: Final = 10 * 1024 * 1024
#: Of that, read in one step.
_PIECE: Final = 32 * 1024
#: Elements in one another: the parser remembers each that is open.
_DEEPEST: Final = 100
#: Of an index.
_MOST_SITEMAPS: Final = 100
#: URLs of other hosts that are named.
_MOST_OTHERS: Final = 20


class BadSitemap(ValueError):
    """Not a sitemap: why, in one line."""


@dataclass(slots=True)
class Sitemap:
    """What a sitemap lists, for the host that it was read from."""

    urls: list[str] = field(default_factory=list)
    sitemaps: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    """URLs of other hosts, which a sitemap may not speak for."""


def read(data: bytes, url: str) -> Generator[None, None, Sitemap]:
    """What ``data``, fetched from ``url``, lists: URLs of the same host, under the scheme and authority of ``url``, as
    the site may be known to clients by another scheme or port. BadSitemap. It comes to that in steps, each of which
    takes no long time; between them others may have their turn."""
    scheme, authority, _ = split_url(url.encode("ascii"))
    base = scheme + b"://" + authority
    host = without_port(authority)
    found = Sitemap()
    seen: set[str] = set()
    for locations in _locations(data):
        for kind, location in locations:
            try:
                _, theirs, target = split_url(location.strip().encode("ascii"))
            except ValueError:
                raise BadSitemap(f"{ascii(location)[:80]} is no URL") from None
            said = (base + target).decode("ascii")
            if without_port(theirs) != host:
                if len(found.others) < _MOST_OTHERS:
                    found.others.append(location.strip())
            elif said not in seen:
                seen.add(said)
                (found.urls if kind == "url" else found.sitemaps).append(said)
            if len(found.urls) > MOST_URLS or len(found.sitemaps) > _MOST_SITEMAPS:
                raise BadSitemap(f"more than {MOST_URLS} URLs or {_MOST_SITEMAPS} sitemaps")
        yield
    return found


def _pieces(data: bytes) -> Iterator[bytes]:
    """``data``, unpacked where it is packed."""
    source = BytesIO(data)
    try:
        with gzip.GzipFile(fileobj=source) if data[:2] == b"\x1f\x8b" else source as file:
            for _ in range(0, MOST_BYTES, _PIECE):
                piece = file.read(_PIECE)
                if not piece:
                    return
                yield piece
    except (OSError, EOFError, zlib.error):
        raise BadSitemap("it is cut short, or not gzip") from None
    raise BadSitemap(f"more than {MOST_BYTES} bytes")


class _Locations:
    """What the parser tells, of which nothing is kept but each ``loc`` with what it is of: ``url`` or ``sitemap``."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        self._depth = 0
        self._root = self._kind = ""
        self._text: list[str] | None = None

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise BadSitemap("it has a document type, which sitemaps have no use for")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise BadSitemap(f"elements in elements, {_DEEPEST} deep")
        if self._depth == 1:
            self._root = _name(tag)
        elif self._depth == 2:
            self._kind = _name(tag)
        elif self._depth == 3 and _name(tag) == "loc" and (self._root, self._kind) in _LISTED:
            self._text = []

    def data(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:
        if self._depth == 3 and self._text is not None:
            text, self._text = "".join(self._text), None
            if text:
                self.found.append((self._kind, text))
        self._depth -= 1


_LISTED: Final = (("urlset", "url"), ("sitemapindex", "sitemap"))


def _name(tag: str) -> str:
    """Without its namespace."""
    return tag.rpartition("}")[2]


def _locations(data: bytes) -> Iterator[list[tuple[str, str]]]:
    """Each ``loc`` with what it is of, by and by."""
    told = _Locations()
    parser = XMLParser(target=told)
    none = True
    try:
        for piece in _pieces(data):
            parser.feed(piece)
            found, told.found = told.found, []
            none = none and not found
            yield found
        parser.close()
    except ParseError as error:
        raise BadSitemap(f"not XML: {error}") from None
    if none:
        raise BadSitemap("it lists no URL")
