"""Real ``twistd`` and ``twist`` processes, always ended; and what is asked of a process from without."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

__all__ = ["PROXY", "Running", "activated", "environment", "eventually", "finished", "resident"]

_BIN = Path(sys.executable).parent

#: Both ways to run the plugin, in the foreground and without a pid file.
PROXY: dict[str, list[str]] = {
    "twistd": [str(_BIN / "twistd"), "--nodaemon", "--pidfile=", "txstalecache"],
    "twist": [str(_BIN / "twist"), "txstalecache"],
}


def environment() -> dict[str, str]:
    """What the processes inherit: no width of a terminal, so that help is wrapped alike everywhere."""
    return {**os.environ, "COLUMNS": "100", "PYTHONUNBUFFERED": "1"}


def eventually(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Returns once ``true()`` is; fails after ``seconds``. For tests without a reactor: it blocks."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.01)


def resident() -> int:
    """Bytes of memory that this process has in RAM."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def activated(descriptor: int) -> list[str]:
    """What makes the command behind it one that systemd has passed the socket ``descriptor`` on to; inherit that."""
    # As systemd does: the socket is descriptor 3, and LISTEN_PID the process itself.
    activate = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_PID=str(os.getpid()), "
        "LISTEN_FDS='1', LISTEN_FDNAMES='http'); os.execv(sys.argv[2], sys.argv[2:])"
    )
    return [sys.executable, "-c", activate, str(descriptor)]


def finished(
    command: list[str], cwd: Path, seconds: float = 30.0, *, inherits: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    """Run ``command``, which ``inherits`` these descriptors, to its end; killed, and the test failed, after
    ``seconds``."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=seconds,
        stdin=subprocess.DEVNULL,
        pass_fds=inherits,
    )


class Running:
    """A process, its output collected as it comes; ``close`` ends it, whatever has become of it."""

    def __init__(self, command: list[str], cwd: Path, **popen: Any) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=popen.pop("env", None) or environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **{"stdin": subprocess.DEVNULL, **popen},
        )
        self._lines: list[str] = []
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self._lines.append(line.decode("utf-8", "replace"))
                self._more.notify_all()

    @property
    def output(self) -> str:
        """All that it has said."""
        with self._more:
            return "".join(self._lines)

    def wait_for(self, pattern: str, seconds: float = 60.0) -> re.Match[str]:
        """The first match of ``pattern`` in the output, waited for."""
        return self.wait_for_all(pattern, 1, seconds)[0]

    def wait_for_all(self, pattern: str, count: int, seconds: float = 60.0) -> list[re.Match[str]]:
        """The matches of ``pattern`` in the output, once there are ``count``."""
        deadline = time.monotonic() + seconds
        while True:
            ended = self.process.poll() is not None
            found = list(re.finditer(pattern, self.output))
            if len(found) >= count:
                return found
            if time.monotonic() > deadline or (ended and not self._thread.is_alive()):
                raise AssertionError(f"{pattern!r} is not {count} times in:\n{self.output}")
            with self._more:
                self._more.wait(0.1)

    def end(self, seconds: float = 60.0) -> int:
        """Its exit status, once it has ended by itself and its output is read."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended after {seconds} s:\n{self.output}") from None
        self._thread.join(seconds)
        return status

    def close(self) -> None:
        """Kill it if it is still there."""
        if self.process.poll() is None:
            self.process.kill()
        self.end()
        if self.process.stdout is not None:
            self.process.stdout.close()
