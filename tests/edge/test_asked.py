"""A plain head, read fast; and faster where its fields have been read before, under another request line."""

from __future__ import annotations

from random import Random

import pytest

from tests.safety.payloads import PAYLOADS
from txstalecache.edge.asked import HeadReader
from txstalecache.edge.heads import Rejected, examine
from txstalecache.edge.limits import EdgeLimits

SECTION = b"\r\nHost: a.example\r\nAccept: */*\r\n\r\n"
PLAIN = b"GET / HTTP/1.1"


def reader(limits: EdgeLimits = EdgeLimits()) -> HeadReader:
    return HeadReader(limits, b"http")


def knowing(section: bytes, limits: EdgeLimits = EdgeLimits()) -> HeadReader:
    """A reader that has read ``section`` before."""
    made = reader(limits)
    made.read(PLAIN + section)
    return made


def lines(seed: int) -> list[bytes]:
    """Request lines, plain and odd."""
    random = Random(seed)
    methods = [b"GET", b"HEAD", b"get", b"POST", b"GETS", b"CONNECT", b"PRI", b"", b"HEAD GET"]
    versions = [b"HTTP/1.1"] * 5 + [b"HTTP/1.0", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b"HTTP/1.12", b""]
    made = []
    for _ in range(60):
        odd = bytes(random.choices(range(256), k=random.choice([0, 0, 1, 2])))
        words = b"/a/%2e?b=1;c", b"/", b"/x#y", b"*", b"x", b"", b"//a.example/", b"http://a.example/", b"http://b/"
        target = random.choice(words) + odd + random.choice([b"", b"/tail"])
        between = random.choice([b" "] * 8 + [b"  ", b"\t", b""])
        made.append(random.choice(methods) + between + target + b" " + random.choice(versions))
    return made


@pytest.mark.parametrize("seed", range(20))
def test_a_section_that_is_known_makes_no_difference(seed: int) -> None:
    warm = knowing(SECTION)
    for line in lines(seed):
        read = warm.read(line + SECTION)
        assert read == reader().read(line + SECTION), line
        if read is not None:
            received = examine(line + SECTION, EdgeLimits())
            assert received is not None and received.head == read


@pytest.mark.parametrize("byte", range(256))
def test_no_byte_of_a_target_is_read_otherwise_than_at_the_door(byte: int) -> None:
    data = b"GET /a%bb HTTP/1.1" % bytes([byte]) + SECTION
    read = knowing(SECTION).read(data)
    try:
        received = examine(data, EdgeLimits())
    except Rejected:
        assert read is None
    else:
        assert read is None or (received is not None and read == received.head)


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload.name)
def test_hostile_fields_are_not_learned(payload: object) -> None:
    raw: bytes = payload.raw  # type: ignore[attr-defined]
    section = raw[raw.find(b"\r\n") :]
    made = knowing(section)
    for line in (PLAIN, b"HEAD /b HTTP/1.1", raw[: raw.find(b"\r\n")]):
        assert made.read(line + section) == reader().read(line + section)


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        (EdgeLimits(target=16), b"GET /" + b"a" * 16 + b" HTTP/1.1"),
        (EdgeLimits(head=len(PLAIN + SECTION)), b"GET /a HTTP/1.1"),
        (EdgeLimits(methods=frozenset({b"GET"})), b"HEAD / HTTP/1.1"),
    ],
    ids=["target", "head", "method"],
)
def test_limits_hold_where_the_section_is_known(limits: EdgeLimits, line: bytes) -> None:
    made = knowing(SECTION, limits)
    assert made.read(PLAIN + SECTION) is not None
    assert made.read(line + SECTION) is None


def test_those_who_say_the_same_share_it() -> None:
    made = reader()
    first, second, other = (made.read(line + SECTION) for line in (PLAIN, b"GET /b HTTP/1.1", b"HEAD / HTTP/1.1"))
    assert first is not None and second is not None and other is not None
    assert first.fields is second.fields is other.fields
    assert (second.target, other.method, second.authority) == (b"/b", b"HEAD", b"a.example")
    different = made.read(PLAIN + SECTION.replace(b"*/*", b"text/html"))
    assert different is not None and different.fields is not first.fields


def test_what_is_forgotten_is_read_again() -> None:
    made = reader()
    before = made.read(PLAIN + SECTION)
    made.forget()
    after = made.read(PLAIN + SECTION)
    assert before == after and before is not None and after is not None
    assert before.fields is not after.fields


def test_a_long_section_is_not_kept() -> None:
    made = reader()
    section = SECTION[:-2] + b"Cookie: " + b"a" * HeadReader.LONGEST + b"\r\n\r\n"
    first, second = made.read(PLAIN + section), made.read(PLAIN + section)
    assert first == second and first is not None and second is not None
    assert first.fields is not second.fields


@pytest.mark.parametrize("line", [PLAIN, b"GET /a#b HTTP/1.1", b"GET /" + b"a" * 9000 + b" HTTP/1.1"])
def test_whatever_is_asked_for_no_more_sections_are_kept_than_there_is_room(line: bytes) -> None:
    made = reader()
    for number in range(2000):
        made.read(line + SECTION.replace(b"*/*", b"%d" % number))
        each = made.EACH + 2 * made.FIELD
        assert len(made._sections) <= made.room / each


@pytest.mark.parametrize(
    ("said", "trusted", "scheme"), [(b"https", False, None), (b"https", True, b"https"), (b"http", False, b"http")]
)
def test_a_scheme_that_the_origin_would_not_be_told_is_not_plain(
    said: bytes, trusted: bool, scheme: bytes | None
) -> None:
    made = HeadReader(EdgeLimits(), b"http", trusted)
    for _ in range(2):
        read = made.read(PLAIN + SECTION[:-2] + b"X-Forwarded-Proto: %b\r\n\r\n" % said)
        assert (None if read is None else read.scheme) == scheme
