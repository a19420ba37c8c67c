"""Finding the master through Sentinels: asked anew for each connection, one after the other.

Must not know: what is done with the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["NoMaster", "SentinelEndpoint"]


class NoMaster(Exception):
    """No Sentinel that could be asked knows the master."""


class _Question(Protocol):
    """One question to one Sentinel; ``answer`` fires with where the master is, or None when it does not say."""

    def __init__(self, words: bytes) -> None:
        self._words = words
        self._heard = b""
        self.answer: Deferred[tuple[str, int] | None] = Deferred(lambda _: self._hang_up())

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._words)

    def dataReceived(self, data: bytes) -> None:
        self._heard += data
        # "*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n", or "*-1\r\n", or "-ERR …", after "+OK\r\n" when there was an AUTH.
        heard = self._heard.removeprefix(b"+OK\r\n")
        lines = heard.split(b"\r\n")
        if lines[0] == b"*2" and len(lines) > 5:
            host, port = lines[2], lines[4]
            good = port.isdigit() and len(port) <= 5
            self._say((host.decode("ascii", "replace"), int(port)) if good else None)
        elif (lines[0] and len(lines) > 1 and lines[0] != b"*2") or len(heard) > 4096:
            self._say(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._say(None)

    def _say(self, where: tuple[str, int] | None) -> None:
        if not self.answer.called:
            self._hang_up()
            self.answer.callback(where)

    def _hang_up(self) -> None:
        transport = self.transport
        if transport is not None:
            transport.abortConnection()  # type: ignore[attr-defined]


@implementer(IStreamClientEndpoint)
class SentinelEndpoint:
    """Connects to the master called ``master`` as one of ``sentinels`` knows it; each step takes at most ``timeout``
    seconds. ``way`` is how to connect to a host and port, a Sentinel's or the master's; ``auth`` is what a Sentinel is
    told first. Whether the master is still one is for the caller to ask it (``ROLE``)."""

    def __init__(
        self,
        reactor: IReactorTime,
        sentinels: Sequence[tuple[str, int]],
        master: str,
        timeout: float,
        way: Callable[[str, int], IStreamClientEndpoint],
        auth: tuple[str, ...] = (),
    ) -> None:
        self._reactor = reactor
        self._sentinels = list(sentinels)
        self._timeout = timeout
        self._way = way
        words: list[tuple[str, ...]] = [("SENTINEL", "get-master-addr-by-name", master)]
        if auth:
            words.insert(0, ("AUTH", *auth))
        self._words = b"".join(_packed(command) for command in words)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        for sentinel in list(self._sentinels):
            where = await self._ask(sentinel)
            if where is None:
                # Asked last from now on.
                self._sentinels.remove(sentinel)
                self._sentinels.append(sentinel)
                continue
            return await self._way(*where).connect(factory)
        raise NoMaster("no Sentinel knows where the master is")

    async def _ask(self, sentinel: tuple[str, int]) -> tuple[str, int] | None:
        question = _Question(self._words)
        try:
            await self._way(*sentinel).connect(Factory.forProtocol(lambda: question))
            return await question.answer.addTimeout(self._timeout, self._reactor, lambda result, seconds: None)
        except CancelledError:
            raise
        except Exception:
            return None


def _packed(words: Sequence[str]) -> bytes:
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)
