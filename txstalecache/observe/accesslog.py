"""The access log: one line per request, with what the cache did and why.

Nothing a client or an origin sends can begin a new line or end a quoted field.
Must not know: requests, sockets, the reactor. Writing happens on a thread of its own, so that a full disk or a stalled
reader of standard output costs log lines, never answers.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import field
from datetime import UTC, datetime
from typing import BinaryIO

from twisted.logger import Logger

from txstalecache.http.messages import Fields
from txstalecache.http.values import dataclass
from txstalecache.observe.trace import TraceContext

__all__ = ["AccessLog", "Record", "combined", "json_line", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request and what became of it. Times and durations in seconds."""

    time: float
    """When the request came, since the epoch."""
    client: str
    """The peer's address, without port; behind a trusted proxy, of the one that it names."""
    method: bytes
    target: bytes
    version: bytes
    fields: Fields = field(default=Fields(), repr=False)
    """As they came: secrets are among them."""
    status: int
    """0: the client left before it was told one."""
    sent: int
    """Bytes of body."""
    complete: bool = True
    """Whether all of the answer was written."""
    verdict: str
    """fresh, stale, validate, miss, pass, refuse."""
    why: str = ""
    role: str = "-"
    """hit, leader, waiter, alone; ``-`` where none of them fits."""
    age: float | None = None
    """Of the stored answer that was sent."""
    wait: float = 0.0
    """How long it waited for a fetch."""
    duration: float = 0.0
    """From the request's head to the end of its answer."""
    scheme: bytes = b"http"
    collapsed: bool | None = None
    """False: it waited for an answer that it could not have."""
    sent_on: TraceContext | None = None
    """Where in its trace the request to the origin is, if there was one."""

    @property
    def host(self) -> bytes:
        """As it was written; empty when it was not said."""
        return self._first(b"host") or b""

    @property
    def referer(self) -> bytes | None:
        """The first line of it."""
        return self._first(b"referer")

    @property
    def user_agent(self) -> bytes | None:
        """The first line of it."""
        return self._first(b"user-agent")

    @property
    def trace(self) -> TraceContext | None:
        """The trace it belongs to, where its client said one; ``parent_id`` is what was sent on as the parent."""
        return self.sent_on or TraceContext.read(self.fields.get_all(b"traceparent"))

    def _first(self, name: bytes) -> bytes | None:
        lines = self.fields.get_all(name)
        return lines[0] if lines else None


#: The longest field of a line, in bytes as received; the rest is cut and marked.
FIELD = 2048

_ESCAPES = {
    code: chr(code) if 0x20 <= code < 0x7F and chr(code) not in '"\\' else f"\\x{code:02x}" for code in range(256)
}


def _quoted(value: bytes | None) -> str:
    """``value`` between quotes, with everything but plain ASCII escaped as ``\\xHH``; ``"-"`` for None."""
    if value is None:
        return '"-"'
    text = value[:FIELD].decode("latin-1").translate(_ESCAPES)
    return f'"{text}..."' if len(value) > FIELD else f'"{text}"'


