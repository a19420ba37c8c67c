"""Who asks the admin interface may leave before there is an answer."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.web.server import Site

from txstalecache.admin.gate import Gate
from txstalecache.admin.resource import AdminResource
from txstalecache.store.purges import Hardness, Scope

ORDER = b'{"scope": "tag", "value": "blue"}'
HEAD = b"POST /v1/purge HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token\r\n"
FIELDS = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ORDER)


class Parts:
    """A store whose Redis is slow, and what covers one key."""

    def __init__(self) -> None:
        self.purged: list[Scope] = []

    def count(self, scope: Scope, url: str | None) -> Deferred[tuple[int, bool]]:
        return succeed((1, True))

    def purge(self, scope: Scope, hardness: Hardness = Hardness.HARD) -> Deferred[bool]:
        """Holds here at once, whether or not it is waited for."""
        self.purged.append(scope)
        return Deferred(lambda given_up: given_up.callback(False))


@pytest.fixture
def failures() -> Iterator[list[LogEvent]]:
    """What has failed, as the log says."""
    logged: list[LogEvent] = []

    def note(event: LogEvent) -> None:
        if "log_failure" in event:
            logged.append(event)

    globalLogPublisher.addObserver(cast(ILogObserver, note))
    yield logged
    globalLogPublisher.removeObserver(cast(ILogObserver, note))


def test_who_orders_a_purge_and_leaves_has_purged_and_nothing_has_failed(failures: list[LogEvent]) -> None:
    parts: Any = Parts()
    site = Site(AdminResource(Gate(b"token"), parts, parts, parts, parts, parts))
    channel: Any = site.buildProtocol(None)
    channel.makeConnection(StringTransport())
    channel.dataReceived(HEAD + FIELDS + ORDER)
    assert parts.purged == [Scope.of_tag(b"blue")]
    channel.connectionLost(Failure(ConnectionLost()))
    gc.collect()  # what nobody has handled is told then
    assert not failures
