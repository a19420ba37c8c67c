"""Real ``twistd`` and ``twist`` processes, always ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["PROXY", "environment", "finished"]

_BIN = Path(sys.executable).parent

#: Both ways to run the plugin, in the foreground and without a pid file.
PROXY: dict[str, list[str]] = {
    "twistd": [str(_BIN / "twistd"), "--nodaemon", "--pidfile=", "txstalecache"],
    "twist": [str(_BIN / "twist"), "txstalecache"],
}


def environment() -> dict[str, str]:
    """What the processes inherit: no width of a terminal, so that help is wrapped alike everywhere."""
    return {**os.environ, "COLUMNS": "100", "PYTHONUNBUFFERED": "1"}


def finished(command: list[str], cwd: Path, seconds: float = 30.0) -> subprocess.CompletedProcess[str]:
    """Run ``command`` to its end; killed, and the test failed, after ``seconds``."""
    return subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL
    )
