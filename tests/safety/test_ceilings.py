"""No more memory to be had, no more room on disk: the process lives, and hits go on."""

from __future__ import annotations

import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.safety.watched import Watched
from tests.support.async_test import async_test
from tests.support.client import NoReply, connect, fetch
from tests.support.origin import Answer, Chunk, Gate, Head, Request, ScriptedOrigin
from tests.support.proxy import settled

MIB = 1024 * 1024
KEPT = ("Cache-Control", "max-age=60")


@async_test
async def test_more_answers_than_memory_stream_through_and_hits_go_on(origin: ScriptedOrigin, watched: Any) -> None:
    """Forty of 8 MiB at once, with 128 MiB to be had: some are retained, the others take a window each."""

    def answer(request: Request) -> Any:
        if request.path.startswith("/large"):
            head = Head(200, [KEPT, ("Content-Length", str(8 * MIB))])
            return [head, *[Chunk(b"x" * MIB)] * 7, Gate("go"), Chunk(b"x" * MIB)]
        return Answer(200, [KEPT], b"for " + request.target)

    origin.handler = answer
    origin.keep_raw = False
    options = ("--origin", origin.url, "--redis", "memory", "--memory", "8M")
    proxy: Watched = await watched(*options, ceilings={"AS": -128 * MIB}).ready()
    assert (await fetch(proxy.port, "GET", "/hit")).body == b"for /hit"
    crowd = [fetch(proxy.port, "GET", f"/large/{number}", keep=False) for number in range(40)]
    for one in crowd:
        one.addErrback(lambda failure: failure.trap(NoReply) and None)
    await origin.at_gate("go", 30)
    for _ in range(20):
        assert (await fetch(proxy.port, "GET", "/hit")).body == b"for /hit"
    origin.release("go")
    replies = await settled(*crowd)
    assert Counter(reply and (reply.status, reply.length) for reply in replies) == {(200, 8 * MIB): 40}
    for number in range(5):
        assert (await fetch(proxy.port, "GET", f"/miss/{number}")).body == b"for /miss/%d" % number
    assert await proxy.leave() == 0
    assert b"Traceback" not in proxy.errors, proxy.errors.decode()


@pytest.mark.parametrize("full", ["before the start", "later"])
@async_test
async def test_where_no_file_can_be_written_everything_is_answered(
    full: str, origin: ScriptedOrigin, watched: Any, tmp_path: Path
) -> None:
    """A full disk, as far as a process can tell: bodies are spooled nowhere, and a log is not worth an answer."""
    origin.handler = lambda request: Answer(200, [KEPT], b"%d bytes for " % len(request.body) + request.target)
    options = ("--origin", origin.url, "--redis", "embedded", "--access-log", str(tmp_path / "log"))
    proxy: Watched = await watched(*options, ceilings={"FSIZE": 0} if full == "before the start" else {}).ready()
    await proxy.ask("limit FSIZE 0")
    for _ in range(3):
        assert (await fetch(proxy.port, "GET", "/hit")).body == b"0 bytes for /hit"
        assert (await fetch(proxy.port, "POST", "/up", body=b"x" * 900_000)).body == b"900000 bytes for /up"
    assert origin.hits("/hit") == 1
    # A server that was there before goes on; else there is nowhere to put its socket.
    assert (await proxy.ask())["degraded"] is (full == "before the start")
    assert await proxy.leave() == 0
    assert (tmp_path / "log").read_bytes() == b""
    assert b"Traceback" not in proxy.errors, proxy.errors.decode()


@pytest.mark.parametrize(("left", "served"), [(48, 20), (16, 1)])
@async_test
async def test_with_next_to_no_memory_left_hits_go_on_and_those_too_many_are_told_to_come_back(
    left: int, served: int, origin: ScriptedOrigin, watched: Any
) -> None:
    """Less than a crowd needs even if nothing is retained."""

    def answer(request: Request) -> Any:
        if request.path.startswith("/large"):
            return [Head(200, [KEPT, ("Content-Length", str(8 * MIB))]), *[Chunk(b"x" * MIB)] * 8]
        return Answer(200, [KEPT], b"for " + request.target)

    origin.handler = answer
    origin.keep_raw = False
    options = ("--origin", origin.url, "--redis", "memory", "--memory", "4M")
    proxy: Watched = await watched(*options, ceilings={"AS": -left * MIB}).ready()
    connection = await connect(proxy.port)
    assert (await connection.request("GET", "/hit")).body == b"for /hit"
    crowd = [fetch(proxy.port, "GET", f"/large/{number}", keep=False) for number in range(64)]
    for one in crowd:
        one.addErrback(lambda failure: failure.trap(NoReply) and None)
    waiting = settled(*crowd)
    hits = 0
    while not waiting.called:
        assert (await connection.request("GET", "/hit")).body == b"for /hit"
        hits += 1
    outcomes = Counter(
        reply and (reply.status, reply.length if reply.status == 200 else reply.field("retry-after"))
        for reply in await waiting
    )
    print(hits, outcomes)
    assert hits > 0
    assert set(outcomes) <= {(200, 8 * MIB), (503, b"1")}
    assert outcomes[200, 8 * MIB] >= served
    for number in range(5):
        assert (await fetch(proxy.port, "GET", f"/miss/{number}")).body == b"for /miss/%d" % number
    await connection.close()
    assert await proxy.leave() == 0
    assert b"Traceback" not in proxy.errors, proxy.errors.decode()


@async_test
async def test_what_is_compressed_is_never_unpacked(origin: ScriptedOrigin, watched: Any) -> None:
    """A hundred MiB in a hundred KiB, up and down, whole and in part, for those who ask for gzip and who do not."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join([packer.compress(bytes(MIB)) for _ in range(100)]) + packer.flush()
    gzip = ("Content-Encoding", "gzip")
    origin.handler = lambda request: Answer(200, [gzip, KEPT], request.body or bomb)
    proxy: Watched = await watched("--origin", origin.url, "--redis", "embedded").ready()
    before = (await proxy.ask())["resident"]
    for target in ("/one", "/two"):
        for fields in ([], [("Accept-Encoding", "gzip")], [("Accept-Encoding", "identity")]):
            assert (await fetch(proxy.port, "GET", target, fields)).body == bomb
        assert (await fetch(proxy.port, "GET", target, [("Range", "bytes=5-9")])).body == bomb[5:10]
        assert (await fetch(proxy.port, "POST", target, [gzip], bomb)).body == bomb
    assert (await proxy.ask())["resident"] - before < 16 * MIB
    assert await proxy.leave() == 0
