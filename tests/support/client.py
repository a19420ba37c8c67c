"""A raw-socket HTTP/1.1 client for tests: says exactly what it is told and reports exactly what came.

One request::

    reply = yield fetch(port, "GET", "/x", fields=[("Accept", "*/*")])
    assert (reply.status, reply.body) == (200, b"hello")
    assert reply.field("age") == b"0"

A request one wants to watch (``open_exchange`` returns at once, connecting goes on behind it)::

    exchange = open_exchange(port, "GET", "/big")
    yield exchange.begun                  # the final head is here: exchange.reply.status
    yield exchange.received(100)          # so many bytes of body
    exchange.pause()                      # a reader that does not read
    exchange.resume(); reply = yield exchange.done
    exchange.abort()                      # or: leave with a RST

A connection of one's own: keep-alive, pipelining, arbitrary bytes::

    connection = yield connect(port)
    reply = yield connection.request("GET", "/a")
    connection.send(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    reply = yield connection.expect("GET").done
    yield connection.close()

``Reply.truncated`` is True when the connection ended before the body did. A connection that ends, or sends rubbish,
before a head fails ``begun`` and ``done`` with ``NoReply``; so does ``timeout`` (30 s), which also cuts the connection.
Ten thousand at once are fine (two descriptors each when the server is in the same process).
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from typing import Any, cast

from twisted.internet import error, protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint, ITCPTransport
from twisted.python.failure import Failure

from tests.support.wire import Pairs, Parser, WireError, encode_fields, field, pairs, to_bytes

__all__ = ["Connection", "Exchange", "NoReply", "Reply", "connect", "encode_request", "fetch", "open_exchange"]


class NoReply(Exception):
    """The connection ended, timed out or talked rubbish before a complete head. ``received``: the bytes that came."""

    def __init__(self, why: str, received: bytes = b"") -> None:
        super().__init__(f"{why} after {received[:200]!r}" if received else why)
        self.received = received


class Reply:
    """What came for one request. Times are ``time.monotonic()``; 0.0 for what has not happened."""

    __slots__ = (
        "_hash",
        "_pieces",
        "begun_at",
        "closed",
        "done_at",
        "fields",
        "first_byte_at",
        "informational",
        "length",
        "reason",
        "sent_at",
        "status",
        "truncated",
        "version",
        "why",
    )

    def __init__(self, keep: bool = True) -> None:
        self.status = 0
        self.reason = b""
        self.version = b""
        """``1`` or ``0``: the minor version."""
        self.fields: Pairs = []
        """The lines as they came, in order."""
        self.informational: list[tuple[int, Pairs]] = []
        """Status and fields of each 1xx, in order."""
        self.sent_at = 0.0
        self.begun_at = 0.0
        """When the final head was complete."""
        self.first_byte_at = 0.0
        """When the first byte of the body came."""
        self.done_at = 0.0
        self.length = 0
        """Bytes of body."""
        self.truncated = False
        self.closed = False
        """The end of the connection was the end of the body (no other framing)."""
        self.why = ""
        """For a truncated reply: what ended it."""
        self._pieces: list[bytes] | None = [] if keep else None
        self._hash = None if keep else hashlib.sha256()

    @property
    def body(self) -> bytes:
        """The body so far. Empty when it is not kept."""
        if not self._pieces:
            return b""
        if len(self._pieces) > 1:
            self._pieces[:] = [b"".join(self._pieces)]
        return self._pieces[0]

    @property
    def digest(self) -> str:
        """SHA-256 of the body so far, hex; kept or not."""
        return (self._hash or hashlib.sha256(self.body)).hexdigest()

    @property
    def seconds(self) -> float:
        """From sent to done."""
        return self.done_at - self.sent_at

    def field(self, name: str | bytes) -> bytes | None:
        """The value of a field, lines joined by ``", "``; None when it did not come."""
        return field(self.fields, name)

    def _add(self, data: bytes) -> None:
        if not self.length:
            self.first_byte_at = time.monotonic()
        self.length += len(data)
        if self._pieces is not None:
            self._pieces.append(data)
        elif self._hash is not None:
            self._hash.update(data)

    def __repr__(self) -> str:
        return f"<Reply {self.status} {self.length} bytes{' TRUNCATED' if self.truncated else ''} {self.fields!r}>"


class Exchange:
    """One request and its reply."""

    def __init__(self, method: bytes = b"GET", keep: bool = True) -> None:
        self.method = method
        self.reply = Reply(keep)
        """Filled as bytes come."""
        self.begun: Deferred[Reply] = Deferred()
        """Fires at the final head."""
        self.done: Deferred[Reply] = Deferred(lambda _: self.abort())
        """Fires at the end of the body, or when it is cut (``reply.truncated``). Cancelling it cuts the connection."""
        self.connection: Connection | None = None
        self._marks: list[tuple[int, Deferred[Reply]]] = []
        self._gone = False
        self._alone = False

    def received(self, length: int) -> Deferred[Reply]:
        """Fires when ``length`` bytes of body have come, or at the end of the reply."""
        mark: Deferred[Reply] = Deferred()
        if self.reply.length >= length or self.reply.done_at:
            mark.callback(self.reply)
        else:
            self._marks.append((length, mark))
        return mark

    def pause(self) -> None:
        """Read no more from the socket."""
        if self.connection is not None:
            self.connection.pause()

    def resume(self) -> None:
        """Read on."""
        if self.connection is not None:
            self.connection.resume()

    def abort(self) -> None:
        """Leave: cut the connection with a RST."""
        self._gone = True
        if self.connection is not None:
            self.connection.abort()

    def _head(self) -> None:
        self.reply.begun_at = time.monotonic()
        if not self.begun.called:
            self.begun.callback(self.reply)

    def _body(self, data: bytes) -> None:
        self.reply._add(data)
        if self._marks:
            due = [mark for length, mark in self._marks if length <= self.reply.length]
            self._marks = [(length, mark) for length, mark in self._marks if length > self.reply.length]
            for mark in due:
                mark.callback(self.reply)

    def _end(self) -> None:
        self.reply.done_at = time.monotonic()
        marks, self._marks = self._marks, []
        for _, mark in marks:
            mark.callback(self.reply)
        if not self.done.called:
            self.done.callback(self.reply)

    def _fail(self, why: NoReply) -> None:
        if self.reply.begun_at:
            self.reply.truncated = True
            self.reply.why = str(why)
            self._end()
            return
        self.reply.done_at = time.monotonic()
        for deferred in [mark for _, mark in self._marks] + [self.begun, self.done]:
            if not deferred.called:
                deferred.errback(why)
            if deferred is not self.done or self._gone:
                deferred.addErrback(lambda _: None)  # whoever waits has seen it by now; nobody has to wait
        self._marks = []


class Connection(protocol.Protocol):
    """A connection to the server under test."""

    def __init__(self) -> None:
        self.received = bytearray()
        """Every byte that came, when ``keep_raw`` is set."""
        self.keep_raw = True
        self.ended = False
        """The server's side has closed, or we have."""
        self.lost: Deferred[Connection] = Deferred()
        """Fires when the connection has ended, whoever ended it. ``lost_reason`` says how."""
        self.lost_reason: Failure | None = None
        self._queue: deque[Exchange] = deque()
        self._parser = Parser("reply", self._on_head, self._on_body, self._on_end, self._is_head)
        self._watchers: list[tuple[int, Deferred[bytes]]] = []

    def connectionMade(self) -> None:
        if hasattr(self.transport, "setTcpNoDelay"):
            cast(ITCPTransport, self.transport).setTcpNoDelay(True)

    def send(self, data: bytes | str) -> None:
        """Send any bytes."""
        if self.transport is not None:
            self.transport.write(to_bytes(data))

    def request(
        self,
        method: str | bytes = "GET",
        target: str | bytes = "/",
        fields: Any = (),
        body: bytes = b"",
        *,
        host: str | bytes = "localhost",
        keep: bool = True,
    ) -> Deferred[Reply]:
        """Send a request (see ``encode_request``) and expect its reply. May be called again before that has come."""
        exchange = self.expect(method, keep=keep)
        self.send(encode_request(method, target, fields, body, host=host))
        return exchange.done

    def expect(self, method: str | bytes = "GET", *, keep: bool = True) -> Exchange:
        """Expect one more reply, to a ``method`` request that was or will be sent by ``send``."""
        return self._expect(Exchange(to_bytes(method), keep))

    def _expect(self, exchange: Exchange) -> Exchange:
        exchange.connection = self
        exchange.reply.sent_at = time.monotonic()
        if self.ended:
            exchange._fail(NoReply("connection has ended"))
            return exchange
        self._queue.append(exchange)
        if self._parser.paused:
            self._parser.paused = False
            self._feed(b"")
        return exchange

    def got(self, length: int) -> Deferred[bytes]:
        """Fires with all bytes received when at least ``length`` have come, or the connection has ended."""
        watcher: Deferred[bytes] = Deferred()
        if self.ended or len(self.received) >= length:
            watcher.callback(bytes(self.received))
        else:
            self._watchers.append((length, watcher))
        return watcher

    @property
    def unexpected(self) -> bytes:
        """Bytes that came and belong to no expected reply."""
        return self._parser.pending if self._parser.paused else b""

    def pause(self) -> None:
        """Read no more from the socket."""
        if self.transport is not None and not self.ended:
            self.transport.pauseProducing()  # type: ignore[attr-defined]

    def resume(self) -> None:
        """Read on."""
        if self.transport is not None and not self.ended:
            self.transport.resumeProducing()  # type: ignore[attr-defined]

    def finish_sending(self) -> None:
        """Half-close: a FIN, while still reading."""
        self.transport.loseWriteConnection()  # type: ignore[union-attr]

    def close(self) -> Deferred[Connection]:
        """Close; fires when the connection is gone."""
        if self.transport is not None:
            self.transport.loseConnection()
        return self._when_lost()

    def abort(self) -> Deferred[Connection]:
        """Cut with a RST; fires when the connection is gone."""
        if self.transport is not None:
            cast(ITCPTransport, self.transport).abortConnection()
        return self._when_lost()

    def _when_lost(self) -> Deferred[Connection]:
        waiting: Deferred[Connection] = Deferred()

        def fired(result: Connection) -> Connection:
            if not waiting.called:
                waiting.callback(self)
            return result

        self.lost.addCallback(fired)
        return waiting

    # -- from the wire -------------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        if self.keep_raw:
            self.received += data
            if self._watchers:
                due = [watcher for length, watcher in self._watchers if length <= len(self.received)]
                self._watchers = [pair for pair in self._watchers if pair[0] > len(self.received)]
                for watcher in due:
                    watcher.callback(bytes(self.received))
        if not self._queue:
            self._parser.paused = True
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed(data)
        except WireError as wrong:
            self._fail(NoReply(f"not HTTP: {wrong}", bytes(self.received)))
            self.abort()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self.ended = True
        self.lost_reason = reason
        if reason.check(error.ConnectionDone) and self._queue and self._queue[0].reply.begun_at:
            self._parser.end()
        self._fail(NoReply(f"connection lost ({reason.getErrorMessage()})", bytes(self.received)))
        watchers, self._watchers = self._watchers, []
        for _, watcher in watchers:
            watcher.callback(bytes(self.received))
        self.lost.callback(self)

    def _fail(self, why: NoReply) -> None:
        while self._queue:
            self._queue.popleft()._fail(why)

    def _is_head(self) -> bool:
        return self._queue[0].method == b"HEAD"

    def _on_head(self, first: tuple[bytes, ...], fields: Pairs) -> None:
        exchange = self._queue[0]
        if int(first[1]) < 200:
            exchange.reply.informational.append((int(first[1]), fields))
            return
        reply = exchange.reply
        reply.version, reply.status, reply.reason, reply.fields = first[0], int(first[1]), first[2], fields
        exchange._head()

    def _on_body(self, data: bytes) -> None:
        self._queue[0]._body(data)

    def _on_end(self, clean: bool) -> None:
        exchange = self._queue.popleft()
        exchange.reply.closed = not clean
        if not self._queue:
            self._parser.paused = True
        if exchange._alone:
            self.transport.loseConnection()  # type: ignore[union-attr]
        exchange._end()


