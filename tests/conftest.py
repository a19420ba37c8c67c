"""What every test is held to: it leaves the reactor as it found it, and nothing that failed went unnoticed.

pytest-twisted checks neither. Nothing here, and nothing ``tests.support`` does at import, may import the reactor before
pytest-twisted has installed the one asked for with ``--reactor``.
"""

from __future__ import annotations

import gc
import importlib.util
import itertools
import signal
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

# What a machine that is busy makes slow is no fault of the example's.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

SUPPORT = tuple(f"tests.support.{name}" for name in ("origin", "client", "faultproxy", "redis", "proxy", "configured"))


def _present(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


pytest_plugins = [module for module in SUPPORT if _present(module)]

#: How long a test's last connections may take to go, in seconds. Waited for in turns of the reactor, not slept.
SETTLE = 10.0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos", type=float, default=5.0, metavar="SECONDS", help="how long chaos lasts")
    parser.addoption("--seed", type=int, default=1, help="which chaos")
    parser.addoption("--long", action="store_true", help="run fuzz, soak and chaos tests at their full length")


def pytest_configure() -> None:
    # What a shell without job control starts in the background ignores Ctrl-C, and so would all that tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


#: How many tests may pass before what has piled up since is set apart again: pytest keeps a report of each.
APART = 10


def _set_apart() -> None:
    """Let what lives now live for ever, unlooked at: the collection after each test then costs next to nothing."""
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    _set_apart()


_ended = itertools.count(1)


def pytest_runtest_logfinish() -> None:
    if next(_ended) % APART == 0:
        _set_apart()


@implementer(ILogObserver)
class LoggedFailures:
    """Failures that reached the log during one test; what is not flushed by the end fails the test."""

    def __init__(self) -> None:
        self._events: list[tuple[Failure, str]] = []

    def __call__(self, event: LogEvent) -> None:
        # What the reactor catches (an exception in dataReceived, in a delayed call) comes as the old logger's events.
        failure = event.get("log_failure") or event.get("failure")
        if isinstance(failure, Failure):
            self._events.append((failure, str(event.get("log_namespace"))))

    def flush(self, *types: type[BaseException]) -> list[Failure]:
        """The failures of ``types`` (all, when none is named) logged so far. They were expected: forgotten."""
        gc.collect()  # a Deferred says that its failure was not handled when it is collected
        expected = [failure for failure, _ in self._events if not types or failure.check(*types)]
        self._events = [pair for pair in self._events if pair[0] not in expected]
        return expected

    def remaining(self) -> list[str]:
        return [f"{namespace}: {failure.getTraceback()}" for failure, namespace in self._events]


@pytest.fixture
def logged_failures() -> Iterator[LoggedFailures]:
    """The failures logged while the test ran; ``flush`` those that the test means to provoke."""
    observer = LoggedFailures()
    globalLogPublisher.addObserver(observer)
    yield observer
    globalLogPublisher.removeObserver(observer)


class Residue:
    """What is in the reactor now and was not there when this was made."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._calls = set(reactor.getDelayedCalls())
        self._selectables = self._open()

    def _open(self) -> set[Any]:
        return {*self._reactor.getReaders(), *self._reactor.getWriters()} - set(self._reactor._internalReaders)

    def now(self) -> list[str]:
        calls = [call for call in self._reactor.getDelayedCalls() if call not in self._calls]
        selectables = self._open() - self._selectables
        return [f"delayed call: {call}" for call in calls] + [f"selectable: {one!r}" for one in selectables]


def _turn(reactor: Any, seconds: float) -> None:
    turned: Deferred[None] = Deferred()
    reactor.callLater(seconds, turned.callback, None)
    pytest_twisted.blockon(turned)


@pytest.fixture(autouse=True)
def clean_reactor(request: pytest.FixtureRequest, logged_failures: LoggedFailures) -> Iterator[None]:
    """Fails a test that leaves delayed calls, open selectables or logged failures behind.

    Set up before the test's own fixtures of function scope and so torn down after them; what fixtures of a wider scope
    hold open was there before and is not counted.
    """
    from twisted.internet import reactor

    residue = Residue(reactor)
    yield
    if request.node.get_closest_marker("dirty_reactor"):
        return
    deadline = reactor.seconds() + SETTLE
    while residue.now() and reactor.seconds() < deadline:
        _turn(reactor, 0.005)
    gc.collect()
    problems = residue.now() + logged_failures.remaining()
    if problems:
        pytest.fail("left behind by the test:\n" + "\n".join(problems), pytrace=False)


@pytest.fixture(params=range(10))
def seeds(request: pytest.FixtureRequest) -> range:
    """A part of the seeds of a random model: 200 in all, 3,000 with ``--long``."""
    count = 300 if request.config.getoption("--long") else 20
    return range(request.param * count, (request.param + 1) * count)
