"""An upstream that is known by a name: lookups are shared; an address that does not answer costs next to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet._resolver import HostResolution
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from tests.origin.memory import OK, MemoryOrigin, Outcome
from txstalecache.origin.interfaces import Fault


@implementer(IHostnameResolver)
class Names:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[IResolutionReceiver, str, int]] = []

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        self.asked.append((resolutionReceiver, hostName, portNumber))
        return HostResolution(hostName)

    def answer(self, *addresses: str) -> None:
        """Answer what was asked first."""
        receiver, _, port = self.asked.pop(0)
        for address in addresses:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, port))
        receiver.resolutionComplete()


class Named(MemoryOrigin):
    """``http://www.test``, of which ``names`` are asked."""

    def __init__(self) -> None:
        super().__init__("http://www.test")
        self.names = Names()
        self.clock.installNameResolver(self.names)

    def fetched(self, *addresses: str) -> Outcome:
        """A fetch, once its name has been looked up."""
        fetch = self.fetch()
        self.names.answer(*addresses)
        return fetch

    @property
    def tried(self) -> list[Any]:
        """The addresses that were connected to, in order."""
        return [attempt[0] for attempt in self.clock.tcpClients]

    def succeeds(self, fetch: Outcome) -> bool:
        """Whether the attempt made last leads to an answer, and nothing is left after it."""
        self.made = len(self.tried) - 1
        wire = self.connect()
        wire.send(OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n")
        fetch.deliver()
        self.clock.advance(0)
        return self.origin.connections == 0


def test_a_name_is_looked_up_once_for_all_who_wait_for_it() -> None:
    named = Named()
    fetches = [named.fetch() for _ in range(20)]
    assert [(name, port) for _, name, port in named.names.asked] == [("www.test", 80)]
    named.names.answer("192.0.2.1")
    assert named.tried == ["192.0.2.1"] * 20
    assert all(fetch.pending for fetch in fetches)


def test_who_comes_after_the_answer_has_the_name_looked_up_again() -> None:
    named = Named()
    named.fetched("192.0.2.1")
    named.fetched("192.0.2.2")
    assert named.tried == ["192.0.2.1", "192.0.2.2"]


def test_who_gives_up_is_not_connected_when_the_answer_comes() -> None:
    named = Named()
    fetches = [named.fetch(connect=3), named.fetch(connect=60)]
    named.clock.advance(3)
    assert [fetch.fault for fetch in fetches] == [Fault.CONNECT_TIMEOUT, None]
    named.names.answer("192.0.2.1")
    assert named.tried == ["192.0.2.1"]


def test_a_lookup_that_takes_for_ever_is_not_joined_for_ever() -> None:
    named = Named()
    named.fetch(connect=3)
    named.clock.advance(9)
    named.fetch(connect=3)
    assert len(named.names.asked) == 1
    named.clock.advance(2)
    named.fetch(connect=3)
    assert len(named.names.asked) == 2


def test_no_such_name_is_an_origin_that_cannot_be_reached() -> None:
    fetch = Named().fetched()
    assert fetch.fault is Fault.UNREACHABLE
    assert "www.test" in str(fetch.error)


def test_the_next_address_is_tried_as_soon_as_one_refuses() -> None:
    named = Named()
    fetch = named.fetched("2001:db8::1", "192.0.2.1")
    assert named.tried == ["2001:db8::1"]
    named.refuse(ConnectionRefusedError())
    assert named.tried == ["2001:db8::1", "192.0.2.1"]
    assert named.succeeds(fetch)


def test_the_next_address_is_tried_soon_where_one_is_silent() -> None:
    named = Named()
    fetch = named.fetched("2001:db8::1", "192.0.2.1", "192.0.2.2")
    named.clock.advance(0.3)
    assert named.tried == ["2001:db8::1", "192.0.2.1"]
    assert named.succeeds(fetch)
    assert not named.clock.getDelayedCalls()


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "refuses"])
def test_an_address_that_did_not_answer_comes_last_for_a_while(silent: bool) -> None:
    named = Named()
    addresses = ("192.0.2.1", "192.0.2.2")
    fetch = named.fetched(*addresses)
    if silent:
        named.clock.advance(0.3)
    else:
        named.refuse(ConnectionRefusedError())
    assert named.succeeds(fetch)
    assert named.succeeds(named.fetched(*addresses))
    assert named.tried == ["192.0.2.1", "192.0.2.2", "192.0.2.2"]
    named.clock.advance(10)
    assert named.succeeds(named.fetched(*addresses))
    assert named.tried[3:] == ["192.0.2.1"]


def test_where_no_address_answers_the_fetch_fails_with_the_last() -> None:
    named = Named()
    fetch = named.fetched("2001:db8::1", "192.0.2.1")
    named.refuse(ConnectionRefusedError())
    assert fetch.pending
    named.refuse(ConnectionRefusedError())
    assert fetch.fault is Fault.UNREACHABLE
    assert named.origin.connections == 0


def test_a_connect_timeout_ends_every_attempt() -> None:
    named = Named()
    fetch = named.fetch(connect=3)
    named.names.answer("192.0.2.1", "192.0.2.2")
    named.clock.advance(0.3)
    named.clock.advance(2.7)
    assert fetch.fault is Fault.CONNECT_TIMEOUT
    assert [connector.stoppedConnecting for connector in named.clock.connectors] == [True, True]
    assert named.origin.connections == 0
    assert not named.clock.getDelayedCalls()
