"""A request body on its way: in order and to the end, whatever whoever takes it does as he takes a piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.iweb import IBodyProducer

from txstalecache.edge.upload import StreamedUpload
from txstalecache.edge.whole import whole


class Taker:
    """Does ``then`` with what it takes from, for each piece."""

    def __init__(self, then: Callable[[IBodyProducer], object]) -> None:
        self.pieces: list[bytes] = []
        self.ended_after: list[int] = []
        self._then = then

    def take(self, body: IBodyProducer) -> None:
        self.body = body
        taker: Any = self
        body.startProducing(taker).addCallback(lambda _: self.ended_after.append(len(self.pieces)))

    def write(self, data: bytes) -> None:
        self.pieces.append(data)
        self._then(self.body)


def goes_on(body: IBodyProducer) -> None:
    body.pauseProducing()
    body.resumeProducing()


def stops(body: IBodyProducer) -> None:
    body.pauseProducing()


def kept(*pieces: bytes) -> StreamedUpload:
    """What has come before anybody takes it."""
    upload = StreamedUpload(None, lambda: None, lambda: None)
    for piece in pieces:
        upload.feed(piece)
    return upload


def beginning(*pieces: bytes) -> Any:
    """The same, too long to be read whole."""
    upload = StreamedUpload(None, lambda: None, lambda: None)
    found: list[Any] = []
    Deferred.fromCoroutine(whole(upload, sum(map(len, pieces)) - 1)).addCallback(found.append)
    for piece in pieces:
        upload.feed(piece)
    upload.feed(b"last")
    upload.end()
    return found[0]


def test_who_stops_and_goes_on_within_a_piece_has_all_of_it_before_its_end() -> None:
    upload, taker = kept(), Taker(goes_on)
    taker.take(upload)
    upload.pauseProducing()
    for piece in (b"a", b"b", b"c"):
        upload.feed(piece)
    upload.end()
    upload.resumeProducing()
    assert (taker.pieces, taker.ended_after) == ([b"a", b"b", b"c"], [3])


def test_who_stops_within_a_piece_is_given_the_next_when_he_goes_on() -> None:
    upload, taker = kept(b"a", b"b"), Taker(stops)
    upload.end()
    taker.take(upload)
    assert (taker.pieces, taker.ended_after) == ([b"a"], [])
    taker.body.resumeProducing()
    taker.body.resumeProducing()
    assert (taker.pieces, taker.ended_after) == ([b"a", b"b"], [2])


def test_so_is_he_where_the_body_was_to_be_part_of_the_key_and_is_too_long_for_that() -> None:
    taker = Taker(stops)
    taker.take(beginning(b"a", b"b"))
    assert (taker.pieces, taker.ended_after) == ([b"a"], [])
    for _ in range(3):
        taker.body.resumeProducing()
    assert (taker.pieces, taker.ended_after) == ([b"a", b"b", b"last"], [3])
    going = Taker(goes_on)
    going.take(beginning(b"a", b"b"))
    assert (going.pieces, going.ended_after) == ([b"a", b"b", b"last"], [3])
