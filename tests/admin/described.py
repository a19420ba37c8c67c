"""Requests generated from the OpenAPI document: ``test_openapi`` runs this, in a process of its own.

What is generated takes seconds, and is made while tests are collected: elsewhere by each process that runs some.
"""

from __future__ import annotations

import os
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.admin.asking import TOKEN
from txstalecache.admin.openapi import DOCUMENT

schema = schemathesis.openapi.from_dict(dict(DOCUMENT))

# Of server errors, 503 is described and 500 is not: too many jobs under way is an answer, a crash is none.
CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


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
def test_what_is_described_is_what_is_there(case: Case[Any]) -> None:
    case.call_and_validate(
        base_url=os.environ["DESCRIBED"],
        headers={"Authorization": f"Bearer {TOKEN}"},
        checks=CHECKS,
        timeout=60,
        allow_redirects=False,
    )
