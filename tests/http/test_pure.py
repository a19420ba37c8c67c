from __future__ import annotations

import ast
from pathlib import Path

import pytest

import txstalecache.http

MODULES = sorted(Path(path) for root in txstalecache.http.__path__ for path in Path(root).glob("*.py"))
FORBIDDEN = {"twisted", "zope", "time", "logging", "socket", "asyncio", "os", "random", "secrets", "threading"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_core_knows_no_reactor_no_clock_and_no_other_room(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module or ""]
        for name in names:
            assert name.partition(".")[0] not in FORBIDDEN, name
            assert not name.startswith("txstalecache") or name.startswith("txstalecache.http"), name
