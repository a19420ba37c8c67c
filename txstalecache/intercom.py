"""Questions from the parent to its workers, over the pipes between them: a line of JSON each way.

``{"number": 1, "what": "status", "said": {…}}`` is answered by ``{"number": 1, "told": {…}}``, or with a ``problem``.
What a worker says unasked has a name in place of a number: ``{"says": "flight", "told": {…}}``.
Must not know: what is asked, processes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

__all__ = ["LONGEST", "Answerer", "Answers", "Asker", "Unanswered"]

#: Bytes of one line: a body of 8 MiB in base64, and more.
LONGEST = 16 * 1024 * 1024

#: What can be asked: called with what was ``said``, as keywords; tells a mapping that JSON can hold, now or later.
Answers = Mapping[str, Callable[..., Any]]


class Unanswered(Exception):
    """No answer: the process has ended or did not answer in time, or it says what is wrong with the question."""


class Asker:
    """The parent's end. ``write`` takes bytes to the other one; ``heard`` is to be told what comes from there.
    ``unasked`` is called with the name of what the other end says by itself, and with that."""

    def __init__(
        self, clock: IReactorTime, write: Callable[[bytes], None], unasked: Callable[[str, dict[str, Any]], None]
    ) -> None:
        self._clock = clock
        self._write = write
        self._unasked = unasked
        self._number = 0
        self._asked: dict[int, Deferred[dict[str, Any]]] = {}
        self._rest = bytearray()

    def ask(self, what: str, said: Mapping[str, object], seconds: float) -> Deferred[dict[str, Any]]:
        """The answer; else fails with Unanswered, after ``seconds`` at the latest. Cancelling it is safe."""
        self._number += 1
        number = self._number
        answer: Deferred[dict[str, Any]] = Deferred(lambda _: self._forget(number))
        self._asked[number] = answer
        self._write(json.dumps({"number": number, "what": what, "said": said}).encode() + b"\n")

        def late(result: object, seconds: float) -> Failure:
            return Failure(Unanswered(f"no answer within {seconds:g} s"))

        return answer.addTimeout(seconds, self._clock, late)

    def _forget(self, number: int) -> None:
        self._asked.pop(number, None)

    def heard(self, data: bytes) -> None:
        """More from the other end."""
        self._rest += data
        if b"\n" in data:  # a long line comes in a thousand pieces
            *lines, self._rest = self._rest.split(b"\n")
            for line in lines:
                self._said(_read(line))
        if len(self._rest) > LONGEST:
            self._rest.clear()

    def _said(self, said: Mapping[str, Any]) -> None:
        told = said.get("told")
        if "says" in said and isinstance(told, dict):
            self._unasked(str(said["says"]), told)
            return
        answer = self._asked.pop(said.get("number", 0), None)
        if answer is None:
            return
        if isinstance(told, dict):
            answer.callback(told)
        else:
            answer.errback(Unanswered(str(said.get("problem", "no answer"))))

    def lost(self) -> None:
        """The other end is gone."""
        asked, self._asked = self._asked, {}
        self._rest.clear()
        for answer in asked.values():
            if not answer.called:  # given up, as another was told
                answer.errback(Unanswered("the process has ended"))


class Answerer(LineOnlyReceiver):
    """The worker's end; ``gone`` is called when the other one is."""

    delimiter = b"\n"
    MAX_LENGTH = LONGEST
    _log = Logger()

    def __init__(self, answers: Answers, gone: Callable[[], None]) -> None:
        self._answers = answers
        self._gone = gone

    def lineReceived(self, line: bytes) -> None:
        said = _read(line)
        answer = self._answers.get(str(said.get("what")))
        number = said.get("number")
        if answer is None:
            self._tell(number, problem="nobody knows how to answer that")
            return
        answering = maybeDeferred(answer, **said.get("said", {}))
        answering.addCallback(lambda told: self._tell(number, told=told)).addErrback(self._failed, number)

    def say(self, what: str, told: dict[str, Any]) -> None:
        """Tell something called ``what`` that nobody has asked for."""
        self.sendLine(_line(says=what, told=told))  # type: ignore[no-untyped-call]

    def _failed(self, failure: Failure, number: object) -> None:
        self._log.failure("a question of the parent's was not answered", failure)
        self._tell(number, problem=f"internal error: {type(failure.value).__name__}")

    def _tell(self, number: object, **what: object) -> None:
        line = _line(number=number, **what)
        if len(line) > LONGEST:
            line = _line(number=number, problem=f"an answer of more than {LONGEST} bytes")
        self.sendLine(line)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._gone()


def _line(**said: object) -> bytes:
    return json.dumps(said, default=str).encode()


def _read(line: bytes | bytearray) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
