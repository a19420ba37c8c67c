"""Transcripts: what a client asks, what the origin answers, what the client is told; played socket to socket.

A case reads as the conversation does, top to bottom::

    case(
        "a 304 restarts freshness",
        ask(),
        origin(200, "Cache-Control: max-age=10", "Age: 11", 'ETag: "1"'),
        ask(),
        asked('If-None-Match: "1"'),
        origin(304, "Cache-Control: max-age=60"),
        told(200),
        ask(),
        told(200, "Age: 0"),
    )

The rules that make it a test:

* An ``ask`` that an ``origin`` follows **must** reach the origin, one that none follows **must not**.
* An ``origin`` after the ``told`` of its ``ask`` is a refresh behind the client's back: its answer is held until the
  client has all of its own.
* Whatever the case says, each answer must have a Date, a Via, and a Cache-Status that is a structured list whose last
  member is ours and agrees with whether the origin was asked; one that was stored has an Age.

Fields are lines. ``told`` and ``asked`` take lines that must be there (``Name: value``; ``Name: ~regex``), bare names
that must be there, ``!Name`` for one that must not, and ``Name >= 3``. In values ``{+60}`` and ``{-60}`` are
IMF-fixdates that far from now, ``{rfc850 -60}`` and ``{asctime -60}`` the older forms, ``{path}`` is the case's own
path and ``{base}`` that path as an absolute URL.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.client import Reply, fetch
from tests.support.origin import Chunk, Close, End, Gate, Head, Request, ScriptedOrigin, Sleep
from tests.support.proxy import Proxy, later, until
from tests.support.wire import field as find_field
from txstalecache.http.structured import Item, Token, parse_list

__all__ = ["Case", "Stage", "ask", "asked", "case", "fails", "hinted", "interim", "origin", "pause", "told"]

HOST = "localhost"


@dataclass(frozen=True)
class Ask:
    """The client's request. ``at`` is appended to the case's path."""

    method: str
    lines: tuple[str, ...]
    at: str
    body: bytes


@dataclass(frozen=True)
class Answer:
    """The origin's answer. ``body`` None: one that no other answer of the case has."""

    status: int
    lines: tuple[str, ...]
    body: str | None
    chunked: bool
    trailers: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Interim:
    """An informational response before the next answer."""

    status: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Fails:
    """The origin closes the connection without a word, however often it is asked."""


@dataclass(frozen=True)
class Asked:
    """What the origin's last request must look like."""

    lines: tuple[str, ...]
    method: str | None
    body: bytes | None


@dataclass(frozen=True)
class Told:
    """What the client's last answer must look like. ``body`` an int: the body of the case's nth answer, from 1."""

    status: int | None
    lines: tuple[str, ...]
    body: str | int | None


@dataclass(frozen=True)
class Hinted:
    """The informational responses the client's last answer came with."""

    heads: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Pause:
    """Real time goes by. For what nothing else brings about."""

    seconds: float


Step = Ask | Answer | Interim | Fails | Asked | Told | Hinted | Pause


@dataclass(frozen=True)
class Case:
    """A name, its steps, and the ideas of the public suite that it stands for."""

    name: str
    steps: tuple[Step, ...]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    under: str = ""


def case(name: str, *steps: Step, required: str = "", optional: str = "", under: str = "") -> Case:
    """A case; ``required`` and ``optional`` name ideas of the public suite, separated by spaces. ``under``: where its
    path begins, for a route that is not the default one."""
    return Case(name, steps, tuple(required.split()), tuple(optional.split()), under)


def ask(method: str = "GET", *lines: str, at: str = "", body: bytes = b"") -> Ask:
    if ":" in method:
        return Ask("GET", (method, *lines), at, body)
    return Ask(method, lines, at, body)


def origin(
    status: int = 200,
    *lines: str,
    body: str | None = None,
    chunked: bool = False,
    trailers: Sequence[str] = (),
    seconds: float = 0.0,
) -> Answer:
    return Answer(status, lines, body, chunked, tuple(trailers), seconds)


def interim(status: int, *lines: str) -> Interim:
    return Interim(status, lines)


def fails() -> Fails:
    return Fails()


def asked(*lines: str, method: str | None = None, body: bytes | None = None) -> Asked:
    return Asked(lines, method, body)


def told(status: int | None = None, *lines: str, body: str | int | None = None) -> Told:
    return Told(status, lines, body)


def hinted(*heads: tuple[int, str]) -> Hinted:
    return Hinted(heads)


def pause(seconds: float) -> Pause:
    return Pause(seconds)


_TIME = re.compile(r"\{(?:(rfc850|asctime) )?([+-]\d+)\}")
_FORMS = {
    None: "%a, %d %b %Y %H:%M:%S GMT",
    "rfc850": "%A, %d-%b-%y %H:%M:%S GMT",
    "asctime": "%a %b %e %H:%M:%S %Y",
}
_AT_LEAST = re.compile(r"([A-Za-z-]+) >= (\d+)")


