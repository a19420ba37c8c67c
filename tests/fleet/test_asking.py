"""The service asks each of its workers: real processes, asked over the pipes they were born with."""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from twisted.internet import reactor as installed
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, capturedLogs, formatEvent

from tests.store.waiting import until as eventually
from tests.support.async_test import async_test
from txstalecache.config.options import Options
from txstalecache.workers import WorkersService

pytestmark = pytest.mark.slow
reactor: Any = installed


async def until(true: Callable[[list[dict[str, Any]]], bool], service: WorkersService) -> list[dict[str, Any]]:
    """What the workers say, once it is ``true``."""
    for _ in range(400):
        told = await service.ask("status")
        if true(told):
            return told
        await deferLater(reactor, 0.05)
    raise AssertionError(told)


@async_test
async def test_every_worker_is_asked_and_one_that_cannot_answer_is_named() -> None:
    options = Options()
    options.parseOptions(["--listen", "tcp:0:interface=127.0.0.1", "--origin", "http://127.0.0.1:9", "--workers", "2"])
    service = WorkersService(reactor, options.settings, options.given)
    service.privilegedStartService()
    service.startService()
    try:
        told = await until(lambda told: len(told) == 2 and all(not one.get("problem") for one in told), service)
        assert [one["worker"] for one in told] == [1, 2]
        assert [one["pid"] for one in told] == [one["process"]["pid"] for one in told]
        assert all(one["flights"] == 0 for one in told)
        stopped = told[0]["pid"]
        os.kill(stopped, signal.SIGSTOP)
        told = await service.ask("status", seconds=0.3)
        assert told[0] == {"worker": 1, "pid": stopped, "problem": "no answer within 0.3 s"}
        assert "problem" not in told[1]
        with capturedLogs() as events:  # whoever gives up is told just that, and nothing has failed
            given_up = service.ask("status", seconds=30.0)
            given_up.cancel()
            with pytest.raises(CancelledError):
                await given_up
            del given_up
            gc.collect()
        assert not [event for event in events if "log_failure" in event]
        asked = service.ask("status", seconds=30.0)
        os.kill(stopped, signal.SIGKILL)
        assert (await asked)[0] == {"worker": 1, "pid": stopped, "problem": "the process has ended"}
        assert (await service.ask("unheard of"))[1]["problem"] == "nobody knows how to answer that"
        told = await until(lambda told: not told[0].get("problem"), service)
        assert told[0]["pid"] not in (None, stopped)
    finally:
        await service.stopService()


def twice(line: str, events: Sequence[LogEvent]) -> bool:
    """Whether ``line`` has been logged more than once."""
    return sum(line in formatEvent(event) for event in events) > 1


@async_test
async def test_a_worker_that_no_process_can_be_had_for_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first start, and in the place of one that died."""
    options = Options()
    options.parseOptions(["--listen", "tcp:0:interface=127.0.0.1", "--origin", "http://127.0.0.1:9", "--workers", "2"])
    service = WorkersService(reactor, options.settings, options.given)
    refused = [f"worker {number} could not be started ([Errno 2] No such file or directory" for number in (1, 2)]
    killed: list[int] = []
    try:
        for _ in ("the first ones", "those in their place"):
            with monkeypatch.context() as patch, capturedLogs() as events:
                # As while another interpreter is being installed.
                patch.setattr(sys, "executable", "/nowhere/python")
                if not killed:
                    service.privilegedStartService()
                    service.startService()
                for pid in killed:
                    os.kill(pid, signal.SIGKILL)
                for line in refused:
                    await eventually(partial(twice, line, events))
            told = await until(lambda told: len(told) == 2 and all(not one.get("problem") for one in told), service)
            killed = [one["pid"] for one in told]
    finally:
        await service.stopService()


@async_test
async def test_without_a_place_for_the_redis_no_worker_keeps_what_nobody_could_purge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = Options()
    options.parseOptions(["--listen", "tcp:0:interface=127.0.0.1", "--origin", "http://127.0.0.1:9", "--workers", "2"])
    service = WorkersService(reactor, options.settings, options.given)
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    service.privilegedStartService()
    service.startService()
    try:
        told = await until(lambda told: len(told) == 2 and all(not one.get("problem") for one in told), service)
        # As with one that is away: what memory holds is good for a second, and no purge is said to be known everywhere.
        assert all(one["store"]["degraded"] and one["store"]["redis"] == 0 for one in told)
        assert service.answers()["status"]()["store"]["degraded"]
    finally:
        await service.stopService()
