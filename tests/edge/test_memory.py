"""``--memory`` is what the process grows by, as the kernel counts it, and not what its bodies add up to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MIB = 12


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "sizes", [(1_000,), (10_000,), (60_000,), (200_000,), (500_000,), (500, 5_000, 50_000, 300_000)]
)
def test_a_full_memory_tier_takes_what_it_may_and_no_more_than_a_tenth_above(sizes: tuple[int, ...]) -> None:
    command = [sys.executable, "-m", "tests.edge.filling", str(MIB), *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    part = int(done.stdout) / (MIB << 20)
    assert 0.7 < part < 1.1
