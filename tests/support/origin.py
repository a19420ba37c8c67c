"""A scripted origin: a raw-socket HTTP/1.1 server that tests steer byte by byte and step by step.

::

    origin = ScriptedOrigin(lambda request: Answer(200, [("Cache-Control", "max-age=60")], b"hello"))
    yield origin.start()                       # 127.0.0.1, any free port; origin.port, origin.url
    ...
    assert origin.hits("/x") == 1
    assert origin.requests[0].field("host") == b"example.com"
    yield origin.close()                       # the fixtures origin and make_origin do this for you

What answers a request is, first found: ``origin.on("/path", script)`` for its path, then the handler, then 404. A
*script* is one of

* an ``Answer``: status, fields, body; framed as told;
* a list (or generator) of steps: ``[Head(200, [("Transfer-Encoding", "chunked")]), Chunk(b"a"), Gate("go"),
  Chunk(b"b")]``; a generator's code runs as the steps are played, and a step may yield back nothing;
* a callable taking the ``Request`` and giving one of the above, or a Deferred of one.

Gates replace sleeping: ``Gate("go")`` stops that answer until the test calls ``origin.release("go")`` (which lets
everybody through from then on, until ``origin.hold("go")``); ``yield origin.at_gate("go")`` waits until an answer
stands there. ``yield origin.arrived(3)`` waits for the third request.

Every request is kept in ``origin.requests`` in order of arrival; requests that are not well-formed HTTP are answered
400, closed, and kept in ``origin.malformed``; raw bytes per connection are in ``origin.connections[i].received``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet import defer, protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint, ITCPTransport
from twisted.python.failure import Failure

from tests.support.wire import Pairs, Parser, WireError, encode_fields, pairs, to_bytes
from tests.support.wire import field as find_field

__all__ = [
    "Answer",
    "Chunk",
    "Close",
    "Connection",
    "End",
    "Gate",
    "Hang",
    "Head",
    "Raw",
    "Request",
    "Reset",
    "ScriptedOrigin",
    "Sleep",
    "StopReading",
    "Wait",
]


@dataclass(eq=False)
class Request:
    """One request as it came."""

    method: bytes
    target: bytes
    fields: Pairs
    raw_head: bytes
    """The exact bytes of the head."""
    connection: Connection
    number: int
    """0 for the first request this origin got."""
    at: float
    """When its head was complete, ``time.monotonic()``."""
    body: bytes = b""
    """Complete once the handler runs; for ``on_head`` scripts still growing. Empty when ``keep_bodies`` is False."""
    body_length: int = 0

    @property
    def path(self) -> str:
        """The target up to its first ``?``."""
        return self.target.partition(b"?")[0].decode("latin-1")

    def field(self, name: str | bytes) -> bytes | None:
        """The value of a field, lines joined by ``", "``; None when it did not come."""
        return find_field(self.fields, name)


@dataclass
class Answer:
    """A whole answer. ``framing``: ``length`` adds Content-Length, ``chunked`` Transfer-Encoding, ``close`` neither and
    the connection ends after it, ``none`` leaves all to ``fields`` and sends ``body`` as it is.

    Only ``length`` answers to HEAD leave the body out (with the length it would have); 204 and 304 get no framing.
    """

    status: int = 200
    fields: Any = ()
    """Pairs or a dict, of str or bytes."""
    body: bytes | str = b""
    framing: str = "length"
    reason: bytes | str = b"Scripted"


@dataclass
class Head:
    """A status line and fields exactly as given; also for 1xx. Chunked framing in it makes later ``Chunk`` s framed."""

    status: int
    fields: Any = ()
    reason: bytes | str = b"Scripted"
    version: bytes | str = b"HTTP/1.1"


@dataclass
class Chunk:
    """Body bytes: a chunk when the head said chunked, else as they are."""

    data: bytes


@dataclass
class End:
    """The last chunk. Comes by itself when a chunked script runs to its end."""

    trailers: Any = ()


@dataclass
class Raw:
    """Any bytes, unframed."""

    data: bytes


@dataclass
class Wait:
    """Go on when the Deferred fires (it is not consumed; several answers may wait for the same one)."""

    deferred: Deferred[Any]


@dataclass
class Gate:
    """Go on when the test releases ``name``."""

    name: str


@dataclass
class Sleep:
    """Go on after ``seconds`` of real time. Only for what cannot be told otherwise: a slow drip, an origin that takes
    a second."""

    seconds: float


@dataclass
class Close:
    """Send what is written, then close (FIN)."""


@dataclass
class Reset:
    """Cut the connection with a RST, and with it whatever is written and not yet sent: a ``Gate`` before this step,
    released when the client has its bytes, makes sure that they arrive."""


@dataclass
class Hang:
    """Nothing more, for ever; the connection stays open until ``close``."""


@dataclass
class StopReading:
    """Read no more from this connection, so that what is sent to it backs up."""


Step = Head | Chunk | End | Raw | Wait | Gate | Sleep | Close | Reset | Hang | StopReading
Script = Any
"""Answer, iterable of steps, or callable giving one or a Deferred of one."""


class _Stopped(Exception):
    """The connection is gone or the script ended it."""


@dataclass(eq=False)
class Connection(protocol.Protocol):
    """One connection to the origin."""

    origin: ScriptedOrigin
    number: int = 0
    received: bytearray = field(default_factory=bytearray)
    """Every byte that came, when the origin's ``keep_raw`` is set."""
    requests: list[Request] = field(default_factory=list)
    is_open: bool = False
    lost_reason: Failure | None = None

    def connectionMade(self) -> None:
        self.is_open = True
        self.number = len(self.origin.connections)
        self.origin.connections.append(self)
        self._chunked = False
        self._play: Deferred[None] | None = None
        self._current: Request | None = None
        self._early: Script = None
        self._parser = Parser("request", self._on_head, self._on_body, self._on_end)
        cast(ITCPTransport, self.transport).setTcpNoDelay(True) if hasattr(self.transport, "setTcpNoDelay") else None
        self.origin._wake()

    def dataReceived(self, data: bytes) -> None:
        if self.origin.keep_raw:
            self.received += data
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed(data)
        except WireError as error:
            self.origin.malformed.append((self, str(error)))
            self._parser.paused = True
            self.write(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.close()
            self.origin._wake()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self.is_open = False
        self.lost_reason = reason
        if not self._parser.idle and self._parser.pending:
            self.origin.malformed.append((self, f"ended inside a request: {self._parser.pending!r}"))
        if self._play is not None:
            self._play.cancel()
        self.origin._wake()

    def _on_head(self, first: tuple[bytes, ...], fields: Pairs) -> None:
        request = Request(
            first[0], first[1], fields, self._parser.head_block, self, len(self.origin.requests), time.monotonic()
        )
        self._current = request
        self.requests.append(request)
        self.origin.requests.append(request)
        self._early = self.origin.on_head(request) if self.origin.on_head is not None else None
        if self._early is not None:
            self._start(request, self._early)
        elif (find_field(fields, "expect") or b"").lower() == b"100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.origin._wake()

    def _on_body(self, data: bytes) -> None:
        request = self._current
        assert request is not None
        request.body_length += len(data)
        if self.origin.keep_bodies:
            request.body += data

    def _on_end(self, clean: bool) -> None:
        request = self._current
        assert request is not None
        if self._early is None:
            self._start(request, self.origin._script_for(request))
        elif self._play is not None:
            self._parser.paused = True

    def _start(self, request: Request, script: Script) -> None:
        self._parser.paused = self._early is None
        self._play = playing = Deferred.fromCoroutine(self._run(request, script))

        def over(result: object) -> None:
            self._play = None
            if isinstance(result, Failure):
                if not isinstance(result.value, (_Stopped, defer.CancelledError)):
                    self.origin.errors.append(result)
                    self.reset()
                return
            if self.is_open and self._parser.paused:
                self._parser.paused = False
                self._feed(b"")

        playing.addBoth(over)

    async def _run(self, request: Request, script: Script) -> None:
        while callable(script) or isinstance(script, Deferred):
            script = script(request) if callable(script) else await script
        steps = self._steps(request, script) if isinstance(script, Answer) else script
        self._chunked = False
        for step in steps:
            await self._step(step)
        if self._chunked:
            self.write(b"0\r\n\r\n")

    def _steps(self, request: Request, answer: Answer) -> Iterator[Step]:
        fields, body = pairs(answer.fields), to_bytes(answer.body)
        if answer.framing == "length" and answer.status not in (204, 304):
            if find_field(fields, "content-length") is None:
                fields.append((b"Content-Length", b"%d" % len(body)))
        elif answer.framing == "chunked":
            fields.append((b"Transfer-Encoding", b"chunked"))
        yield Head(answer.status, fields, answer.reason)
        if request.method == b"HEAD" and answer.framing in ("length", "chunked"):
            self._chunked = False
            return
        if body:
            yield Chunk(body)
        if answer.framing == "close":
            yield Close()

    async def _step(self, step: Step) -> None:
        match step:
            case Head():
                fields = pairs(step.fields)
                line = b"%s %d %s\r\n" % (to_bytes(step.version), step.status, to_bytes(step.reason))
                self.write(line + encode_fields(fields) + b"\r\n")
                self._chunked = (find_field(fields, "transfer-encoding") or b"").lower() == b"chunked"
            case Chunk():
                self.write(b"%x\r\n%s\r\n" % (len(step.data), step.data) if self._chunked else step.data)
            case End():
                self.write(b"0\r\n" + encode_fields(pairs(step.trailers)) + b"\r\n")
                self._chunked = False
            case Raw():
                self.write(step.data)
            case Wait():
                await _follow(step.deferred)
            case Gate():
                await self.origin._pass_gate(step.name)
            case Sleep():
                await self.origin._after(step.seconds)
            case Close():
                self.close()
                raise _Stopped
            case Reset():
                self.reset()
                raise _Stopped
            case Hang():
                await Deferred()
            case StopReading():
                self.transport.pauseProducing()  # type: ignore[union-attr]

    def write(self, data: bytes) -> None:
        """Send raw bytes now, whatever script is playing."""
        if self.is_open and self.transport is not None:
            self.transport.write(data)

    def close(self) -> None:
        """Close with a FIN after what is written."""
        if self.transport is not None:
            self.transport.loseConnection()

    def reset(self) -> None:
        """Cut with a RST."""
        if self.transport is not None:
            cast(ITCPTransport, self.transport).abortConnection()


def _follow(deferred: Deferred[Any]) -> Deferred[None]:
    """A Deferred of one's own that fires when the shared one does."""
    follower: Deferred[None] = Deferred()

    def fired(result: Any) -> Any:
        if not follower.called:
            follower.callback(None)
        return result

    deferred.addBoth(fired)
    return follower


class ScriptedOrigin:
    """The origin. See the module's text for scripts and gates.

    ``reactor`` defaults to the running one. All Deferreds it gives fail with ``TimeoutError`` after ``patience``
    seconds instead of hanging the suite.
    """

    def __init__(
        self,
        handler: Script = None,
        *,
        on_head: Callable[[Request], Script] | None = None,
        keep_bodies: bool = True,
        keep_raw: bool = True,
        patience: float = 20.0,
    ) -> None:
        self.handler = handler
        self.on_head = on_head
        """Called when a request's head is here and its body is not: a script given back is played at once."""
        self.keep_bodies = keep_bodies
        self.keep_raw = keep_raw
        self.patience = patience
        self.requests: list[Request] = []
        self.connections: list[Connection] = []
        self.malformed: list[tuple[Connection, str]] = []
        self.errors: list[Failure] = []
        """Exceptions from scripts; ``close`` raises the first one: a broken script cannot pass as a bad origin."""
        self.port = 0
        self.scheme = "http"
        self._paths: dict[str, Script] = {}
        self._gates: set[str] = set()
        self._at_gates: dict[str, list[Deferred[None]]] = {}
        self._watchers: list[tuple[Callable[[], bool], Deferred[None]]] = []
        self._listening: IListeningPort | None = None

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self, endpoint: IStreamServerEndpoint | None = None, *, port: int = 0) -> Deferred[ScriptedOrigin]:
        """Listen on ``127.0.0.1`` (``port`` 0: any), or on ``endpoint``. Fires with this origin."""
        from twisted.internet import endpoints, reactor

        if endpoint is None:
            endpoint = endpoints.TCP4ServerEndpoint(cast(Any, reactor), port, backlog=4096, interface="127.0.0.1")
        return endpoint.listen(protocol.Factory.forProtocol(lambda: Connection(self))).addCallback(self._started)

    def _started(self, listening: IListeningPort) -> ScriptedOrigin:
        self._listening = listening
        self.port = getattr(listening.getHost(), "port", 0)
        return self

    def start_tls(self, certificate: Path, key: Path) -> Deferred[ScriptedOrigin]:
        """Listen with TLS on ``127.0.0.1``; PEM files."""
        from twisted.internet import endpoints, reactor, ssl

        self.scheme = "https"
        context = ssl.DefaultOpenSSLContextFactory(str(key), str(certificate))
        return self.start(endpoints.SSL4ServerEndpoint(cast(Any, reactor), 0, context, interface="127.0.0.1"))

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, or ``https://localhost:PORT``."""
        return f"{self.scheme}://{'localhost' if self.scheme == 'https' else '127.0.0.1'}:{self.port}"

    def stop_listening(self) -> Deferred[None]:
        """Refuse new connections; those that stand stay. Start again with ``start(port=origin.port)``."""
        listening, self._listening = self._listening, None
        stopped = listening.stopListening() if listening is not None else None
        return stopped if isinstance(stopped, Deferred) else defer.succeed(None)

    def close(self) -> Deferred[None]:
        """Stop listening, cut every connection; fires when all are gone. Fails with a script's exception."""
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        await self.stop_listening()
        for connection in self.connections:
            if connection.is_open:
                connection.reset()
        await self.when(lambda: not self.open_connections)
        for _, watcher in self._watchers:
            watcher.cancel()
        if self.errors:
            self.errors[0].raiseException()

    # -- what it answers ---------------------------------------------------------------------------------------------

    def on(self, path: str, script: Script) -> ScriptedOrigin:
        """Answer requests for ``path`` (without query) with ``script``; replaces an earlier one. Returns itself."""
        self._paths[path] = script
        return self

    def _script_for(self, request: Request) -> Script:
        script = self._paths.get(request.path, self.handler)
        return script if script is not None else Answer(404, body=b"no script")

    # -- what came ---------------------------------------------------------------------------------------------------

    def hits(self, path: str | None = None) -> int:
        """How many requests have come, for ``path`` (without query) or in all."""
        return len(self.requests) if path is None else sum(request.path == path for request in self.requests)

    @property
    def open_connections(self) -> int:
        """Connections that stand now."""
        return sum(connection.is_open for connection in self.connections)

    def arrived(self, count: int = 1, path: str | None = None) -> Deferred[None]:
        """Fires when ``count`` requests (for ``path``) have come since the start."""
        return self.when(lambda: self.hits(path) >= count)

    def quiet(self) -> Deferred[None]:
        """Fires when no connection stands."""
        return self.when(lambda: not self.open_connections)

    def when(self, condition: Callable[[], bool]) -> Deferred[None]:
        """Fires as soon as ``condition`` holds after some event here (a request, a gate, a connection made or lost)."""
        from twisted.internet import reactor

        watcher: Deferred[None] = Deferred()
        if condition():
            watcher.callback(None)
            return watcher
        entry = (condition, watcher)
        self._watchers.append(entry)

        def over(result: Any) -> Any:
            if entry in self._watchers:
                self._watchers.remove(entry)
            return result

        return watcher.addTimeout(self.patience, cast(Any, reactor)).addBoth(over)

    def _wake(self) -> None:
        for condition, watcher in list(self._watchers):
            if not watcher.called and condition():
                watcher.callback(None)

    # -- gates -------------------------------------------------------------------------------------------------------

    def release(self, name: str) -> None:
        """Let everybody through ``name``, now and later."""
        self._gates.add(name)
        for waiting in self._at_gates.pop(name, []):
            if not waiting.called:
                waiting.callback(None)

    def hold(self, name: str) -> None:
        """Shut a released gate again."""
        self._gates.discard(name)

    def at_gate(self, name: str, count: int = 1) -> Deferred[None]:
        """Fires when ``count`` answers stand at ``name``."""
        return self.when(lambda: len(self._at_gates.get(name, ())) >= count)

    def _pass_gate(self, name: str) -> Deferred[None]:
        if name in self._gates:
            return defer.succeed(None)
        waiting: Deferred[None] = Deferred(lambda _: self._at_gates.get(name, [waiting]).remove(waiting))
        self._at_gates.setdefault(name, []).append(waiting)
        self._wake()
        return waiting

    def _after(self, seconds: float) -> Deferred[None]:
        from twisted.internet import reactor

        waiting: Deferred[None] = Deferred(lambda _: call.cancel())
        call = cast(Any, reactor).callLater(seconds, waiting.callback, None)
        return waiting

    # -- faults of the whole origin -----------------------------------------------------------------------------------

    def cut(self) -> None:
        """RST every connection that stands."""
        for connection in self.connections:
            if connection.is_open:
                connection.reset()

    def hang_up(self) -> None:
        """FIN every connection that stands: what an idle keep-alive timeout does."""
        for connection in self.connections:
            if connection.is_open:
                connection.close()


@pytest.fixture
def make_origin() -> Generator[Callable[..., Deferred[ScriptedOrigin]], None, None]:
    """``origin = yield make_origin(handler)``: a listening ScriptedOrigin that is closed after the test."""
    origins: list[ScriptedOrigin] = []

    def make(handler: Any = None, **options: Any) -> Deferred[ScriptedOrigin]:
        origin = ScriptedOrigin(handler, **options)
        origins.append(origin)
        return origin.start()

    yield make

    @defer.inlineCallbacks
    def close() -> Generator[Deferred[Any], Any, None]:
        for origin in origins:
            yield origin.close()

    pytest_twisted.blockon(close())


@pytest.fixture
def origin(make_origin: Callable[..., Deferred[ScriptedOrigin]]) -> ScriptedOrigin:
    """A listening ScriptedOrigin without script: set ``origin.handler`` or ``origin.on(path, script)``."""
    started: ScriptedOrigin = pytest_twisted.blockon(make_origin())
    return started