@dataclass
class Turn:
    """One ``ask`` and all that belongs to it."""

    ask: Ask
    answers: list[Answer | Interim | Fails] = field(default_factory=list)
    behind: list[Answer | Interim | Fails] = field(default_factory=list)
    checks: list[Asked | Told | Hinted] = field(default_factory=list)
    checks_behind: list[Asked] = field(default_factory=list)
    pause: float = 0.0


def turns(steps: Sequence[Step]) -> list[Turn]:
    """The steps, sorted by the ``ask`` they follow."""
    found: list[Turn] = []
    was_told = False
    for step in steps:
        if isinstance(step, Ask):
            found.append(Turn(step))
            was_told = False
            continue
        turn = found[-1]
        match step:
            case Answer() | Interim() | Fails():
                (turn.behind if was_told else turn.answers).append(step)
            case Pause():
                turn.pause = step.seconds
            case Asked() if was_told:
                turn.checks_behind.append(step)
            case Told():
                was_told = True
                turn.checks.append(step)
            case Asked() | Hinted():
                turn.checks.append(step)
    return found


class Stage:
    """One proxy and one origin; every case gets a path of its own."""

    def __init__(self, proxy: Proxy, scripted: ScriptedOrigin) -> None:
        self._proxy = proxy
        self._origin = scripted
        self._cases = 0
        self._path = ""
        self._now = 0.0
        self._script: list[Answer | Interim | Fails] = []
        self._bodies: list[bytes] = []
        self._surprises: list[Request] = []
        scripted.handler = self._answer

    async def play(self, case: Case) -> None:
        """Raises AssertionError with what does not hold."""
        self._cases += 1
        self._path = f"{case.under}/case-{self._cases}"
        self._bodies = []
        # What one turn says of a moment, the next one is to mean as well, be it in another second.
        self._now = time.time()
        for number, turn in enumerate(turns(case.steps), 1):
            await self._turn(turn, f"{case.name}, request {number} ({turn.ask.method})")

    async def _turn(self, turn: Turn, where: str) -> None:
        ask, came = turn.ask, len(self._origin.requests)
        self._script = [*turn.answers, *turn.behind]
        self._surprises = []
        gate = f"{self._path}-{came}-behind"
        self._origin.hold(gate)
        self._behind = (len(turn.answers), gate)
        self._played = 0
        fields = self._pairs(ask.lines)
        reply = await fetch(self._proxy.port, ask.method, self._path + ask.at, fields, ask.body, host=HOST, timeout=10)
        before = list(self._origin.requests[came:])
        self._origin.release(gate)
        wanted = sum(not isinstance(step, Interim) for step in (*turn.answers, *turn.behind))
        await until(lambda: self._proxy.flights == 0)
        got = self._origin.requests[came:]
        if not any(isinstance(step, Fails) for step in (*turn.answers, *turn.behind)):
            assert len(got) == wanted, f"{where}: {len(got)} requests reached the origin, not {wanted}\n{_seen(reply)}"
        else:
            assert got, f"{where}: the origin was not asked"
        assert not self._surprises, f"{where}: the origin was asked for {self._surprises[0].target!r}"
        if turn.behind:
            assert len(before) <= len(turn.answers) + 1, where
        self._check_always(reply, bool(turn.answers), where)
        for check in turn.checks:
            match check:
                case Asked():
                    self._check_asked(check, got[0], where)
                case Told():
                    self._check_told(check, reply, where)
                case Hinted():
                    self._check_hinted(check, reply, where)
        for asked_behind in turn.checks_behind:
            self._check_asked(asked_behind, got[-1], f"{where}, refresh")
        if turn.pause:
            await later(turn.pause)
            self._now += turn.pause

    # -- the origin's side -------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Any:
        if self._script and isinstance(self._script[0], Fails):
            return [Close()]
        if not self._script or not request.path.startswith(self._path):
            self._surprises.append(request)
            return self._steps(Answer(500, (), "unexpected", False, (), 0.0), request, ())
        early: list[Interim] = []
        while isinstance(self._script[0], Interim):
            early.append(self._script.pop(0))  # type: ignore[arg-type]
            self._played += 1
        answer = self._script.pop(0)
        held, gate = self._behind
        behind = self._played >= held
        self._played += 1
        assert isinstance(answer, Answer)
        steps = self._steps(answer, request, early)
        return [Gate(gate), *steps] if behind else steps

    def _steps(self, answer: Answer, request: Request, early: Sequence[Interim]) -> list[Any]:
        steps: list[Any] = [Head(one.status, self._pairs(one.lines)) for one in early]
        if answer.seconds:
            steps.append(Sleep(answer.seconds))
        body = f"body {len(self._bodies) + 1}" if answer.body is None else answer.body
        data = b"" if answer.status in (204, 304) else body.encode("latin-1")
        self._bodies.append(data)
        fields = self._pairs(answer.lines)
        if answer.chunked:
            fields.append((b"Transfer-Encoding", b"chunked"))
        elif answer.status not in (204, 304) and find_field(fields, "content-length") is None:
            fields.append((b"Content-Length", b"%d" % len(data)))
        steps.append(Head(answer.status, fields))
        if request.method != b"HEAD" and data:
            steps.append(Chunk(data))
        if answer.chunked and request.method != b"HEAD":
            steps.append(End([line.split(": ", 1) for line in answer.trailers]))
        return steps

    # -- what must hold ----------------------------------------------------------------------------------------------

    def _check_always(self, reply: Reply, was_forwarded: bool, where: str) -> None:
        seen = f"{where}\n{_seen(reply)}"
        assert not reply.truncated, seen
        ours = _cache_status(reply)
        assert ours is not None, f"no Cache-Status of ours in {seen}"
        if not was_forwarded:
            assert b"fwd" not in ours, f"fwd, but the origin was not asked: {seen}"
        elif b"hit" in ours:
            raise AssertionError(f"hit, but the origin was asked first: {seen}")
        assert len([1 for name, _ in reply.fields if name.lower() == b"date"]) == 1, f"not one Date in {seen}"
        if b"hit" in ours:
            assert re.fullmatch(rb"\d+", reply.field("age") or b""), f"a stored answer without Age: {seen}"
        if b"hit" in ours or reply.status < 500:
            assert b"txstalecache" in (reply.field("via") or b""), f"no Via of ours in {seen}"

    def _check_asked(self, check: Asked, request: Request, where: str) -> None:
        if check.method is not None:
            assert request.method == check.method.encode(), f"{where}: the origin was asked to {request.method!r}"
        if check.body is not None:
            assert request.body == check.body, f"{where}: the origin got the body {request.body!r}"
        self._check_lines(
            check.lines, request.fields, f"{where}: the origin was asked\n{request.raw_head.decode('latin-1')}"
        )

    def _check_told(self, check: Told, reply: Reply, where: str) -> None:
        seen = f"{where}\n{_seen(reply)}"
        if check.status is not None:
            assert reply.status == check.status, f"{reply.status}, not {check.status}: {seen}"
        if isinstance(check.body, int):
            assert reply.body == self._bodies[check.body - 1], f"not the body of answer {check.body}: {seen}"
        elif check.body is not None:
            assert reply.body.decode("latin-1") == check.body, f"another body: {seen}"
        self._check_lines(check.lines, reply.fields, seen)

    def _check_hinted(self, check: Hinted, reply: Reply, where: str) -> None:
        assert [status for status, _ in reply.informational] == [status for status, _ in check.heads], where
        for (_, fields), (_, line) in zip(reply.informational, check.heads, strict=True):
            if line:
                self._check_lines((line,), fields, f"{where}: informational {fields!r}")

    def _check_lines(self, lines: Sequence[str], fields: Any, seen: str) -> None:
        for line in lines:
            at_least = _AT_LEAST.fullmatch(line)
            if at_least is not None:
                value = find_field(fields, at_least[1])
                assert value is not None and int(value) >= int(at_least[2]), f"not {line}: {seen}"
            elif line.startswith("!"):
                assert find_field(fields, line[1:]) is None, f"{line[1:]} should not be there: {seen}"
            elif ": " not in line:
                assert find_field(fields, line) is not None, f"{line} should be there: {seen}"
            else:
                name, wanted = self._fill(line).split(": ", 1)
                value = find_field(fields, name)
                text = None if value is None else value.decode("latin-1")
                if wanted.startswith("~"):
                    assert text is not None and re.fullmatch(wanted[1:], text), f"not {line}: {seen}"
                else:
                    assert text == wanted, f"not {name}: {wanted}: {seen}"

    # -- words -------------------------------------------------------------------------------------------------------

    def _pairs(self, lines: Sequence[str]) -> list[tuple[bytes, bytes]]:
        pairs = [self._fill(line).split(":", 1) for line in lines]
        return [(name.encode("latin-1"), value.removeprefix(" ").encode("latin-1")) for name, value in pairs]

    def _fill(self, line: str) -> str:
        def moment(match: re.Match[str]) -> str:
            return time.strftime(_FORMS[match[1]], time.gmtime(self._now + int(match[2])))

        line = line.replace("{path}", self._path).replace("{base}", f"http://{HOST}{self._path}")
        return _TIME.sub(moment, line)


def _cache_status(reply: Reply) -> dict[bytes, Any] | None:
    """The parameters of our member, the last one; None when there is none or the field is malformed."""
    members = parse_list(reply.field("cache-status") or b"")
    last = members[-1] if members else None
    if not isinstance(last, Item) or not isinstance(last.value, Token) or last.value.value != b"txstalecache":
        return None
    return dict(last.parameters)


def _seen(reply: Reply) -> str:
    lines = "\n".join(f"  {name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in reply.fields)
    return f"the client was told {reply.status}\n{lines}\n  {reply.body[:200]!r}"
