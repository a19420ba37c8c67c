"""The admin interface does what its OpenAPI document says, and nothing else: asked with generated requests."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.admin.asking import TOKEN, Admin
from txstalecache.admin.openapi import DOCUMENT

schema = schemathesis.openapi.from_dict(dict(DOCUMENT))

# Of server errors, 503 is described and 500 is not: too many jobs under way is an answer, a crash is none.
CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


@pytest.fixture(scope="module")
def base(admin: Admin) -> str:
    """Where it is."""
    return f"http://127.0.0.1:{admin.proxy.admin}"


# Events do not end; a URL that is made up is nobody's page, but asking for it would go to the origin of the test.
@schema.exclude(path="/v1/events").parametrize()
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_what_is_described_is_what_is_there(case: Case[Any], base: str) -> None:
    case.call_and_validate(
        base_url=base, headers={"Authorization": f"Bearer {TOKEN}"}, checks=CHECKS, timeout=10, allow_redirects=False
    )


def test_the_document_is_served_without_a_token_and_valid(admin: Admin) -> None:
    status, said = admin.get("/openapi.json", Authorization="")
    assert status == 200
    assert said["paths"].keys() == DOCUMENT["paths"].keys()
    schema.validate()


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
