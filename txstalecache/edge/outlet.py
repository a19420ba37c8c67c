"""The way to the socket: at once as far as it takes something, behind what is waiting else.

Must not know: HTTP.
"""

from __future__ import annotations

from fcntl import ioctl
from struct import unpack
from termios import TIOCOUTQ
from typing import Any, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.tcp import Server

__all__ = ["Outlet"]

#: Up to this many bytes of body are cheaper copied behind the head than written by their places.
JOINED: Final = 16 * 1024


class Outlet:
    """Writes to ``transport``, past it where nothing stands between the socket and us, and nothing is waiting."""

    __slots__ = ("_socket", "_transport")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._socket: Any = None
        # Exactly this class: what wraps a transport or encrypts must see every byte. And only while it says by these
        # names what waits in it (``tests/edge/test_outlet.py``).
        if type(transport) is Server and not transport.TLS and hasattr(transport, "_tempDataLen"):
            self._socket = transport.getHandle()

    def close(self) -> None:
        """The connection is gone: the socket may be another one's by now."""
        self._socket = None

    @property
    def waiting(self) -> int:
        """Bytes that the client has not taken: in the transport, whatever is wrapped around it, and in the socket."""
        transport = self._transport
        while transport is not None and not isinstance(transport, FileDescriptor):
            transport = getattr(transport, "transport", None)
        if transport is None or transport.disconnected:
            return 0
        # By that name only while Twisted has it; without, the rest tells enough of whether the client takes anything.
        here = len(transport.dataBuffer) - transport.offset + getattr(transport, "_tempDataLen", 0)
        try:
            return here + int(unpack("i", ioctl(transport.fileno(), TIOCOUTQ, bytes(4)))[0])
        except OSError:
            return here  # not every system says it of a socket

    def put(self, head: bytes, body: tuple[bytes, ...], length: int) -> None:
        """Write ``head`` and ``body``, of ``length`` bytes.

        What the socket takes at once goes without a turn of the reactor; the rest, and everything behind it, takes the
        transport's way, which tells of a client that takes nothing.
        """
        transport, socket = self._transport, self._socket
        # Never past what is waiting already.
        if socket is None or transport._tempDataLen or transport.dataBuffer or transport.disconnecting:
            transport.writeSequence([head, *body])
            return
        try:
            if length <= JOINED:
                data = b"".join((head, *body)) if body else head
                sent = socket.send(data)
                if sent < len(data):
                    transport.write(data[sent:])
                return
            sent = socket.sendmsg((head, *body))
        except OSError:
            # Full, or gone: the transport finds out which.
            transport.writeSequence([head, *body])
            return
        if sent < len(head) + length:
            transport.write(b"".join((head, *body))[sent:])
