"""Choosing among several answers under one key (RFC 9111 §4.1)."""

from __future__ import annotations

from tests.conformance.transcript import Case, ask, asked, case, origin, told

__all__ = ["CASES"]

FRESH = "Cache-Control: max-age=5000"


def same(name: str, vary: str, first: tuple[str, ...], second: tuple[str, ...], *, optional: str = "") -> Case:
    """``second`` gets what ``first`` got."""
    return case(
        name, ask(*first), origin(200, FRESH, f"Vary: {vary}"), ask(*second), told(200, body=1), optional=optional
    )


def other(name: str, vary: str, first: tuple[str, ...], second: tuple[str, ...], *, required: str = "") -> Case:
    """``second`` gets another answer than ``first``, and each its own again."""
    return case(
        name,
        ask(*first),
        origin(200, FRESH, f"Vary: {vary}"),
        ask(*second),
        origin(200, FRESH, f"Vary: {vary}"),
        told(200, body=2),
        ask(*first),
        told(200, body=1),
        ask(*second),
        told(200, body=2),
        required=required,
    )


def never(name: str, *vary: str, required: str = "") -> Case:
    """What varies so is never used again."""
    return case(
        name,
        ask("Foo: 1", "Baz: 789"),
        origin(200, FRESH, *(f"Vary: {value}" for value in vary)),
        ask("Foo: 1", "Baz: 789"),
        origin(200, FRESH),
        told(200, body=2),
        required=required,
    )


TWO = ("Foo: 1", "Bar: abc")
THREE = (*TWO, "Baz: 789")

