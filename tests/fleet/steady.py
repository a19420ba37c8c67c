"""A steady load on a proxy, and a line to Redis that can be spoilt; each in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import hiredis

__all__ = ["Answer", "Gateway", "Load", "ninety_ninth"]

#: Seconds after which a connection is not used again: the proxy closes those that rest for 15 s.
IDLE = 10.0

_PassOn = Callable[[bytes], Coroutine[Any, Any, None]]


class Looped:
    """A thread with an event loop; ``close`` ends both."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, coroutine: Coroutine[Any, Any, Any], seconds: float = 60.0) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds)

    async def _cancel(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        self.do(self._cancel())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@dataclass(frozen=True)
class Answer:
    """One request's fate: when it was due, how long it took from then, its status (0: no whole answer)."""

    due: float
    seconds: float
    status: int
    hit: bool
    path: str


def ninety_ninth(answers: list[Answer]) -> float:
    """Seconds that 99 in 100 took no longer than."""
    seconds = sorted(answer.seconds for answer in answers)
    return seconds[min(len(seconds) - 1, len(seconds) * 99 // 100)]


class Load(Looped):
    """``rate`` requests per second, each at its time whatever became of those before: nine in ten for ``keys`` known
    paths, the tenth for one that nobody has asked for."""

    def __init__(self, port: int, rate: float = 200.0, keys: int = 50) -> None:
        super().__init__()
        self.answers: list[Answer] = []
        self._port, self._rate, self._keys = port, rate, keys
        self._idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = deque()
        self._going: set[asyncio.Task[None]] = set()
        self._stop = False
        self._running = asyncio.run_coroutine_threadsafe(self._run(), self._loop)

    def since(self, when: float, until: float = float("inf")) -> list[Answer]:
        return [answer for answer in list(self.answers) if when <= answer.due < until]

    def finish(self) -> list[Answer]:
        """Send no more; all answers, once every one is here."""
        self._stop = True
        self._running.result(60)
        self.close()
        return self.answers

    async def _run(self) -> None:
        began, number = time.monotonic(), 0
        while not self._stop:
            due = began + number / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            path = f"/new{number}" if number % 10 == 9 else f"/k{number % self._keys}"
            task = asyncio.create_task(self._ask(path, due))
            self._going.add(task)
            task.add_done_callback(self._going.discard)
            number += 1
        await asyncio.gather(*self._going)
        for _, writer, _ in self._idle:
            writer.close()

    async def _ask(self, path: str, due: float) -> None:
        status, hit = 0, False
        try:
            status, hit = await asyncio.wait_for(self._exchange(path), 30)
        except (OSError, EOFError, ValueError, TimeoutError):
            pass
        self.answers.append(Answer(due, time.monotonic() - due, status, hit, path))

    async def _exchange(self, path: str) -> tuple[int, bool]:
        reader, writer = await self._connection()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        await reader.readexactly(int(fields["content-length"]))
        self._idle.append((reader, writer, time.monotonic()))
        return int(head.split()[1]), "; hit" in fields.get("cache-status", "")

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._idle:
            reader, writer, since = self._idle.pop()
            if time.monotonic() - since < IDLE:
                return reader, writer
            # The one used last is the first to be used again: the others have rested for longer.
            for _, each, _ in [(reader, writer, since), *self._idle]:
                each.close()
            self._idle.clear()
        return await asyncio.open_connection("127.0.0.1", self._port)


class Gateway(Looped):
    """A unix socket that leads to another one. ``garbage`` and ``error`` are what is said instead of what the server
    says; ``delay`` comes on top of its own. While ``silent`` it takes everything and passes nothing on, as a host that
    is gone without a word; what was connected then is closed at the first byte after."""

    def __init__(self, path: str, target: str) -> None:
        super().__init__()
        self._target = target
        self.delay = 0.0
        self.garbage = b""
        self.error = b""
        self.silent = False
        self.url = f"unix://{path}"
        self._server = self.do(self._listen(path))

    async def _listen(self, path: str) -> asyncio.Server:
        return await asyncio.start_unix_server(self._accept, path)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        super().close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_unix_connection(self._target)
        except OSError:
            writer.close()
            return
        commands = hiredis.Reader()
        lost = False

        def swallowed() -> bool:
            nonlocal lost
            if lost and not self.silent:
                writer.close()
                back.close()
            lost = lost or self.silent
            return lost

        async def asked(data: bytes) -> None:
            if swallowed():
                return
            if self.error:
                commands.feed(data)
                while commands.gets() is not False:
                    writer.write(b"-" + self.error + b"\r\n")
            else:
                back.write(data)

        async def told(data: bytes) -> None:
            if swallowed():
                return
            writer.write(self.garbage or data)

        ways = [self._carry(reader, asked, self._no_delay), self._carry(there, told, lambda: self.delay)]
        try:
            await asyncio.wait([asyncio.ensure_future(way) for way in ways], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            writer.close()
            back.close()

    @staticmethod
    def _no_delay() -> float:
        return 0.0

    async def _carry(self, source: asyncio.StreamReader, pass_on: _PassOn, delay: Callable[[], float]) -> None:
        late: deque[tuple[float, bytes]] = deque()
        more = asyncio.Event()

        async def deliver() -> None:
            while True:
                while late:
                    when, data = late.popleft()
                    await asyncio.sleep(max(0.0, when - time.monotonic()))
                    await pass_on(data)
                more.clear()
                await more.wait()

        delivering = asyncio.ensure_future(deliver())
        try:
            while data := await source.read(1 << 16):
                late.append((time.monotonic() + delay(), data))
                more.set()
        except OSError:
            pass
        finally:
            delivering.cancel()
