"""The suite's own guard: what a test leaves behind fails it, and nothing else does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.process import environment

ROOT = Path(__file__).parents[1]

CONFTEST = """
import tests.conftest
from tests.conftest import clean_reactor, logged_failures

tests.conftest.SETTLE = 0.2
"""

TESTS = """
from twisted.internet import defer, protocol, reactor
from tests.support.async_test import async_test

@async_test
async def test_delayed_call():
    reactor.callLater(100, lambda: None)

@async_test
async def test_port():
    reactor.listenTCP(0, protocol.ServerFactory(), interface="127.0.0.1")

@async_test
async def test_failure_in_a_cycle():
    failed = defer.fail(ValueError("nobody looks"))
    failed.me = failed

@async_test
async def test_fine_nothing():
    pass

@async_test
async def test_fine_soon_over():
    reactor.callLater(0.01, lambda: None)

@async_test
async def test_fine_expected(logged_failures):
    defer.fail(ValueError("expected"))
    assert logged_failures.flush(ValueError)
"""


def test_what_a_test_leaves_behind_fails_it(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(tmp_path / "none.toml")]
    (tmp_path / "none.toml").write_text("[tool.pytest.ini_options]\n")
    variables = {**environment(), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, str(tmp_path)], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=100
    )
    summary = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
    assert {line.partition("::")[2].partition(" ")[0] for line in summary} == {
        "test_delayed_call",
        "test_port",
        "test_failure_in_a_cycle",
    }, done.stdout
    assert "6 passed, 3 errors" in done.stdout
