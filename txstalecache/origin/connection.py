"""One connection to a server: carries exchanges one after the other and owns their timer; trusts nothing unasked.

Must not know: what exchanges say.
"""

from __future__ import annotations

import socket
from enum import Enum
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txstalecache.http.values import enumeration
from txstalecache.origin.exchange import Exchange

if TYPE_CHECKING:
    from txstalecache.origin.pool import Pool

__all__ = ["Connection"]

#: What is there to be read stays there, and nothing is waited for.
_LOOK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)

#: Seconds an orderly close (a TLS goodbye, a FIN) may take before the connection is cut.
CLOSE_WITHIN = 2.0


@enumeration
class Life(Enum):
    """What a connection is doing."""

    OPENING = "opening"
    """Shaking hands."""
    IDLE = "idle"
    BUSY = "busy"
    CLOSING = "closing"
    GONE = "gone"


@implementer(IHandshakeListener)
class Connection(Protocol):
    """Created by a ``Pool``, which hears of every change.

    There is one delayed call per connection, not per request: it is armed for the next deadline or for the idle limit,
    whichever is first, and looks again when it fires. Between two requests on a busy connection it is not touched.
    """

    transport: Any

    def __init__(self, clock: IReactorTime, pool: Pool, idle: float, lifetime: float, secure: bool) -> None:
        self._clock = clock
        self._pool = pool
        self._idle_limit = idle
        self._expires = clock.seconds() + lifetime
        self._secure = secure
        self._timer: IDelayedCall | None = None
        self._armed = 0.0
        self._exchange: Exchange | None = None
        self._idle_due = 0.0
        self._paused = False
        self._socket: socket.socket | None = None
        self._direct = False
        """Whether nothing but ``send`` has written so far: then nothing waits in the transport."""
        self.life = Life.OPENING
        self.used = False
        """Whether it has carried an exchange before the one in hand."""

    # -- beginning and end --------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """TCP is up. With TLS that is not enough: nothing is sent to a server that is not who it should be."""
        transport = self.transport
        if hasattr(transport, "setTcpNoDelay"):
            try:
                transport.setTcpNoDelay(True)
            except OSError:
                pass
        while transport is not None:
            handle = transport.getHandle() if hasattr(transport, "getHandle") else None
            if isinstance(handle, socket.socket):
                self._socket = handle
                break
            transport = getattr(transport, "transport", None)
        self._direct = self._socket is not None and not self._secure
        if not self._secure:
            self._open()

    def handshakeCompleted(self) -> None:
        """TLS is up and the certificate verified."""
        self._open()

    def _open(self) -> None:
        if self.life is Life.OPENING:
            self.life = Life.IDLE
            self._pool.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Whoever ended it."""
        self.life = Life.GONE
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._socket = None
        exchange, self._exchange = self._exchange, None
        self._pool.lost(self, exchange, reason)

    @staticmethod
    def is_clean(reason: Failure) -> bool:
        """A FIN (with TLS: after a goodbye, so that nobody in between can have cut the body short)."""
        return isinstance(reason.value, ConnectionDone)

    def close(self) -> None:
        """Close in order; by force when that takes too long."""
        if self.life in (Life.CLOSING, Life.GONE):
            return
        self.life = Life.CLOSING
        self._exchange = None
        self.transport.loseConnection()
        self._idle_due = self._clock.seconds() + CLOSE_WITHIN
        self.watch()

    def abort(self) -> None:
        """Cut it now; nothing more reaches anybody."""
        if self.life is Life.GONE:
            return
        self.life = Life.CLOSING
        self._exchange = None
        self.transport.abortConnection()

    @property
    def exchange(self) -> Exchange | None:
        """The one in hand."""
        return self._exchange

    # -- exchanges ----------------------------------------------------------------------------------------------------

    def fit(self) -> bool:
        """Whether the next request may go out on this idle connection: still open, and nothing unread on it.

        What is readable now was sent before the request, so it cannot be its answer: a late or smuggled response
        (RFC 9112 §9.2 has nothing to tell them apart by), or the end of the connection.
        """
        if self.life is not Life.IDLE:
            return False
        if self._socket is None:
            return True
        try:
            self._socket.recv(1, _LOOK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def send(self, head: bytes, last: bool) -> None:
        """Write the head of a request. ``last``: no body follows. Where it can, it goes straight to the socket, without
        a turn of the reactor in between."""
        sent = 0
        if self._direct:
            assert self._socket is not None
            try:
                sent = self._socket.send(head)
            except OSError:
                pass  # full, or gone: the transport waits, or says so
            # What the transport holds goes first from now on.
            self._direct = last and sent == len(head)
        if sent < len(head):
            self.transport.write(head[sent:])

    def start(self, exchange: Exchange) -> None:
        """Carry ``exchange``; this must be idle."""
        self.life = Life.BUSY
        self._exchange = exchange
        exchange.start(self)
        self.watch()

    def finished(self, reusable: bool, keep_alive: float | None) -> None:
        """The exchange in hand is complete. ``reusable``: nothing about it leaves a doubt where the next one begins.
        ``keep_alive``: seconds the origin has promised to keep the connection."""
        self._exchange = None
        now = self._clock.seconds()
        # One that is always busy would go on for ever, though the name has led elsewhere for long.
        limit = min(self._idle_limit, self._expires - now)
        if not reusable or limit <= 0 or self.life is not Life.BUSY:
            self.close()
            return
        if keep_alive is not None:
            # Whoever closes first must be us: a request sent into the origin's close is lost.
            limit = min(limit, max(keep_alive - 1.0, keep_alive / 2))
        self.life = Life.IDLE
        self.used = True
        self._idle_due = now + limit
        self.resume()
        self._pool.idle(self)
        if self._timer is None or self._idle_due < self._armed:
            self.watch()

    def retire(self) -> None:
        """Close as soon as no exchange needs it."""
        self._idle_limit = 0.0
        if self.life is Life.IDLE:
            self.close()

    def dataReceived(self, data: bytes) -> None:
        """Bytes for the exchange in hand. With none in hand they are nobody's, and the connection not to be trusted."""
        if self._exchange is not None:
            self._exchange.received(data)
        elif self.life is not Life.CLOSING:
            self.abort()

    def pause(self) -> None:
        """Read no more."""
        if not self._paused and self.life is Life.BUSY:
            self._paused = True
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self.transport.resumeProducing()

    # -- the timer ----------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """The next deadline may have come nearer."""
        if self.life is Life.GONE:
            return
        due = self._exchange.due() if self._exchange is not None else self._idle_due
        timer = self._timer
        if timer is not None:
            if self._armed <= due:
                return
            timer.cancel()
        now = self._clock.seconds()
        # Not later than the idle limit: the end of this exchange then finds the timer armed early enough.
        self._armed = min(due, now + max(self._idle_limit, CLOSE_WITHIN))
        self._timer = self._clock.callLater(max(self._armed - now, 0.0), self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        exchange = self._exchange
        if exchange is not None:
            if exchange.due() <= now:
                exchange.expire()
        elif self._idle_due <= now:
            if self.life is Life.IDLE:
                self.close()
            else:
                self.abort()
            return
        self.watch()
