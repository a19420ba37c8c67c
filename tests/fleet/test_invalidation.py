"""What a successful unsafe request takes with it."""

from __future__ import annotations

from typing import Any

from tests.support.async_test import async_test
from tests.support.client import fetch
from tests.support.origin import Answer, ScriptedOrigin


@async_test
async def test_groups_that_it_names_go(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/a", Answer(200, [("Cache-Control", "max-age=60"), ("Cache-Groups", '"g"')], b"a"))
    origin.on("/b", Answer(200, [("Cache-Control", "max-age=60"), ("Cache-Groups", '"h"')], b"b"))
    origin.on("/do", Answer(200, [("Cache-Group-Invalidation", '"g"')], b"done"))
    proxy = await make_proxy(origin.url)
    for path in ("/a", "/b"):
        await fetch(proxy.port, "GET", path)
    await fetch(proxy.port, "GET", "/do")  # a safe method invalidates nothing (RFC 9875 §3)
    await fetch(proxy.port, "GET", "/a")
    assert origin.hits("/a") == 1
    await fetch(proxy.port, "POST", "/do", body=b"x")
    for path in ("/a", "/b"):
        await fetch(proxy.port, "GET", path)
    assert (origin.hits("/a"), origin.hits("/b")) == (2, 1)


@async_test
async def test_everybodys_keys_for_the_target_go(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/a", Answer(200, [("Cache-Control", "max-age=60")], b"a"))
    proxy = await make_proxy(origin.url, key="$http_user_agent|$uri")
    for agent in ("one", "two"):
        await fetch(proxy.port, "GET", "/a", [("User-Agent", agent)])
    await fetch(proxy.port, "POST", "/a", [("User-Agent", "three")], b"x")
    for agent in ("one", "two"):
        await fetch(proxy.port, "GET", "/a", [("User-Agent", agent)])
    assert origin.hits("/a") == 5
