"""The slow origin of the demo, by a clock that a test has."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.test.requesthelper import DummyRequest

from txstalecache.demo import DemoOrigin


def begun(origin: DemoOrigin, path: bytes, method: bytes = b"GET") -> Any:
    """A request that waits for its answer."""
    request: Any = DummyRequest([])
    request.path, request.method = path, method
    origin.render(request)
    return request


def asked(origin: DemoOrigin, clock: Clock, path: bytes, method: bytes = b"GET") -> Any:
    """The request once it is answered, which is a second later."""
    request = begun(origin, path, method)
    clock.advance(0.9)
    assert not request.finished
    clock.advance(0.1)
    assert request.finished
    return request


def test_each_answer_has_a_number_and_may_be_served_stale() -> None:
    clock = Clock()
    origin = DemoOrigin(clock)
    for number in (1, 2):
        answer = asked(origin, clock, b"/a")
        (body,) = answer.written
        assert body.startswith(b"answer %d, made at " % number)
        assert body.endswith(b" UTC for /a\n")
        said = {
            name: answer.responseHeaders.getRawHeaders(name) for name in ("Cache-Control", "ETag", "Content-Length")
        }
        assert said == {
            "Cache-Control": ["max-age=5, stale-while-revalidate=30"],
            "ETag": [f'"{number}"'],
            "Content-Length": [str(len(body))],
        }


def test_what_begins_with_private_is_for_nobody_else() -> None:
    clock = Clock()
    answer = asked(DemoOrigin(clock), clock, b"/private/x")
    assert answer.responseHeaders.getRawHeaders("Cache-Control") == ["private"]


def test_a_head_has_no_body() -> None:
    clock = Clock()
    answer = asked(DemoOrigin(clock), clock, b"/a", b"HEAD")
    assert (answer.written, answer.responseHeaders.hasHeader("Content-Length")) == ([], True)


def test_who_leaves_is_not_answered() -> None:
    clock = Clock()
    origin = DemoOrigin(clock)
    request = begun(origin, b"/a")
    request.processingFailed(Failure(ConnectionDone()))
    clock.advance(2)
    assert (origin.answers, request.written, clock.getDelayedCalls()) == (0, [], [])
