"""What a request that changes things makes worthless (RFC 9111 §4.4).

Must not know: keys, stores.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urljoin, urlsplit

from txstalecache.http.messages import RequestHead, ResponseHead

__all__ = ["invalidates", "safe", "succeeded"]

# RFC 9110 §9.2.1 and the registry of methods. A method whose safety is unknown is not safe (RFC 9111 §4.4).
_SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PROPFIND", b"REPORT", b"SEARCH", b"QUERY", b"PRI"})
_PORTS = {"http": 80, "https": 443}


def safe(request: RequestHead) -> bool:
    """Whether its method is known to change nothing."""
    return request.method in _SAFE


def succeeded(request: RequestHead, response: ResponseHead) -> bool:
    """Whether something may have changed: 2xx or 3xx to a method that is not safe."""
    return not safe(request) and 200 <= response.status < 400


def _origin(parts: SplitResult) -> tuple[str, str | None, int] | None:
    if parts.scheme not in _PORTS:
        return None
    try:
        return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]
    except ValueError:
        return None


def _resolved(base: str, reference: str) -> SplitResult:
    """What ``reference`` leads to, without dot segments (RFC 3986 §5.2.2); ``urljoin`` leaves those of one
    with an authority."""
    there = urlsplit(urljoin(base, reference))
    if "/." not in there.path:
        return there
    # With a segment in front that goes away, for a path that begins with ``//`` is no authority.
    return there._replace(path=urlsplit(urljoin(base, "/." + there.path)).path)


def _target(there: SplitResult, reference: str) -> str:
    """The origin form of ``there``; a query with nothing in it, which ``urlsplit`` drops, is one all the same."""
    empty = reference.partition("#")[0].partition("?")[1:] == ("?", "")
    return (there.path or "/") + (f"?{there.query}" if there.query or empty else "")


def invalidates(request: RequestHead, response: ResponseHead) -> list[bytes]:
    """The targets (origin form) whose stored responses are out of date after this exchange; the request's own first.

    Location and Content-Location count when they are of the same origin: scheme, host and port. ``[]`` when nothing has
    changed: an error, or a safe method.
    """
    if not succeeded(request, response):
        return []
    found = [request.target]
    base = (b"%s://%s%s" % (request.scheme, request.authority, request.target)).decode("latin-1")
    for name in (b"location", b"content-location"):
        for value in response.fields.get_all(name):
            reference = value.decode("latin-1")
            try:
                own, there = _origin(urlsplit(base)), _resolved(base, reference)
            except ValueError:
                continue
            if own is None or own != _origin(there):
                continue
            encoded = _target(there, reference).encode("latin-1", "ignore")
            if encoded not in found:
                found.append(encoded)
    return found
