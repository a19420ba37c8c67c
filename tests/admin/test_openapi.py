"""The admin interface does what its OpenAPI document says, and nothing else: asked with generated requests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import schemathesis

from tests.admin.asking import Admin
from tests.support.process import environment
from txstalecache.admin.openapi import DOCUMENT

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_what_is_described_is_what_is_there(admin: Admin) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "schemathesis.pytest.plugin", "tests/admin/described.py"],
        cwd=ROOT,
        env={**environment(), "DESCRIBED": f"http://127.0.0.1:{admin.proxy.admin}"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_document_is_served_without_a_token_and_valid(admin: Admin) -> None:
    status, said = admin.get("/openapi.json", Authorization="")
    assert status == 200
    assert said["paths"].keys() == DOCUMENT["paths"].keys()
    schemathesis.openapi.from_dict(dict(DOCUMENT)).validate()


def test_every_path_and_method_of_the_interface_is_described(admin: Admin) -> None:
    from txstalecache.admin.resource import AdminResource

    parts: Any = object()
    served = AdminResource(parts, parts, parts, parts, parts, parts)
    described = {path: {name for name in item if name != "parameters"} for path, item in DOCUMENT["paths"].items()}
    there = {
        path.decode(): {method.decode().lower() for method in handlers}
        for path, handlers in {**served._open, **served._known}.items()
    }
    there["/v1/warm/{id}"] = {method.decode().lower() for method in served._job}
    assert there == described
