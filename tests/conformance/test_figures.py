"""The figures that the documentation gives are those of the cases."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.cases import CASES

PAGE = (Path(__file__).parents[2] / "docs" / "conformance.rst").read_text(encoding="utf-8")


def test_the_page_counts_the_cases() -> None:
    assert f"{len(CASES)} conversations" in " ".join(PAGE.split())


def test_the_page_counts_the_ideas_of_the_public_suite() -> None:
    required = [idea for case in CASES for idea in case.required]
    optional = [idea for case in CASES for idea in case.optional]
    assert len(set(required)) == len(required)
    assert len(set(optional)) == len(optional)
    assert f"**{len(required)} of 164**" in PAGE
    assert f"**{len(optional)} of 105**" in PAGE


def test_no_idea_counted_as_held_is_listed_as_not() -> None:
    _, _, missing = PAGE.partition("Not held")
    assert missing
    for case in CASES:
        for idea in (*case.required, *case.optional):
            assert f"``{idea}``" not in missing