def _word(text: str) -> str:
    """One of our own words, kept to what cannot end it."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.:/?=") else "_" for c in text) or "-"


def _request_line(record: Record) -> bytes:
    return b" ".join((record.method, record.target, record.version))


def combined(record: Record) -> str:
    """The combined log format of Apache and nginx (UTC), and after it ``name=value`` for each thing the cache did."""
    when = datetime.fromtimestamp(record.time, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    age = "-" if record.age is None else str(int(record.age))
    return (
        f"{_word(record.client)} - - [{when}] {_quoted(_request_line(record))} {record.status} {record.sent}"
        f" {_quoted(record.referer)} {_quoted(record.user_agent)}"
        f" verdict={_word(record.verdict)} why={_word(record.why)} role={_word(record.role)} age={age}"
        f" wait={record.wait:.3f} time={record.duration:.3f}{'' if record.complete else ' cut'}"
    )


def text(value: bytes) -> str:
    """What came from outside, for JSON; not all of a long one."""
    return value[:FIELD].decode("utf-8", "backslashreplace")


def json_line(record: Record) -> str:
    """One JSON object on one line, in ASCII."""
    trace = record.trace
    return json.dumps(
        {
            "time": datetime.fromtimestamp(record.time, UTC).isoformat(timespec="milliseconds"),
            "client": record.client,
            "method": text(record.method),
            "host": text(record.host),
            "target": text(record.target),
            "version": text(record.version),
            "status": record.status,
            "sent": record.sent,
            "complete": record.complete,
            "referer": None if record.referer is None else text(record.referer),
            "user_agent": None if record.user_agent is None else text(record.user_agent),
            "verdict": record.verdict,
            "why": record.why,
            "role": record.role,
            "age": None if record.age is None else round(record.age, 3),
            "wait": round(record.wait, 6),
            "duration": round(record.duration, 6),
            "scheme": text(record.scheme),
            "collapsed": record.collapsed,
            "trace_id": None if trace is None else text(trace.trace_id),
            "span_id": None if trace is None else text(trace.parent_id),
        },
        separators=(",", ":"),
    )


class AccessLog:
    """Writes a line per record to a file, or to standard output.

    Call it with a ``Record``; it never blocks. At most ``PENDING`` bytes wait for the writer: beyond them lines are
    dropped and counted in ``dropped``; the process' own log says so. A file that was moved away (logrotate) is opened
    anew; for as long as that cannot be, lines go where it was moved to.
    The owner calls ``close``.
    """

    PENDING = 4 * 1024 * 1024
    _log = Logger()

    def __init__(self, path: str, format: Callable[[Record], str] = combined) -> None:
        """``path`` is a file to append to, or ``-`` for standard output. Raises OSError when it cannot be opened."""
        self._path = path
        self._format = format
        self._file = self._open()
        self._changed = threading.Condition()
        self._lines: list[bytes] = []
        self._size = 0
        self._closed = False
        self.dropped = 0
        """Lines that found no room, or could not be written."""
        self._told = 0
        """How many of them the process' own log has told of."""
        self._failing = self._astray = False
        """Whether lines are being lost, and whether they go to a file that was moved away; both as was said."""
        self._torn = False
        """Whether the file ends in a part of a line."""
        self._writer = threading.Thread(target=self._write_all, name="access log", daemon=True)
        self._writer.start()

    def __call__(self, record: Record) -> None:
        """Write ``record`` soon."""
        line = self._format(record).encode("ascii", "backslashreplace") + b"\n"
        with self._changed:
            if self._closed or self._size + len(line) > self.PENDING:
                self.dropped += 1
                return
            self._lines.append(line)
            self._size += len(line)
            self._changed.notify()

    def close(self, seconds: float = 2.0) -> None:
        """Write what is pending, for at most ``seconds``, and close the file. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._writer.join(seconds)

    def _write_all(self) -> None:
        """The writer's thread."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closed)
                lines, self._lines = self._lines, []
                closed = self._closed
            if lines:
                self._write(lines)
            elif closed:
                break
        self._file.close()

    def _write(self, lines: list[bytes]) -> None:
        block = b"".join(lines)
        whole = rest = memoryview(block)
        try:
            self._follow()
            if self._torn:
                whole = rest = memoryview(b"\n" + block)
            while rest:
                written = self._file.write(rest)  # a raw file may take less than all
                if not written:
                    raise BlockingIOError("standard output does not wait")
                rest = rest[written:]
        except OSError as error:
            # A full disk, a reader that has gone: the next block may fare better.
            with self._changed:
                self.dropped += len(lines)
            if done := len(whole) - len(rest):
                self._torn = whole[done - 1] != ord("\n")
            if not self._failing:
                self._failing = True
                why = error.strerror or str(error)
                self._log.error("access log {path}: lines are being lost: {why}", path=self._path, why=why)
        else:
            self._failing = self._torn = False
            if lost := self.dropped - self._told:
                self._told += lost
                self._log.warn("access log {path}: {n} lines have been lost", path=self._path, n=lost)
        finally:
            # Room is made only when the bytes are gone: what waits in here counts as pending too.
            with self._changed:
                self._size -= len(block)

    def _follow(self) -> None:
        """Open the file anew where it was moved away."""
        try:
            if not self._moved():
                return
            fresh = self._open()
        except OSError as error:
            # The directory may be another's by now: whoever rotates is to make the new one, and may be about to.
            if not self._astray:
                self._astray = True
                why = error.strerror or str(error)
                self._log.error(
                    "access log {path}: moved away, and goes on there: no new one can be opened: {why}",
                    path=self._path,
                    why=why,
                )
            return
        self._file.close()
        self._file, self._torn, self._astray = fresh, False, False

    def _open(self) -> BinaryIO:
        if self._path == "-":
            # Not sys.stdout: twistd makes that write to its own log.
            return open(1, "wb", buffering=0, closefd=False)
        return open(self._path, "ab", buffering=0)

    def _moved(self) -> bool:
        if self._path == "-":
            return False
        ours = os.fstat(self._file.fileno())
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return True
        return (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino)
