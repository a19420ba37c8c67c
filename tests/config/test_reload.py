"""The configuration file is read again: nobody waits for that, and one reading is over before the next begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from threading import Event
from typing import Any

import pytest
from twisted.logger import capturedLogs, formatEvent

from tests.support.async_test import async_test
from tests.support.client import fetch
from tests.support.configured import Configured
from txstalecache.config.settings import Settings

Run = Callable[[str], Awaitable[Configured]]


def said(origin: Any, answer: str) -> str:
    return f"""
        [upstream.www]
        servers = "{origin.url}"

        [defaults]
        respond_with = {{ X-Said = "{answer}" }}
    """


async def answered(proxy: Configured) -> bytes | None:
    return (await fetch(proxy.port, "GET", "/x")).field("X-Said")


@pytest.fixture
def goes_on(monkeypatch: pytest.MonkeyPatch) -> Event:
    """Set, it lets the file be read to its end."""
    event, reread = Event(), Settings.reread

    def slowly(settings: Settings, text: str | None = None) -> Settings:
        assert event.wait(10)
        return reread(settings, text)

    monkeypatch.setattr(Settings, "reread", slowly)
    return event


@async_test
async def test_while_the_file_is_read_again_requests_are_answered_as_before(
    make_origin: Any, configured: Run, goes_on: Event
) -> None:
    origin = await make_origin()
    proxy = await configured(said(origin, "before"))
    proxy.write(said(origin, "after"))
    done: list[bool] = []
    reloading = proxy.service.reload().addCallback(done.append)
    assert await answered(proxy) == b"before"
    assert not done
    goes_on.set()
    await reloading
    assert done == [True]
    assert await answered(proxy) == b"after"


@async_test
async def test_who_asks_while_it_is_read_has_it_read_once_more(
    make_origin: Any, configured: Run, goes_on: Event
) -> None:
    origin = await make_origin()
    proxy = await configured(said(origin, "before"))
    first, second, third = [proxy.service.reload(text) for text in (said(origin, "one"), "[nonsense]", None)]
    proxy.write(said(origin, "file"))
    goes_on.set()
    assert await third
    assert (await first, await second) == (True, False)
    assert await answered(proxy) == b"file"


@async_test
async def test_of_those_who_ask_while_it_is_read_one_waits_for_all(
    make_origin: Any, configured: Run, goes_on: Event
) -> None:
    origin = await make_origin()
    proxy = await configured(said(origin, "before"))
    with capturedLogs() as events:
        for _ in range(10):
            proxy.service.reread()
        proxy.write(said(origin, "after"))
        goes_on.set()
        assert await proxy.service.reload()
    reloaded = [event for event in events if formatEvent(event).startswith("configuration reloaded")]
    assert len(reloaded) == 3
    assert await answered(proxy) == b"after"


@async_test
async def test_what_is_read_when_it_is_stopped_changes_nothing(
    make_origin: Any, configured: Run, goes_on: Event
) -> None:
    proxy = await configured(said(await make_origin(), "before"))
    settings = proxy.service._settings
    reloading = proxy.service.reload()
    stopping = proxy.service.stopService()
    goes_on.set()
    assert not await reloading
    await stopping
    assert proxy.service._settings is settings