def encode_request(
    method: str | bytes = "GET",
    target: str | bytes = "/",
    fields: Any = (),
    body: bytes = b"",
    *,
    host: str | bytes = "localhost",
) -> bytes:
    """A request's bytes. ``Host`` comes first unless ``fields`` has one; ``Content-Length`` last, when there is a body
    and ``fields`` say nothing about its length. Nothing is checked."""
    lines = pairs(fields)
    if field(lines, b"host") is None:
        lines.insert(0, (b"Host", to_bytes(host)))
    if body and field(lines, b"content-length") is None and field(lines, b"transfer-encoding") is None:
        lines.append((b"Content-Length", b"%d" % len(body)))
    return b"%s %s HTTP/1.1\r\n%s\r\n%s" % (to_bytes(method), to_bytes(target), encode_fields(lines), body)


def connect(
    port: int = 0, *, host: str = "127.0.0.1", endpoint: IStreamClientEndpoint | None = None
) -> Deferred[Connection]:
    """A new connection to ``host:port``, or through ``endpoint``."""
    from twisted.internet import endpoints, reactor

    if endpoint is None:
        endpoint = endpoints.TCP4ClientEndpoint(cast(Any, reactor), host, port, timeout=10)
    return cast("Deferred[Connection]", endpoint.connect(protocol.Factory.forProtocol(Connection)))


