"""HTTP caching as a client and an origin see it: every transcript holds, through a real proxy, socket to socket."""

from __future__ import annotations

import pytest

from tests.conformance.cases import CASES
from tests.conformance.transcript import Case, Stage
from tests.conftest import LoggedFailures
from tests.support.async_test import async_test

# The stage's connections to its origin are pooled: they outlive each case.
pytestmark = pytest.mark.dirty_reactor


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@async_test
async def test_transcript(stage: Stage, case: Case, logged_failures: LoggedFailures) -> None:
    await stage.play(case)
    assert not logged_failures.remaining()


def test_no_case_has_the_name_of_another() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
