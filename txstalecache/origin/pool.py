"""The connections to one server: how many, which one next, and who waits.

Must not know: what exchanges say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL.SSL import Error as SSLError
from service_identity import VerificationError
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import TCPTimedOutError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txstalecache.origin.connection import Connection
from txstalecache.origin.exchange import Exchange
from txstalecache.origin.holdups import Holdups
from txstalecache.origin.interfaces import Fault, OriginError
from txstalecache.origin.limits import PoolLimits

__all__ = ["Pool"]


class _Attempt(Factory):
    """One connection being made, for one exchange."""

    noisy = False

    def __init__(self, pool: Pool, exchange: Exchange, make: Callable[[], Connection]) -> None:
        self._pool = pool
        self._make = make
        self.exchange: Exchange | None = exchange
        self.connection: Connection | None = None
        self.connecting: Deferred[Any] | None = None
        self.timer: IDelayedCall | None = None

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        self.connection = connection = self._make()
        self._pool.attempts[connection] = self
        return connection

    def settle(self) -> Exchange | None:
        """It has ended one way or the other: whose it was, if anybody still wants it."""
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        exchange, self.exchange = self.exchange, None
        return exchange


class Pool:
    """Connections through ``endpoint``, as many as ``limits`` allow. While exchanges wait for one, as many give way as
    wait, whose clients hardly move. The connection used last is used next, so that those not needed reach their limit
    and close. Why there is no TLS with ``server`` is said in the log, once until there is or it is for another reason.
    """

    _log = Logger()

    #: Seconds between two looks at who could give way.
    PRESS = 0.5

    def __init__(
        self, clock: IReactorTime, endpoint: IStreamClientEndpoint, server: str, limits: PoolLimits, *, secure: bool
    ) -> None:
        self._clock = clock
        self._endpoint = endpoint
        self._server = server
        self._insecure = ""
        """Why there is no TLS, as was said."""
        self._secure = secure
        self._max = limits.max_connections
        self._queue_limit = limits.queue
        self._queue_wait = limits.queue_wait
        self._idle_limit = limits.idle
        self._lifetime = limits.lifetime
        self._idle: list[Connection] = []
        self._connections: set[Connection] = set()
        self._queue: dict[Exchange, float] = {}
        self._queue_timer: IDelayedCall | None = None
        self._holdups = Holdups(limits.min_rate)
        self._pressing: IDelayedCall | None = None
        self._serving = False
        self._closing: list[tuple[set[Connection], Deferred[None]]] = []
        self.attempts: dict[Connection, _Attempt] = {}
        """Connections that exist and are not open yet."""
        self.size = 0
        """Connections that exist or are being made."""

    @property
    def idle_connections(self) -> int:
        """Connections ready for a request."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """Exchanges that wait for a connection."""
        return len(self._queue)

    # -- exchanges come -----------------------------------------------------------------------------------------------

    def submit(self, exchange: Exchange) -> None:
        """Send ``exchange`` as soon as may be. It is failed when it has to wait for too long."""
        if not self._queue:
            connection = self._take_idle()
            if connection is not None:
                connection.start(exchange)
                return
            if self.size < self._max:
                self._connect(exchange)
                return
        if len(self._queue) >= self._queue_limit:
            exchange.fail(OriginError(Fault.OVERLOADED, f"{len(self._queue)} requests wait for a connection"))
            return
        due = min(self._clock.seconds() + self._queue_wait, exchange.total_due)
        self._queue[exchange] = due
        exchange.withdraw = self._withdraw
        if self._pressing is None:
            self._pressing = self._clock.callLater(self.PRESS, self._press)
        self._arm(due)

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.fit():
                return connection
            connection.abort()
        return None

    def _withdraw(self, exchange: Exchange) -> None:
        self._queue.pop(exchange, None)
        self._disarm_when_empty()

    def _serve_queue(self) -> None:
        if self._serving:
            return  # a connection that fails at once brings us back here: the loop goes on, the stack does not grow
        self._serving = True
        try:
            while self._queue:
                connection = self._take_idle()
                if connection is None and self.size >= self._max:
                    break
                exchange = next(iter(self._queue))
                del self._queue[exchange]
                exchange.withdraw = None
                if connection is not None:
                    connection.start(exchange)
                else:
                    self._connect(exchange)
        finally:
            self._serving = False
        self._disarm_when_empty()

    def _arm(self, due: float) -> None:
        """Look at the queue at ``due`` at the latest."""
        if self._queue_timer is not None:
            if self._queue_timer.getTime() <= due:
                return
            self._queue_timer.cancel()
        self._queue_timer = self._clock.callLater(max(due - self._clock.seconds(), 0.0), self._sweep)

    def _disarm_when_empty(self) -> None:
        if self._queue:
            return
        if self._queue_timer is not None:
            self._queue_timer.cancel()
            self._queue_timer = None
        if self._pressing is not None:
            self._pressing.cancel()
            self._pressing = None
            self._holdups.forget()

    def _press(self) -> None:
        """Somebody waits: those give way who keep a connection for a client that hardly moves."""
        self._pressing = self._clock.callLater(self.PRESS, self._press)
        busy = [connection.exchange for connection in self._connections]
        leaving = busy.count(None) - len(self._idle)
        slow = self._holdups.look([exchange for exchange in busy if exchange is not None], self._clock.seconds())
        for exchange in slow[: max(0, len(self._queue) - leaving)]:
            exchange.give_way()

    def _sweep(self) -> None:
        self._queue_timer = None
        now = self._clock.seconds()
        for exchange in [exchange for exchange, due in self._queue.items() if due <= now]:
            if self._queue.pop(exchange, None) is None:
                continue
            if exchange.total_due <= now:
                exchange.fail(OriginError(Fault.TIMEOUT, "no connection in time"))
            else:
                exchange.fail(OriginError(Fault.OVERLOADED, f"no free connection in {self._queue_wait:g} s"))
        if self._queue:
            # Whoever has failed may have come again by now, and armed it for itself.
            self._arm(min(self._queue.values()))
        self._disarm_when_empty()

    # -- connections come ---------------------------------------------------------------------------------------------

    def _connect(self, exchange: Exchange) -> None:
        self.size += 1
        attempt = _Attempt(
            self, exchange, lambda: Connection(self._clock, self, self._idle_limit, self._lifetime, self._secure)
        )
        exchange.withdraw = lambda _: self._abandon(attempt)
        limit = min(exchange.request.deadlines.connect, exchange.total_due - self._clock.seconds())
        attempt.timer = self._clock.callLater(max(limit, 0.0), self._connect_timeout, attempt)
        attempt.connecting = self._endpoint.connect(attempt)
        attempt.connecting.addErrback(self._connect_failed, attempt)

    def _abandon(self, attempt: _Attempt) -> None:
        attempt.settle()
        if attempt.connection is not None:
            attempt.connection.abort()
        elif attempt.connecting is not None:
            attempt.connecting.cancel()

    def _connect_timeout(self, attempt: _Attempt) -> None:
        exchange = attempt.settle()
        self._abandon(attempt)
        if exchange is not None:
            exchange.fail(
                OriginError(Fault.CONNECT_TIMEOUT, f"no connection in {exchange.request.deadlines.connect:g} s")
            )

    def _connect_failed(self, failure: Failure, attempt: _Attempt) -> None:
        if attempt.connection is not None and attempt.connection.transport is not None:
            return  # it was made: connectionLost tells the rest
        if attempt.connection is not None:
            self.attempts.pop(attempt.connection, None)
        self.size -= 1
        exchange = attempt.settle()
        if exchange is not None:
            exchange.fail(_unreachable(failure))
        self._serve_queue()

    def opened(self, connection: Connection) -> None:
        """``connection`` can carry exchanges."""
        self._connections.add(connection)
        self._insecure = ""
        attempt = self.attempts.pop(connection)
        exchange = attempt.settle()
        if exchange is None:
            connection.abort()
        else:
            connection.start(exchange)

    def idle(self, connection: Connection) -> None:
        """``connection`` has ended an exchange and can carry another."""
        self._idle.append(connection)
        if self._queue:
            self._serve_queue()

    def lost(self, connection: Connection, exchange: Exchange | None, reason: Failure) -> None:
        """``connection`` is gone; ``exchange`` was on it."""
        self.size -= 1
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        attempt = self.attempts.pop(connection, None)
        if attempt is not None:
            self._say_insecure(reason)
            wanted = attempt.settle()
            if wanted is not None:
                wanted.fail(_unreachable(reason))
        elif exchange is not None:
            if connection.used and exchange.repeatable:
                # The origin closed it while the request was on its way; it has not been looked at (RFC 9112 §9.3.1).
                exchange.again()
                self._connect(exchange)
            else:
                exchange.lost(connection.is_clean(reason), _text(reason))
        for connections, done in list(self._closing):
            connections.discard(connection)
            if not connections and not done.called:
                done.callback(None)
        self._serve_queue()

    def _say_insecure(self, reason: Failure) -> None:
        why = _insecure(reason)
        if why and why != self._insecure:
            self._insecure = why
            self._log.error("no TLS with {server}: {why}", server=self._server, why=why)

    def close(self) -> Deferred[None]:
        """Close idle connections now, the others after the exchange they carry; fires when the idle ones are gone."""
        self._idle_limit = 0.0
        idle, self._idle = self._idle, []
        for connection in list(self._connections):
            connection.retire()
        going = {connection for connection in idle if connection in self._connections}
        if not going:
            return succeed(None)
        done: Deferred[None] = Deferred()
        entry = (going, done)
        self._closing.append(entry)

        def over(result: object) -> None:
            self._closing.remove(entry)

        return done.addBoth(over)


def _insecure(reason: Failure) -> str:
    """What is wrong with the server's TLS; nothing where that is not what has ended the connection."""
    match reason.value:
        case VerificationError():
            return "the certificate is for another name"
        case SSLError() as error:
            # OpenSSL's queue: of each the library, the function and the reason.
            return ", ".join(one[-1] for one in error.args[0]) if error.args else "TLS failed"
        case _:
            return ""


def _text(reason: Failure) -> str:
    if isinstance(reason.value, SSLError):
        return "TLS failed"
    message: str = reason.getErrorMessage()
    return " ".join(message.split())[:200]


def _unreachable(failure: Failure) -> OriginError:
    error = failure.value
    if isinstance(error, (ConnectTimeout, TCPTimedOutError)):
        return OriginError(Fault.CONNECT_TIMEOUT, "timed out")
    if isinstance(error, CancelledError):
        return OriginError(Fault.UNREACHABLE, "given up")
    return OriginError(Fault.UNREACHABLE, _text(failure))
