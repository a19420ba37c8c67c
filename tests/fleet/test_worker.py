"""One place among the workers, on a clock of the test's own and with processes that do nothing by themselves."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure

from txstalecache.config.options import Options
from txstalecache.service import DRAIN
from txstalecache.store.opening import StoreService
from txstalecache.turns import Shares
from txstalecache.worker import ANSWERS, CONFIGURATION, TOLD
from txstalecache.workers import Worker, WorkersService


class Process:
    """A process that hears what it is told."""

    def __init__(self, pid: int, protocol: Worker, environment: dict[str, str], descriptors: dict[int, Any]) -> None:
        self.pid = pid
        self.protocol = protocol
        self.environment = environment
        self.configuration = json.loads(os.pread(descriptors[CONFIGURATION], 10_000, 0))
        self.pipes = {0: object()}
        self.signals: list[str] = []
        self.heard = b""

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)

    def writeToChild(self, descriptor: int, data: bytes) -> None:
        assert descriptor == 0
        self.heard += data

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.heard.splitlines()]

    def answer(self, **said: object) -> None:
        self.protocol.childDataReceived(
            ANSWERS, json.dumps({"number": self.asked[-1]["number"], **said}).encode() + b"\n"
        )

    def end(self, status: int = 0) -> None:
        ended = ProcessTerminated(status) if status else ProcessDone(0)
        self.protocol.processEnded(Failure(ended))


class Place(Clock):
    """A reactor with one worker, number 2 of 2."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Process] = []
        self.refuses = False
        self.said: list[Any] = []
        self.shares = Shares.fresh(2)
        self.worker = Worker(
            self, 2, 0, self.shares, ["--x"], "redis://r", "now", "then", lambda *said: self.said.append(said)
        )

    def spawnProcess(
        self, protocol: Worker, executable: str, args: list[str], env: dict[str, str], childFDs: dict[int, Any]
    ) -> Process:
        if self.refuses:
            raise OSError(11, "Resource temporarily unavailable")
        assert args[-2:] == ["txstalecache.worker", "--x"]
        # Its access log goes where ours goes; what it logs comes to us.
        assert (childFDs[0], childFDs[1], childFDs[2], childFDs[ANSWERS]) == ("w", 1, "r", "r")
        self.started.append(Process(100 + len(self.started), protocol, env, childFDs))
        return self.started[-1]

    @property
    def process(self) -> Process:
        return self.started[-1]


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.shares.close()
    assert not made.getDelayedCalls()


