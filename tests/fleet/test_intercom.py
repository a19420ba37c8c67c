"""The parent asks its workers: both ends, without processes between them."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.conftest import LoggedFailures
from txstalecache import intercom
from txstalecache.http.rules import Rules
from txstalecache.intercom import LONGEST, Answerer, Answers, Asker


class Ends:
    """An asker and an answerer; ``carry`` takes what was said to the other end, in pieces of ``size``."""

    def __init__(self, answers: Answers) -> None:
        self.clock = Clock()
        self.sent: list[bytes] = []
        self.unasked: list[tuple[str, Any]] = []
        self.asker = Asker(self.clock, self.sent.append, lambda what, told: self.unasked.append((what, told)))
        self.gone: list[bool] = []
        self.answerer = Answerer(answers, lambda: self.gone.append(True))
        self.transport = StringTransport()
        self.answerer.makeConnection(self.transport)
        self.results: list[Any] = []

    def ask(self, what: str, **said: object) -> Deferred[Any]:
        return self.asker.ask(what, said, 1.0).addBoth(self.results.append)

    def carry(self, size: int = 7) -> None:
        asked = b"".join(self.sent)
        self.sent.clear()
        for at in range(0, len(asked), size):
            self.answerer.dataReceived(asked[at : at + size])
        told = self.transport.value()
        self.transport.clear()
        for at in range(0, len(told), size):
            self.asker.heard(told[at : at + size])


def test_each_question_gets_its_own_answer_in_whatever_order_they_come() -> None:
    slow: Deferred[dict[str, int]] = Deferred()
    ends = Ends({"slow": lambda: slow, "sum": lambda a, b: {"sum": a + b}})
    ends.ask("slow")
    ends.ask("sum", a=1, b=2)
    ends.carry()
    assert ends.results == [{"sum": 3}]
    slow.callback({"slow": 1})
    ends.carry()
    assert ends.results == [{"sum": 3}, {"slow": 1}]
    assert not ends.clock.getDelayedCalls()


def test_what_is_said_unasked_is_nobodys_answer() -> None:
    ends = Ends({"slow": lambda: slow})
    slow: Deferred[dict[str, int]] = Deferred()
    ends.ask("slow")
    ends.carry()
    ends.answerer.say("flight", {"url": "/x"})
    ends.carry()
    assert (ends.unasked, ends.results) == ([("flight", {"url": "/x"})], [])
    slow.callback({"slow": 1})
    ends.carry()
    assert ends.results == [{"slow": 1}]


def test_who_does_not_answer_is_not_waited_for() -> None:
    ends = Ends({})
    ends.ask("status")
    ends.clock.advance(1.0)
    assert [result.getErrorMessage() for result in ends.results] == ["no answer within 1 s"]
    # The late answer is nobody's.
    ends.asker.heard(b'{"number": 1, "told": {}}\n')
    ends.ask("status")
    ends.asker.lost()
    assert ends.results[1].getErrorMessage() == "the process has ended"
    assert not ends.clock.getDelayedCalls()


def test_who_gives_up_another_question_as_he_is_told_that_all_is_over_keeps_nobody_from_being_told() -> None:
    ends = Ends({})
    first, given_up = ends.asker.ask("status", {}, 1.0), ends.ask("flights")
    ends.ask("explain")
    first.addErrback(lambda _: given_up.cancel())
    ends.asker.lost()
    assert [result.type.__name__ for result in ends.results] == ["CancelledError", "Unanswered"]
    assert not ends.clock.getDelayedCalls()


def test_a_question_that_fails_or_is_unknown_is_answered_as_a_problem(logged_failures: LoggedFailures) -> None:
    def wrong() -> None:
        raise RuntimeError("secret")

    ends = Ends({"wrong": wrong})
    ends.ask("wrong")
    ends.ask("unknown")
    ends.carry()
    first, second = ends.results
    assert first.getErrorMessage() == "internal error: RuntimeError"
    assert second.getErrorMessage() == "nobody knows how to answer that"
    assert len(logged_failures.flush(RuntimeError)) == 1


def test_an_answer_may_be_as_long_as_a_stored_body_is_by_default_and_a_longer_one_says_so() -> None:
    body = "x" * (Rules().max_object * 4 // 3)
    ends = Ends({"entry": lambda times: {"body": body * times}})
    ends.ask("entry", times=1)
    ends.ask("entry", times=2)
    ends.carry(64 * 1024)
    first, second = ends.results
    assert first == {"body": body}
    assert second.getErrorMessage() == f"an answer of more than {LONGEST} bytes"


def test_rubbish_on_the_pipe_is_nobodys_answer() -> None:
    ends = Ends({"status": lambda: {"pid": 1}})
    ends.ask("status")
    ends.asker.heard(b"rubbish\n[]\n\xff\n{}\n" + b"x" * 5_000_000)
    ends.asker.heard(b"\n")
    ends.answerer.lineReceived(b"rubbish")
    ends.carry()
    assert ends.results == [{"pid": 1}]


def test_half_an_answer_is_nothing_to_the_process_that_comes_next(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = Ends({"status": lambda: {"pid": 1}})
    ends.asker.heard(b'{"number"')
    ends.asker.lost()
    ends.ask("status")
    ends.carry()
    assert ends.results == [{"pid": 1}]
    # Nor is one without an end kept, however much comes of it.
    monkeypatch.setattr(intercom, "LONGEST", 100)
    ends.asker.heard(b"x" * 101)
    ends.ask("status")
    ends.carry()
    assert ends.results == [{"pid": 1}] * 2


def test_the_worker_is_told_that_the_parent_is_gone() -> None:
    ends = Ends({})
    ends.answerer.connectionLost(Failure(ConnectionError()))
    assert ends.gone == [True]
