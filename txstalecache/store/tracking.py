"""Word of what changes in Redis, from Redis itself: server-assisted client tracking in broadcast mode, over RESP2.

One connection listens on ``__redis__:invalidate``; tracking is switched on on the connection that *writes*, redirected
to the listener, with NOLOOP: what this process writes with plain commands does not come back to it. (What its scripts
write does; both seen on Redis 6.2 and Valkey 9.) A **session** lasts while both connections do. What was learned in
a session that is over, or outside any, may have changed unnoticed.

Import this module late: txredisapi imports the reactor. Must not know: what the keys hold.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txstalecache.store.commands import Command, Refused
from txstalecache.store.connections import Connections
from txstalecache.store.layout import Layout
from txstalecache.store.redis import RedisClient
from txstalecache.store.wire import Wire

__all__ = ["Tracking"]

_CHANNEL = b"__redis__:invalidate"


class _Listener(Wire):
    """The connection that is told. It says nothing but pings once it has subscribed."""

    told: Callable[[object], None]

    def replyReceived(self, reply: object) -> None:
        # RESP2: what is pushed has the shape of a reply and is told apart by its first words.
        if isinstance(reply, list) and len(reply) == 3 and reply[0] == b"message" and reply[1] == _CHANNEL:
            self.told(reply[2])
        else:
            super().replyReceived(reply)


class _Listening(Connections):
    def __init__(self, client: RedisClient, tracking: Tracking) -> None:
        super().__init__(client, _Listener)
        self._tracking = tracking

    def buildProtocol(self, addr: object) -> Wire:
        wire = super().buildProtocol(addr)
        assert isinstance(wire, _Listener)
        wire.told = self._tracking.told
        return wire

    def handshake(self) -> list[Command]:
        said = [command for command in self.client.greeting() if command[0] in ("AUTH", "ROLE")]
        return [*said, ("CLIENT", "ID"), ("SUBSCRIBE", _CHANNEL)]

    def unusable(self, why: str) -> None:
        # Reads and writes may be well all the same.
        self._tracking.impossible(why)

    def greeted(self, wire: Wire, replies: list[object]) -> None:
        self.keep(wire)
        self._tracking.listening(wire, replies[-2])

    def lost(self, wire: Wire) -> None:
        if wire in self.usable:
            self.usable.remove(wire)
        self._tracking.listening(None, None)


class Tracking:
    """Keeps a session going. ``changed`` is called with each name that changed, or None for all of them; ``session``
    with its number when one begins and 0 when it ends."""

    log = Logger()

    #: Between pings on the listening connection, in seconds: the longest that a half-open one goes unnoticed, with the
    #: time limit of a read on top.
    PING = 1.0

    def __init__(
        self,
        client: RedisClient,
        layout: Layout,
        changed: Callable[[bytes | None], None],
        session: Callable[[int], None],
    ) -> None:
        self._client = client
        self._layout = layout
        self._changed = changed
        self._session = session
        self._factory = _Listening(client, self)
        self._listener: Wire | None = None
        self._id: object = None
        self._writer: Wire | None = None
        self._number = 0
        self.active = False
        self._closed = False
        self._complained = False
        self._waiting: list[Deferred[None]] = []
        self._token = b""
        """What the listener is to hear from the writer before it is believed to hear everything."""
        self._granted = self._heard = False
        client.when_writer.append(self._writing)

    def start(self) -> None:
        """Begin to listen."""
        self._client.connect(self._factory)
        self._ping()

    def close(self) -> Deferred[None]:
        """Stop listening; fires when the connection is gone."""
        self._closed = True
        return self._factory.close()

    def when_active(self) -> Deferred[None]:
        """Fires when a session runs; at once when one does. Cancelling is safe."""
        if self.active:
            return succeed(None)
        active: Deferred[None] = Deferred(self._waiting.remove)  # from this list, also once it is gone through
        self._waiting.append(active)
        return active

    def told(self, names: object) -> None:
        """A message on the channel."""
        if isinstance(names, bytes):
            if names == self._token:
                self._heard = True
                self._try_to_begin()
        elif names is None:
            self._changed(None)
        elif isinstance(names, list):
            for name in names:
                if isinstance(name, bytes):
                    self._changed(name)

    def listening(self, wire: Wire | None, number: object) -> None:
        """The listening connection came (and is called ``number`` by Redis) or went."""
        self._end()
        self._listener, self._id = wire, number
        self._begin()

    def _writing(self, wire: Wire | None) -> None:
        self._end()
        self._writer = wire
        self._begin()

    def _end(self) -> None:
        self._token = b""
        self._granted = self._heard = False
        if self.active:
            self.active = False
            self._session(0)

    def _begin(self) -> None:
        writer, listener, number = self._writer, self._listener, self._id
        if writer is None or listener is None or not isinstance(number, int) or self._closed:
            return
        # That the two connections lead to the same server is seen by one hearing the other: behind a name or a proxy,
        # or after a failover, they need not, and the number would be that of a stranger.
        token = self._token = os.urandom(16).hex().encode()
        commands: list[Command] = [
            ("CLIENT", "TRACKING", "OFF"),
            ("CLIENT", "TRACKING", "ON", "REDIRECT", number, "BCAST", "PREFIX", self._layout.root, "NOLOOP"),
            ("PUBLISH", _CHANNEL, token),
        ]

        def answered(replies: list[object]) -> None:
            if self._token != token or self._closed:
                return
            refused = next((reply for reply in replies[1:] if isinstance(reply, Refused)), None)
            if refused is None:
                self._granted = True
                self._try_to_begin()
            else:
                self._token = b""  # and to be tried again
                self.impossible(str(refused))

        writer.send(commands, self._client.limits.write).addCallback(answered).addErrback(self._nothing)
        self._client.wheel.add(2 * self._client.limits.write, lambda: self._unheard(token))

    def impossible(self, why: str) -> None:
        """There is no session to be had for now: said once, unless Redis is away altogether."""
        if self._complained or self._closed or not self._client.available:
            return
        self._complained = True
        self.log.warn("Redis does not tell what changes ({why}): memory holds for 1 s", why=why)

    def _try_to_begin(self) -> None:
        if not (self._granted and self._heard) or self.active:
            return
        self._complained = False
        self.active = True
        self._number += 1
        self._session(self._number)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    def _unheard(self, token: bytes) -> None:
        if self._token == token and self._granted and not self._heard and self._listener is not None:
            # Connected to another server than the writer: try for the same one.
            self._listener.transport.abortConnection()

    def _ping(self) -> None:
        if self._closed:
            return
        if self._listener is not None:
            self._listener.keep_alive()
            if not self._token:
                self._begin()
        self._client.wheel.add(self.PING, self._ping)

    def _nothing(self, failure: Failure) -> Deferred[None]:
        # A connection that does not answer is given up by its own time limit, and then listening(None) is called.
        return succeed(None)
