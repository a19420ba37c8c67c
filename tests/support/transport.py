"""A connection in memory that can do what one over TCP can.

Knows nothing of what is said over it.
"""

from __future__ import annotations

from twisted.internet.interfaces import ITCPTransport
from twisted.internet.testing import StringTransport
from zope.interface import implementer

__all__ = ["Transport"]


@implementer(ITCPTransport)
class Transport(StringTransport):
    """Remembers a half-close."""

    half_closed = False

    def setTcpNoDelay(self, enabled: object) -> None: ...

    def getTcpNoDelay(self) -> bool:
        return True

    def setTcpKeepAlive(self, enabled: object) -> None: ...

    def getTcpKeepAlive(self) -> bool:
        return False

    def loseWriteConnection(self) -> None:
        self.half_closed = True
