from __future__ import annotations

from dataclasses import fields as members_of
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txstalecache.http.cachecontrol import NO_WISHES, NOTHING_SAID, Control, control, wishes
from txstalecache.http.fields import FOREVER


def said(found: Any, nothing: Any) -> dict[str, Any]:
    """What differs from having said nothing."""
    return {
        member.name: getattr(found, member.name)
        for member in members_of(found)
        if getattr(found, member.name) != getattr(nothing, member.name)
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", {}),
        ("foobar", {}),
        ("max-age=60", {"max_age": 60}),
        ("MaX-aGe=60", {"max_age": 60}),
        ("foobar, max-age=60", {"max_age": 60}),
        ('max-age="60"', {"max_age": 60}),
        ("max-age=0060", {"max_age": 60}),
        ("max-age=0", {"max_age": 0}),
        ("max-age=2147483648", {"max_age": FOREVER}),
        ("max-age=99999999999", {"max_age": FOREVER}),
        ("max-age", {"max_age": 0}),
        ("max-age=", {"max_age": 0}),
        ("max-age=abc", {"max_age": 0}),
        ("max-age=60a", {"max_age": 0}),
        ("max-age=a60", {"max_age": 0}),
        ("max-age=-60", {"max_age": 0}),
        ("max-age=60.0", {"max_age": 0}),
        ("max-age=60.5", {"max_age": 0}),
        ("max-age='60'", {"max_age": 0}),
        ("max-age =60", {"max_age": 0}),
        ("max-age= 60", {"max_age": 0}),
        ("max-age=60, max-age=1", {"max_age": 60}),
        ("max-age=1, max-age=60", {"max_age": 1}),
        ("max-age=x, max-age=60", {"max_age": 0}),
        ('ext="max-age=60"', {}),
        ('ext="max-age=60", max-age=1', {"max_age": 1}),
        ('max-age=1, ext="max-age=60"', {"max_age": 1}),
        ('ext="a\\", max-age=60", max-age=1', {"max_age": 1}),
        ("s-maxage=5", {"s_maxage": 5}),
        ("s-maxage=5, max-age=60", {"s_maxage": 5, "max_age": 60}),
        ("s-maxage=x", {"s_maxage": 0}),
        ("no-store", {"no_store": True}),
        ("No-StOrE", {"no_store": True}),
        ("no-store=1", {"no_store": True}),
        ("no-cache", {"no_cache": True}),
        ('no-cache="a"', {"withheld": {b"a"}}),
        ('no-cache="a, B"', {"withheld": {b"a", b"b"}}),
        ("no-cache=a", {"withheld": {b"a"}}),
        ('no-cache="a", no-cache', {"withheld": {b"a"}, "no_cache": True}),
        ('no-cache, no-cache="a"', {"withheld": {b"a"}, "no_cache": True}),
        ('no-cache=""', {"no_cache": True}),
        ('no-cache="etag"', {"withheld": {b"etag"}, "no_cache": True}),
        ('no-cache="content-type, a"', {"withheld": {b"content-type", b"a"}, "no_cache": True}),
        ("private", {"private": True}),
        ('private="x"', {"private": True}),
        ("public", {"public": True}),
        ("must-revalidate", {"must_revalidate": True}),
        ("proxy-revalidate", {"proxy_revalidate": True}),
        ("must-understand", {"must_understand": True}),
        ("immutable", {"immutable": True}),
        ("stale-while-revalidate=9", {"while_revalidate": 9}),
        ("stale-while-revalidate=x", {}),
        ("stale-if-error=9", {"if_error": 9}),
        ("stale-if-error", {}),
        ("no-storefront, publicity, privately", {}),
    ],
)
def test_what_a_response_says(value: str, expected: dict[str, Any]) -> None:
    assert said(control(value.encode()), NOTHING_SAID) == expected


@pytest.mark.parametrize(
    "name",
    b"""
    cache-control content-encoding content-language content-length content-location content-range content-type date
    etag expires last-modified location vary
    """.split(),
)
def test_no_cache_that_names_what_a_response_is_no_use_without_means_all_of_it(name: bytes) -> None:
    assert control(b'no-cache="%b"' % name).no_cache


@pytest.mark.parametrize(
    ("value", "stale", "authorized"),
    [
        ("max-age=1", False, False),
        ("public", False, True),
        ("must-revalidate", True, True),
        ("proxy-revalidate", True, False),
        ("s-maxage=1", True, True),
        ("s-maxage=0", True, True),
        ("no-cache", True, False),
        ('no-cache="a"', False, False),
        ("immutable", False, False),
    ],
)
def test_what_follows_from_it(value: str, stale: bool, authorized: bool) -> None:
    found = control(value.encode())
    assert (found.forbids_stale, found.allows_authorized) == (stale, authorized)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", {}),
        ("nothing-to-see-here", {}),
        ("no-cache", {"no_cache": True}),
        ("no-store", {"no_store": True}),
        ("only-if-cached", {"only_if_cached": True}),
        ("max-age=0", {"max_age": 0}),
        ("max-age=5, nothing", {"max_age": 5}),
        ("max-age=abc", {}),
        ("max-age", {}),
        ("min-fresh=5", {"min_fresh": 5}),
        ("min-fresh", {}),
        ("max-stale", {"max_stale": inf}),
        ("max-stale=5", {"max_stale": 5}),
        ("max-stale=x", {}),
        ("stale-if-error=5", {"if_error": 5}),
        ("stale-if-error", {}),
        ('x="no-cache"', {}),
    ],
)
def test_what_a_request_wishes(value: str, expected: dict[str, Any]) -> None:
    assert said(wishes(value.encode()), NO_WISHES) == expected


def test_a_request_with_unknown_directives_only_wishes_nothing() -> None:
    assert wishes(b"foo, bar=1") is NO_WISHES


@given(st.binary(max_size=400))
def test_no_value_raises_and_none_gives_a_lifetime_below_zero(value: bytes) -> None:
    found = control(value)
    assert isinstance(found, Control)
    assert min(found.max_age or 0, found.s_maxage or 0, found.while_revalidate, found.if_error) >= 0
    wishes(value)