def open_exchange(
    port: int = 0,
    method: str | bytes = "GET",
    target: str | bytes = "/",
    fields: Any = (),
    body: bytes = b"",
    *,
    host: str | bytes = "localhost",
    keep: bool = True,
    endpoint: IStreamClientEndpoint | None = None,
    timeout: float = 30.0,
) -> Exchange:
    """Connect, send a request, close the connection after its reply. ``keep=False``: only length and digest of the
    body are kept. ``host`` is the Host field."""
    from twisted.internet import reactor

    exchange = Exchange(to_bytes(method), keep)
    exchange._alone = True

    def too_late() -> None:
        exchange._fail(NoReply("timeout"))
        exchange.abort()

    late = cast(Any, reactor).callLater(timeout, too_late)

    def connected(connection: Connection) -> None:
        exchange.connection = connection
        connection.keep_raw = False
        if exchange._gone:
            connection.abort()
            exchange._fail(NoReply("aborted"))
            return
        connection._expect(exchange)
        connection.send(encode_request(method, target, fields, body, host=host))

    def over(result: Any) -> Any:
        if late.active():
            late.cancel()
        return result

    exchange.done.addBoth(over)
    connect(port, endpoint=endpoint).addCallbacks(
        connected, lambda failure: exchange._fail(NoReply(f"no connection: {failure.getErrorMessage()}"))
    )
    return exchange


def fetch(
    port: int = 0,
    method: str | bytes = "GET",
    target: str | bytes = "/",
    fields: Any = (),
    body: bytes = b"",
    *,
    host: str | bytes = "localhost",
    keep: bool = True,
    endpoint: IStreamClientEndpoint | None = None,
    timeout: float = 30.0,
) -> Deferred[Reply]:
    """One request on a connection of its own; fires with the whole reply. See ``open_exchange``."""
    exchange = open_exchange(
        port, method, target, fields, body, host=host, keep=keep, endpoint=endpoint, timeout=timeout
    )
    return exchange.done
