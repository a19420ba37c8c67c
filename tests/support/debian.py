"""Programs that tests drive and that no Python package brings: from Debian, installed when they are not there."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

import pytest

__all__ = ["program"]


@cache
def program(name: str, package: str) -> str:
    """The path of ``name``. Where it is missing and we may, ``package`` is installed; where we may not, the test is
    skipped, and says so."""
    found = shutil.which(name)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "--yes", "--no-install-recommends", package]):
            subprocess.run(
                ["apt-get", "--quiet", *command],
                env=quiet,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                timeout=600,
                check=False,
            )
        found = shutil.which(name)
    if found is None:
        pytest.skip(f"NOT TESTED: there is no {name}, and it cannot be installed; apt-get install {package}")
    return found
