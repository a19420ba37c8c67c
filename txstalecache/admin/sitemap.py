"""Sitemaps, read with care: they come from the origin.

https://www.sitemaps.org/protocol.html: a ``urlset`` of URLs, or a ``sitemapindex`` of sitemaps; at most 50,000 of them.
Must not know: how they are fetched.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final
from xml.etree.ElementTree import ParseError, fromstring

from txstalecache.http.keys import split_url
from txstalecache.http.messages import without_port

__all__ = ["MOST_BYTES", "MOST_URLS", "BadSitemap", "Sitemap", "read"]

MOST_URLS: Final = 50_000
#: Of a sitemap, whole and unpacked.
MOST_BYTES: Final = 10 * 1024 * 1024
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


def read(data: bytes, url: str) -> Sitemap:
    """What ``data``, fetched from ``url``, lists: URLs of the same host, under the scheme and authority of ``url``, as
    the site may be known to clients by another scheme or port. BadSitemap."""
    data = _unpacked(data)
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise BadSitemap("it has a document type, which sitemaps have no use for")
    scheme, authority, _ = split_url(url.encode("ascii"))
    base = scheme + b"://" + authority
    host = without_port(authority)
    found = Sitemap()
    seen: set[str] = set()
    for kind, location in _locations(data):
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
    return found


def _unpacked(data: bytes) -> bytes:
    if data[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=BytesIO(data)) as file:
                data = file.read(MOST_BYTES + 1)
        except (OSError, EOFError, zlib.error):
            raise BadSitemap("it is cut short, or not gzip") from None
    if len(data) >= MOST_BYTES:
        raise BadSitemap(f"more than {MOST_BYTES} bytes")
    return data


def _name(tag: str) -> str:
    """Without its namespace."""
    return tag.rpartition("}")[2]


def _locations(data: bytes) -> list[tuple[str, str]]:
    """Each ``loc`` with what it is of: ``url`` or ``sitemap``."""
    try:
        root = fromstring(data)
    except ParseError as error:
        raise BadSitemap(f"not XML: {error}") from None
    found: list[tuple[str, str]] = []
    for item in root:
        kind = _name(item.tag)
        if (_name(root.tag), kind) not in (("urlset", "url"), ("sitemapindex", "sitemap")):
            continue
        found += [(kind, one.text) for one in item if _name(one.tag) == "loc" and one.text]
    if not found:
        raise BadSitemap("it lists no URL")
    return found
