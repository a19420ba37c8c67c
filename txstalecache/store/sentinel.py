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
    """A Sentinel does not say where the master is, or none of them does."""


class _Question(Protocol):
    """One question to one Sentinel; ``answer`` fires with where the master is, or NoMaster when it does not say."""

    def __init__(self, words: bytes) -> None:
        self._words = words
        self._heard = b""
        self.answer: Deferred[tuple[str, int]] = Deferred(lambda _: self._hang_up())

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
            self._say((host.decode("ascii", "replace"), int(port)) if good else _no_answer(lines[0]))
        elif (lines[0] and len(lines) > 1 and lines[0] != b"*2") or len(heard) > 4096:
            self._say(_no_answer(lines[0]))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._say(NoMaster("hangs up"))

    def _say(self, where: tuple[str, int] | NoMaster) -> None:
        if not self.answer.called:
            self._hang_up()
            if isinstance(where, NoMaster):
                self.answer.errback(where)
            else:
                self.answer.callback(where)

    def _hang_up(self) -> None:
        transport = self.transport
        if transport is not None:
            transport.abortConnection()  # type: ignore[attr-defined]


def _no_answer(line: bytes) -> NoMaster:
    """What a reply that begins with ``line`` says instead."""
    if line == b"*-1":
        return NoMaster("knows no master of this name")
    if not line.startswith(b"-"):
        return NoMaster("does not answer as a Sentinel")
    # Behind the comma is what it was told, a password perhaps.
    said = line[1:].partition(b",")[0].decode("ascii", "replace")
    return NoMaster(f"says {said[:100] if said.isprintable() else 'no'}")


class _Questions(Factory):
    """Makes one."""

    noisy = False

    def __init__(self, question: _Question) -> None:
        self._question = question

    def buildProtocol(self, addr: object) -> _Question:
        return self._question


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
        why = ""
        for sentinel in list(self._sentinels):
            try:
                where = await self._ask(sentinel)
            except CancelledError:
                raise
            except Exception as error:
                why = f"{sentinel[0]}:{sentinel[1]} {_line(error)}"
                # Asked last from now on.
                self._sentinels.remove(sentinel)
                self._sentinels.append(sentinel)
                continue
            return await self._way(*where).connect(factory)
        raise NoMaster(f"no Sentinel knows where the master is, {why}")

    async def _ask(self, sentinel: tuple[str, int]) -> tuple[str, int]:
        question = _Question(self._words)
        await self._way(*sentinel).connect(_Questions(question))
        late = Failure(NoMaster("does not answer in time"))
        return await question.answer.addTimeout(self._timeout, self._reactor, lambda result, seconds: late)


def _line(error: Exception) -> str:
    if isinstance(error, NoMaster):
        return str(error)
    return f"cannot be asked: {' '.join(str(error).split())}"


def _packed(words: Sequence[str]) -> bytes:
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)
