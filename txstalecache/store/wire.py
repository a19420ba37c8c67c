"""One connection to Redis: batches of commands out, their replies back in order, and when that takes too long.

txredisapi's protocol with hiredis for its parser. Import this module late: txredisapi imports the reactor.
Must not know: what is stored, what becomes of an answer that is late.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING

import txredisapi
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txstalecache.store.commands import Commands, Refused, Unavailable, ignored
from txstalecache.store.outbox import Outbox
from txstalecache.store.wheel import Wheel

if TYPE_CHECKING:
    from txstalecache.store.connections import Connections

__all__ = ["Wire"]


#: Seconds of silence after which a connection is used for nothing but being used.
IDLE = 0.9


class _Batch:
    """Commands sent together and what came back so far."""

    __slots__ = ("done", "due", "replies", "sent", "want")

    def __init__(self, want: int, sent: float, due: float) -> None:
        self.want = want
        self.sent = sent
        self.due = due
        """When its answer is no longer waited for; the connection's own limit where that is longer."""
        self.done: Deferred[list[object]] = Deferred()
        self.replies: list[object] = []


class Wire(txredisapi.RedisProtocol):  # type: ignore[misc]
    """One connection. Usable (txredisapi's "connected") once the server has answered the handshake.

    There is one look at the clock for all that is in flight, at the first time at which something may be late.
    """

    def __init__(self, owner: Connections) -> None:
        # The handshake is ours: a failed AUTH or SELECT in txredisapi's own ends reconnecting for ever (its #146).
        super().__init__(charset=None, convertNumbers=False)
        self.owner = owner
        self.usable = False
        self._refused = False
        self._client = owner.client
        self._clock = owner.client.clock
        self._heard = self._clock.seconds()
        """When something last came from there."""
        self._batches: deque[_Batch] = deque()
        self._look_at = inf

    def connectionMade(self) -> None:
        self._outbox = Outbox(self.transport)
        self.owner.live.add(self)
        self.send(self.owner.handshake(), self._client.limits.write).addCallbacks(self._greeted, self._dismissed)

    def _greeted(self, replies: list[object]) -> None:
        refused = next((reply for reply in replies if isinstance(reply, Refused)), None)
        if refused is not None:
            self._refuse(f"refused: {refused}")
            return
        if self._client.address.sentinels and not _is_master(replies):
            # What the Sentinels say is a moment old: it may have stepped down since.
            self._refuse("not the master any longer")
            return
        txredisapi.RedisProtocol.connectionMade(self)
        self.usable = True
        self.owner.greeted(self, replies)

    def _dismissed(self, failure: Failure) -> None:
        if self in self.owner.live:  # else it is lost, and its loss says why
            self._refuse("no answer to the handshake")

    def _refuse(self, why: str) -> None:
        self._refused = True
        self.transport.abortConnection()
        self.owner.unusable(why)

    def connectionLost(self, why: Failure) -> None:
        self.owner.live.discard(self)
        if not self.usable and not self._refused:
            # Most likely TLS: what is wrong with a certificate is known only after "connecting" has succeeded.
            self.owner.unusable(f"connection lost at once: {why.getErrorMessage() or why.value!r}")
        was, self.usable = self.usable, False
        super().connectionLost(why)
        if was:
            self.owner.lost(self)
        batches, self._batches = self._batches, deque()
        for batch in batches:
            if not batch.done.called:
                batch.done.errback(Unavailable("connection lost"))

    # -- there and back ---------------------------------------------------------------------------------------------

    def send(self, commands: Commands, limit: float) -> Deferred[list[object]]:
        """Write ``commands`` behind what was sent before; fires with as many replies, or fails with Unavailable after
        ``limit`` seconds. With the limit of writes or a longer one it fails only with the connection: when nothing
        comes for so long."""
        # Cancelled or late, a batch keeps its place in the queue: its replies still come.
        now = self._clock.seconds()
        batch = _Batch(len(commands), now, now + limit)
        self._batches.append(batch)
        self._outbox.put(commands)
        if batch.due < self._look_at:
            self._watch(batch.due, now)
        return batch.done

    def keep_alive(self) -> None:
        """Called now and then: a connection that is silent is closed by some servers, and by what is in between."""
        if not self._batches and self._clock.seconds() - self._heard >= IDLE:
            self.send([("PING",)], self._client.limits.write).addErrback(ignored)

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        reader = self._reader
        self._heard = self._clock.seconds()
        try:
            reader.feed(data)
            reply = reader.gets()
            if reply is not False:
                self._client.answers()
            while reply is not False:
                self.replyReceived(reply)
                reply = reader.gets()
        except Exception as error:  # whatever the parser makes of rubbish, MemoryError included
            self._refuse(f"not a Redis answer: {type(error).__name__}")

    def replyReceived(self, reply: object) -> None:
        if not self._batches:
            raise txredisapi.InvalidResponse("a reply nobody asked for")
        batch = self._batches[0]
        replies = batch.replies
        replies.append(_refused(reply) if isinstance(reply, Exception) else reply)
        if len(replies) == batch.want:
            self._batches.popleft()
            self._client.latency.add(self._heard - batch.sent)
            if not batch.done.called:
                batch.done.callback(replies)

    # -- too late ---------------------------------------------------------------------------------------------------

    def _watch(self, due: float, now: float) -> None:
        self._look_at = due
        self._client.wheel.add(due - now, self._look)

    def _look(self) -> None:
        """Fail what is late; give up the connection when nothing has come for as long as a write may take."""
        now, longest = self._clock.seconds(), self._client.limits.write
        if now < self._look_at:
            return  # an earlier look has seen to it
        self._look_at = inf
        for batch in list(self._batches):
            if batch.due <= now and batch.due - batch.sent < longest and not batch.done.called:
                # First: who has waited in vain is not to wait for what it asks next.
                self._client.hangs()
                batch.done.errback(Unavailable("no answer in time"))
        if not self._batches:
            return
        first = self._batches[0]
        # What is large takes its time on a slow line: as long as answers come, it goes on.
        end = max(first.sent, self._heard) + longest
        if end <= now + Wheel.TICK:
            # What answers later is not worth having, and a hung connection is not a connection.
            self._client.gives_up()
            self.transport.abortConnection()
            return
        due = min((batch.due for batch in self._batches if now < batch.due), default=end)
        due = min(due, end)
        if due < self._look_at:
            self._watch(due, now)


def _refused(error: Exception) -> Refused:
    """``error``, without what was said: a password, perhaps."""
    return Refused(str(error).partition(", with args beginning with")[0])


def _is_master(replies: list[object]) -> bool:
    return any(isinstance(reply, list) and reply[:1] == [b"master"] for reply in replies)
