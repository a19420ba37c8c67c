from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.exchanges import fields
from txstalecache.http.cachestatus import CacheStatus, legible
from txstalecache.http.structured import Item, parse_list


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (CacheStatus(), b"txstalecache"),
        (CacheStatus(hit=True), b"txstalecache; hit"),
        (CacheStatus(hit=True, ttl=59.9), b"txstalecache; hit; ttl=59"),
        (CacheStatus(hit=True, ttl=-0.5, detail="swr"), b"txstalecache; hit; ttl=-1; detail=swr"),
        (CacheStatus(fwd="uri-miss"), b"txstalecache; fwd=uri-miss"),
        (CacheStatus(fwd="miss", fwd_status=200, stored=True), b"txstalecache; fwd=miss; fwd-status=200; stored"),
        (CacheStatus(fwd="miss", collapsed=True), b"txstalecache; fwd=miss; collapsed"),
        (
            CacheStatus(fwd="miss", collapsed=False, detail="private"),
            b"txstalecache; fwd=miss; collapsed=?0; detail=private",
        ),
        (CacheStatus(hit=True, fwd="stale"), b"txstalecache; hit"),
        (CacheStatus(fwd=""), b"txstalecache; fwd=miss"),
        (CacheStatus(detail="two words"), b'txstalecache; detail="two words"'),
        (CacheStatus(detail="ü"), b'txstalecache; detail="??"'),
        (CacheStatus(detail=""), b'txstalecache; detail=""'),
        (CacheStatus(detail="9"), b'txstalecache; detail="9"'),
        (CacheStatus(detail="a\r\nSet-Cookie: x"), b'txstalecache; detail="a??Set-Cookie: x"'),
        (CacheStatus(ttl=1e30), b"txstalecache; ttl=999999999999999"),
        (CacheStatus(ttl=-1e30), b"txstalecache; ttl=-999999999999999"),
    ],
)
def test_what_was_done_in_one_member(status: CacheStatus, expected: bytes) -> None:
    assert status.member() == expected


@given(st.text(max_size=20), st.text(max_size=20), st.floats(), st.binary(max_size=10))
def test_a_member_is_always_well_formed(fwd: str, detail: str, ttl: float, name: bytes) -> None:
    status = CacheStatus(fwd=fwd, detail=detail, ttl=ttl, collapsed=False)
    found = parse_list(status.member(name))
    assert found is not None and len(found) == 1 and isinstance(found[0], Item)


@pytest.mark.parametrize("ttl", [inf, -inf, nan])
def test_no_time_is_too_odd(ttl: float) -> None:
    assert parse_list(CacheStatus(ttl=ttl).member()) is not None


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("", b"me"),
        ("Cache-Status: origin; hit", b"origin; hit, me"),
        ('Cache-Status: a; hit\nCache-Status: "b"; fwd=miss', b'a; hit, "b"; fwd=miss, me'),
        ("Cache-Status: HIT from, here from", b"me"),
        ("Cache-Status: a,", b"me"),
        ("Cache-Status:", b"me"),
    ],
)
def test_a_member_goes_behind_those_of_caches_before_and_junk_goes(before: str, expected: bytes) -> None:
    found = legible(fields(before)).adding(b"Cache-Status", b"me").get(b"cache-status")
    assert found == expected
