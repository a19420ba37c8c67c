"""All cases, by subject."""

from __future__ import annotations

from tests.conformance.cases import (
    answers,
    conditions,
    directives,
    fields,
    freshness,
    invalidation,
    methods,
    parsing,
    parts,
    ranges,
    sharing,
    stale,
    statuses,
    targeted,
    validation,
    variants,
)

__all__ = ["CASES"]

CASES = (
    *freshness.CASES,
    *parsing.CASES,
    *stale.CASES,
    *validation.CASES,
    *conditions.CASES,
    *methods.CASES,
    *variants.CASES,
    *ranges.CASES,
    *parts.CASES,
    *invalidation.CASES,
    *sharing.CASES,
    *targeted.CASES,
    *fields.CASES,
    *directives.CASES,
    *answers.CASES,
    *statuses.CASES,
)
