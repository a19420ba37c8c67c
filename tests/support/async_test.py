"""``@async_test async def test_…``: a test that awaits Deferreds. pytest-twisted carries no types; this does."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, cast

import pytest_twisted

__all__ = ["async_test"]

_P = ParamSpec("_P")

_Test = Callable[_P, Coroutine[Any, Any, None]]


def async_test(test: _Test[_P]) -> _Test[_P]:
    """Run the coroutine function ``test`` under the reactor."""
    return cast("_Test[_P]", pytest_twisted.ensureDeferred(test))
