"""What an answer says about how it came: Cache-Status (RFC 9211), X-Cache, X-Store."""

from __future__ import annotations

from tests.conformance.transcript import ask, case, fails, origin, told

__all__ = ["CASES"]

FRESH = "Cache-Control: max-age=3600"

CASES = (
    case(
        "a miss, then a hit",
        ask(),
        origin(200, FRESH),
        told(
            200,
            "Cache-Status: txstalecache; fwd=uri-miss; fwd-status=200; stored",
            "X-Cache: MISS",
            "X-Store: STORE",
            "!Age",
        ),
        ask(),
        told(200, "Cache-Status: ~txstalecache; hit; ttl=3(600|59\\d)", "X-Cache: HIT", "X-Store: BYPASS", "Age: ~\\d"),
    ),
    case(
        "a miss for another variant",
        ask("Foo: 1"),
        origin(200, FRESH, "Vary: Foo"),
        ask("Foo: 2"),
        origin(200, FRESH, "Vary: Foo"),
        told(200, "Cache-Status: txstalecache; fwd=vary-miss; fwd-status=200; stored"),
    ),
    case(
        "an answer that is not stored says why",
        ask(),
        origin(200, "Cache-Control: no-store"),
        told(200, "Cache-Status: txstalecache; fwd=uri-miss; fwd-status=200; detail=no-store", "X-Store: BYPASS"),
    ),
    case(
        "a stale entry replaced",
        ask(),
        origin(200, "Cache-Control: max-age=10", "Age: 11"),
        ask(),
        origin(200, FRESH),
        told(200, "Cache-Status: txstalecache; fwd=stale; fwd-status=200; stored", "X-Cache: EXPIRED"),
    ),
    case(
        "a stale entry standing in for an error",
        ask(),
        origin(200, "Cache-Control: max-age=10, stale-if-error=60", "Age: 11"),
        ask(),
        origin(503),
        told(200, "Cache-Status: ~txstalecache; fwd=stale; fwd-status=503; ttl=-\\d+; detail=sie", "X-Cache: STALE"),
    ),
    case(
        "a stale entry standing in for an origin that does not answer",
        ask(),
        origin(200, "Cache-Control: max-age=10", "Age: 11"),
        ask(),
        fails(),
        told(200, "Cache-Status: ~txstalecache; fwd=stale; ttl=-\\d+; detail=unreachable", "X-Cache: STALE"),
    ),
    case(
        "a fresh entry, which the request would not have, standing in for an error",
        ask(),
        origin(200, "Cache-Control: max-age=3600, stale-if-error=60"),
        ask("Cache-Control: no-cache"),
        origin(503),
        told(200, "Cache-Status: ~txstalecache; fwd=request; fwd-status=503; ttl=\\d+; detail=sie"),
    ),
    case(
        "a method that passes",
        ask("OPTIONS"),
        origin(200, FRESH),
        told(200, "Cache-Status: txstalecache; fwd=method; fwd-status=200; detail=method", "X-Cache: BYPASS"),
    ),
    case(
        "a request that passes",
        ask("Authorization: Basic x"),
        origin(200, FRESH),
        told(200, "Cache-Status: txstalecache; fwd=bypass; fwd-status=200; detail=authorization"),
    ),
    case(
        "ours comes after what other caches wrote",
        ask(),
        origin(200, FRESH, 'Cache-Status: ExampleCache; hit; ttl=30, "other cache"; fwd=miss'),
        told(
            200,
            'Cache-Status: ExampleCache; hit; ttl=30, "other cache"; fwd=miss, '
            "txstalecache; fwd=uri-miss; fwd-status=200; stored",
        ),
        ask(),
        told(200, 'Cache-Status: ~ExampleCache; hit; ttl=30, "other cache"; fwd=miss, txstalecache; hit; ttl=\\d+'),
    ),
    case(
        "what another cache wrote that is no list is dropped",
        ask(),
        origin(200, FRESH, "Cache-Status: HIT from somewhere"),
        told(200, "Cache-Status: txstalecache; fwd=uri-miss; fwd-status=200; stored"),
    ),
    case(
        "a 304, a 206 and a 416 say it too",
        ask(),
        origin(200, FRESH, 'ETag: "1"', body="0123"),
        ask('If-None-Match: "1"'),
        told(304, "Cache-Status: ~txstalecache; hit; ttl=\\d+"),
        ask("Range: bytes=0-1"),
        told(206, "Cache-Status: ~txstalecache; hit; ttl=\\d+"),
        ask("Range: bytes=9-"),
        told(416, "Cache-Status: ~txstalecache; hit; ttl=\\d+"),
    ),
    case(
        "a failure says it too",
        ask(),
        fails(),
        told(502, "Cache-Status: ~txstalecache; fwd=uri-miss; detail=\\S+"),
    ),
)