CASES = (
    same("the same value", "Foo", ("Foo: 1",), ("Foo: 1",), optional="vary-match"),
    other("another value", "Foo", ("Foo: 1",), ("Foo: 2",), required="vary-no-match"),
    other("a value where there was none", "Foo", (), ("Foo: 1",), required="vary-omit-stored"),
    other("none where there was a value", "Foo", ("Foo: 1",), (), required="vary-omit"),
    other("an empty value is not an absent one", "Foo", ("Foo:",), ()),
    same("absent is absent", "Foo", (), ()),
    case(
        "variants are kept beside one another",
        ask("Foo: 1"),
        origin(200, FRESH, "Vary: Foo"),
        ask("Foo: 2"),
        origin(200, FRESH, "Vary: Foo"),
        ask("Foo: 3"),
        origin(200, FRESH, "Vary: Foo"),
        ask("Foo: 1"),
        told(200, body=1),
        ask("Foo: 2"),
        told(200, body=2),
        ask("Foo: 3"),
        told(200, body=3),
        optional="vary-invalidate",
    ),
    same(
        "what Vary does not name makes no difference",
        "Foo",
        ("Foo: 1", "Other: 2"),
        ("Foo: 1", "Other: 3"),
        optional="vary-cache-key",
    ),
    same("two names, the same values", "Foo, Bar", TWO, TWO, optional="vary-2-match"),
    same("the order of a request's fields makes no difference", "Foo, Bar", TWO, ("Bar: abc", "Foo: 1")),
    other("two names, one value differs", "Foo, Bar", TWO, ("Foo: 2", "Bar: abc"), required="vary-2-no-match"),
    other("two names, both absent", "Foo, Bar", TWO, (), required="vary-2-match-omit"),
    other("two names on two lines of Vary", "Foo\r\nVary: Bar", TWO, ("Foo: 1", "Bar: x")),
    same("three names, the same values", "Foo, Bar, Baz", THREE, THREE, optional="vary-3-match"),
    other(
        "three names, one value differs",
        "Foo, Bar, Baz",
        THREE,
        ("Foo: 2", "Bar: abc", "Baz: 789"),
        required="vary-3-no-match",
    ),
    other(
        "three names, one value differs, in another order",
        "Foo, Bar, Baz",
        THREE,
        ("Foo: 1", "Baz: 789", "Bar: abcde"),
        required="vary-3-order",
    ),
    same(
        "three names, one absent both times",
        "Foo, Bar, Baz",
        ("Foo: 1", "Baz: 789"),
        ("Foo: 1", "Baz: 789"),
        optional="vary-3-omit",
    ),
    same("names in Vary have no case", "fOO", ("Foo: 1",), ("foo: 1",)),
    never("Vary: *", "*", required="vary-star vary-syntax-star"),
    never("Vary: *, *", "*, *", required="vary-syntax-star-star"),
    never("Vary: * on two lines", "*", "*", required="vary-syntax-star-star-lines"),
    never("Vary: , *", ", *", required="vary-syntax-empty-star"),
    never("Vary: * on the second line", "", "*", required="vary-syntax-empty-star-lines"),
    never("Vary: *, Foo", "*, Foo", required="vary-syntax-star-foo"),
    never("Vary: Foo, *", "Foo, *", required="vary-syntax-foo-star"),
    same("lines are combined", "Foo", ("Foo: 1, 2",), ("Foo: 1", "Foo: 2"), optional="vary-normalise-combine"),
    same("spaces make no difference", "Foo", ("Foo: 1,2",), ("Foo:  1, 2 ",), optional="vary-normalise-space"),
    same(
        "the order of languages makes no difference",
        "Accept-Language",
        ("Accept-Language: en, de",),
        ("Accept-Language: de, en",),
        optional="vary-normalise-lang-order",
    ),
    same(
        "the case of languages makes no difference",
        "Accept-Language",
        ("Accept-Language: en, de",),
        ("Accept-Language: eN, De",),
        optional="vary-normalise-lang-case",
    ),
    same(
        "spaces among languages make no difference",
        "Accept-Language",
        ("Accept-Language: en, de",),
        ("Accept-Language:  en ,   de",),
        optional="vary-normalise-lang-space",
    ),
    same(
        "the order and case of codings make no difference",
        "Accept-Encoding",
        ("Accept-Encoding: gzip, br",),
        ("Accept-Encoding: BR,gzip",),
    ),
    other(
        "the weights of languages do",
        "Accept-Language",
        ("Accept-Language: en, de;q=0.5",),
        ("Accept-Language: en;q=0.5, de",),
    ),
    other("the case of other values does", "Foo", ("Foo: a",), ("Foo: A",)),
    case(
        "the stored answer that fits is used, whatever came later",
        ask("Foo: 1"),
        origin(200, FRESH, "Vary: Foo"),
        ask("Foo: 2"),
        origin(200, FRESH, "Vary: Foo", "X-Later: 1"),
        ask("Foo: 1"),
        told(200, "!X-Later", body=1),
    ),
    case(
        "the most recent of the answers that fit is used",
        ask("Foo: 1", "Bar: 1"),
        origin(200, FRESH, "Vary: Foo"),
        ask("Foo: 2", "Bar: 1"),
        origin(200, FRESH, "Vary: Bar"),
        told(200, body=2),
        ask("Foo: 1", "Bar: 1"),
        told(200, body=2),
    ),
    case(
        "a variant is validated with its own tag",
        ask("Foo: 1"),
        origin(200, "Cache-Control: max-age=10", "Age: 11", "Vary: Foo", 'ETag: "1"'),
        ask("Foo: 2"),
        asked("!If-None-Match"),
        origin(200, "Cache-Control: max-age=10", "Age: 11", "Vary: Foo", 'ETag: "2"'),
        ask("Foo: 1"),
        asked('If-None-Match: "1"', "Foo: 1"),
        origin(304, 'ETag: "1"'),
        told(200, body=1),
    ),
    case(
        "Vary is forwarded unchanged",
        ask(),
        origin(200, FRESH, "Vary: Accept-Encoding, ORIGIN"),
        told(200, "Vary: Accept-Encoding, ORIGIN"),
        ask(),
        told(200, "Vary: Accept-Encoding, ORIGIN"),
    ),
)
