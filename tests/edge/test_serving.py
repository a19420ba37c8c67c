from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txstalecache.edge.serving import Serving


class Served:
    """A coroutine that awaits ``first`` and ``second``, and what became of it."""

    def __init__(self) -> None:
        self.first: Deferred[Any] = Deferred()
        self.second: Deferred[Any] = Deferred()
        self.got: list[object] = []
        self.failures: list[Failure] = []
        self.serving = Serving(self.run(), self.failures.append)
        self.serving.start()

    async def run(self) -> None:
        try:
            self.got.append(await self.first)
        except KeyError:
            self.got.append("caught")
        self.got.append(await self.within())

    async def within(self) -> object:
        return await self.second


def test_it_goes_on_with_what_comes() -> None:
    served = Served()
    assert served.got == []
    served.first.callback(1)
    served.second.callback(2)
    assert (served.got, served.failures) == ([1, 2], [])


def test_what_is_here_already_is_not_waited_for() -> None:
    served = Served()
    served.second.callback(2)
    served.first.callback(1)
    assert served.got == [1, 2]


def test_a_failure_is_raised_where_it_is_awaited_and_is_handled_there() -> None:
    served = Served()
    served.first.errback(KeyError("x"))
    served.second.callback(2)
    assert (served.got, served.failures) == (["caught", 2], [])


def test_what_it_raises_is_told() -> None:
    served = Served()
    served.first.errback(ValueError("x"))
    assert [failure.type for failure in served.failures] == [ValueError]


@pytest.mark.parametrize("awaits", ["first", "second"])
def test_cancelling_cancels_what_is_awaited(awaits: str) -> None:
    served = Served()
    if awaits == "second":
        served.first.callback(1)
    served.serving.cancel()
    assert served.first.called and served.second.called is (awaits == "second")
    assert [failure.type for failure in served.failures] == [CancelledError]
    served.serving.cancel()  # nothing is awaited any more


def test_a_chain_of_deferreds_is_awaited_to_its_end() -> None:
    served = Served()
    inner: Deferred[int] = Deferred()
    served.second.addCallback(lambda _: inner)
    served.first.callback(1)
    served.second.callback(2)
    assert served.got == [1]
    inner.callback(7)
    assert served.got == [1, 7]
