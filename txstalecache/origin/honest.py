"""Requests as ``twisted.web`` has them, whose answers are whole, or are seen not to be.

Must not know: who asks, and what is answered.
"""

from __future__ import annotations

from typing import Any

from twisted.python.failure import Failure
from twisted.web import server

from txstalecache.http.messages import BODILESS

__all__ = ["HonestRequest"]


class HonestRequest(server.Request):
    """Where an answer that has begun fails, or has another length than announced, the connection ends amid it. Twisted
    goes on: with a page about the failure behind what there is of the answer, which then ends as one that is whole."""

    def processingFailed(self, reason: Failure) -> Failure:
        """As Twisted's, with the failure in the log."""
        if not self.startedWriting:
            super().processingFailed(reason)
            return reason
        self._log.failure("", failure=reason)
        if not (self.finished or self._disconnected):
            self._cut()
        return reason

    def finish(self) -> None:
        announced = self.responseHeaders.getRawHeaders(b"Content-Length") if self.startedWriting else None
        if (
            announced
            and self.method != b"HEAD"
            and self.code not in BODILESS
            and announced != [b"%d" % self.sentLength]
            and not self._disconnected
        ):
            self._cut()
            return
        super().finish()

    def _cut(self) -> None:
        producer, channel = self.producer, self.channel
        if producer is not None:
            self.unregisterProducer()
            producer.stopProducing()
        self.broken_off(channel)

    def broken_off(self, channel: Any) -> None:
        """End the connection of ``channel``, its protocol, so that the client sees that something is missing."""
        channel.loseConnection()