def test_a_worker_is_told_what_is_in_force_and_nothing_that_was_passed_on_to_its_parent(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("HOME", "/home")
    place.worker.start()
    assert json.loads(place.process.environment[TOLD]) == {"redis": "redis://r", "number": 2, "workers": 2}
    assert (place.process.environment["HOME"], "LISTEN_FDS" in place.process.environment) == ("/home", False)
    assert place.process.configuration == ["now", "then"]
    # One in its place finds what is in force then.
    place.worker.reload("later")
    place.process.end(1)
    place.advance(0.1)
    assert place.process.configuration == ["later", "then"]


def test_one_that_ends_is_started_again_after_a_pause(place: Place) -> None:
    place.worker.start()
    place.shares.has(1, 9)
    place.shares.has(2, 3)
    place.process.end()
    assert (place.worker.pid, place.shares.least()) == (None, 9)
    place.advance(0.09)
    assert len(place.started) == 1
    place.advance(0.02)
    assert place.worker.pid == 101
    # Nor can one always be had.
    place.refuses = True
    place.process.end()
    place.advance(0.2)
    assert place.worker.pid is None
    place.refuses = False
    place.advance(0.4)
    assert place.worker.pid == 102
    # After a life that was sound the pauses begin anew.
    place.advance(Worker.SOUND + 1.0)
    place.process.end()
    place.advance(0.1)
    assert place.worker.pid == 103
    place.process.end()
    place.advance(0.19)
    assert place.worker.pid is None
    place.advance(0.02)
    assert place.worker.pid == 104


def test_one_that_is_told_to_leave_has_its_time_and_no_other_is_started(place: Place) -> None:
    place.worker.start()
    gone: list[None] = []
    place.worker.stop().addCallback(gone.append)
    place.advance(DRAIN + StoreService.FAREWELL + 1.0)
    assert (place.process.signals, gone) == (["TERM"], [])
    place.advance(60.0)
    assert (place.process.signals, gone) == (["TERM", "KILL"], [])
    place.process.end(9)
    assert gone == [None]
    place.advance(60.0)
    assert len(place.started) == 1


def test_one_that_leaves_in_time_is_not_killed(place: Place) -> None:
    place.worker.start()
    gone: list[None] = []
    place.worker.stop().addCallback(gone.append)
    place.process.end()
    assert not place.getDelayedCalls()
    assert (place.process.signals, gone, len(place.started)) == (["TERM"], [None], 1)


def test_told_to_leave_between_two_processes_none_is_started_any_more(place: Place) -> None:
    place.worker.start()
    place.process.end()
    gone: list[None] = []
    place.worker.stop().addCallback(gone.append)
    assert gone == [None]
    place.advance(60.0)
    assert (place.process.signals, len(place.started)) == ([], 1)


def test_what_is_asked_is_answered_under_its_number_and_process_or_it_is_said_why_not(place: Place) -> None:
    told: list[dict[str, Any]] = []

    def ask() -> None:
        place.worker.ask("status", {"of": 1}, 1.0).addCallback(told.append)

    ask()
    place.worker.start()
    ask()
    assert [(one["what"], one["said"]) for one in place.process.asked] == [("status", {"of": 1})]
    place.process.answer(told={"flights": 3, "worker": 9})
    ask()
    place.advance(1.0)
    ask()
    place.process.end()
    nobody, here = {"worker": 2, "pid": None}, {"worker": 2, "pid": 100}
    assert told == [
        {**nobody, "problem": "being started again"},
        {**here, "flights": 3},
        {**here, "problem": "no answer within 1 s"},
        {**here, "problem": "the process has ended"},
    ]
    # Nothing is written to one that has closed its end and is about to go.
    place.advance(0.1)
    place.process.pipes.clear()
    ask()
    assert place.process.heard == b""
    place.process.end()
    place.worker.stop()


def test_what_it_says_unasked_is_passed_on_under_its_number(place: Place) -> None:
    place.worker.start()
    place.process.protocol.childDataReceived(ANSWERS, b'{"says": "flight", "told": {"a": 1}}\n')
    assert place.said == [(2, "flight", {"a": 1})]


@pytest.mark.parametrize("what", ["reload", "renew"])
def test_what_it_could_not_do_is_logged_and_of_one_that_is_being_started_nothing_is_expected(
    place: Place, what: str
) -> None:
    have = {"reload": lambda: place.worker.reload("text"), "renew": place.worker.renew}[what]
    with capturedLogs() as events:
        have()
        place.worker.start()
        have()
        assert (place.process.asked[0]["what"], place.process.asked[0]["said"]) == (
            what,
            {"text": "text"} if what == "reload" else {},
        )
        place.process.answer(told={"done": True})
        have()
        place.process.answer(told={"done": False})
        have()
        place.advance(30.0)
        have()
        place.process.end(1)
    place.worker.stop()
    assert [formatEvent(event) for event in events if event["log_level"] is LogLevel.error] == [
        f"worker 2: no {what}: see above",
        f"worker 2: no {what}: no answer within 30 s",
        "worker 2 has ended (A process has ended with a probable error condition: process ended with exit code 1.); "
        "starting another in 0.1 s",
    ]


def test_what_it_logs_is_logged_line_by_line(place: Place) -> None:
    place.worker.start()
    with capturedLogs() as events:
        for data in (b"one\ntw", b"o\n \n\nthr\xffee", b"\n", b"x" * 65536, b"x", b"last"):
            place.worker.childDataReceived(2, data)
        place.process.end()
        place.advance(0.1)
        place.worker.childDataReceived(2, b"anew\n")
        place.process.end()
    place.worker.stop()
    said = [formatEvent(event) for event in events if "line" in event]
    assert said == [f"worker 2: {line}" for line in ("one", "two", "thr\ufffdee", "x" * 65537, "last", "anew")]


@pytest.fixture
def service(place: Place) -> Any:
    """One that listens, with the one worker there is."""
    options = Options()
    options.parseOptions(["--origin", "http://127.0.0.1:9", "--redis", "redis://127.0.0.1:1", "--workers", "2"])
    made: Any = WorkersService(place, options.settings, options.given)
    assert made.unready() == "not listening yet"
    made._port, made._settled, made._workers = SimpleNamespace(), True, [place.worker]
    return made


def test_while_no_worker_runs_requests_had_better_go_elsewhere(place: Place, service: Any) -> None:
    assert service.unready() == "no worker runs"
    place.worker.start()
    assert service.unready() == ""
    place.process.end()
    assert service.unready() == "no worker runs"
    place.worker.stop()


def test_what_a_worker_tells_of_is_told_with_its_number(place: Place, service: Any) -> None:
    told: list[dict[str, Any]] = []
    service._unasked(2, "flight", {"what": "began", "leader": {"pid": 1}})  # nobody listens
    service._administration = SimpleNamespace(flew=told.append)
    service._unasked(2, "flight", {"what": "ended", "leader": {"pid": 1}})
    service._unasked(2, "else", {})
    assert told == [{"what": "ended", "leader": {"pid": 1, "worker": 2}}]
