from __future__ import annotations

from tests.http.exchanges import fields, request
from txstalecache.http.messages import Fields


def test_fields_compare_names_without_regard_to_case_and_keep_the_order() -> None:
    known = fields("A: 1\nb: 2\na: 3")
    assert known.get(b"a") == b"1, 3"
    assert known.get_all(b"a") == [b"1", b"3"]
    assert b"B" not in known and b"b" in known
    assert [name for name, _ in known] == [b"A", b"b", b"a"]


def test_replacing_keeps_the_first_place() -> None:
    assert list(fields("A: 1\nB: 2\na: 3").replacing(b"A", b"9")) == [(b"A", b"9"), (b"B", b"2")]
    assert list(fields("B: 2").replacing(b"A", b"9")) == [(b"B", b"2"), (b"A", b"9")]


def test_what_is_absent_need_not_be_taken_away() -> None:
    known = fields("A: 1")
    assert known.without(b"b") is known
    assert known.without(b"a") == Fields()


def test_a_target_with_an_empty_query_is_not_one_without() -> None:
    assert request(target="/a").query is None
    assert request(target="/a?").query == b""
    assert request(target="/a?b?c").query == b"b?c"
    assert request(target="/a?b").path == b"/a"
