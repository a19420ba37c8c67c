"""``docs/rfc9111.rst`` says the truth: the functions and tests that it names exist, and no rule goes without a test."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.cases import CASES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "rfc9111.rst").read_text(encoding="utf-8")
TESTS = {
    path.stem: path.read_text(encoding="utf-8")
    for room in ("http", "safety")
    for path in (ROOT / "tests" / room).glob("test_*.py")
}
#: Sections that are not obeyed by doing anything.
NOTHING_TO_DO = {"§5.2.1.6 no-transform", "§5.5 Warning"}


def rows() -> Iterator[tuple[str, str, str]]:
    """Section, function and test of every row."""
    for row in re.findall(r"^   \* - (.*(?:\n     .*)*)", PAGE, re.MULTILINE):
        cells = [" ".join(cell.split()) for cell in re.split(r"\n     -", row)]
        if cells[0] != "Section":
            yield cells[0], cells[1], cells[2]


ROWS = list(rows())


def plain(text: str) -> str:
    """``text`` as far as it is in the name of a test."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


#: Where the first word of a name stands when it is no module of ``http``.
ELSEWHERE = {
    "Control": "txstalecache.http.cachecontrol.Control",
    "Entry": "txstalecache.http.entry.Entry",
    "edge": "txstalecache.edge",
}


def exists(dotted: str) -> bool:
    """Whether what the page calls ``dotted`` is there."""
    first, rest = dotted.split(".", 1)
    name = f"{ELSEWHERE.get(first, f'txstalecache.http.{first}')}.{rest}"
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def test_there_is_a_row_for_every_subject() -> None:
    assert len(ROWS) >= 55


@pytest.mark.parametrize(("section", "function"), [row[:2] for row in ROWS], ids=lambda value: plain(value)[:40])
def test_every_function_named_exists(section: str, function: str) -> None:
    named = re.findall(r"``([A-Za-z_.]+)``", function)
    dotted = [name for name in named if "." in name]
    for name in dotted:
        assert exists(name), f"{section}: there is no {name}"
    assert function, section


def promises(text: str) -> Iterator[tuple[str, str]]:
    """Where (a module of tests, or the conversations) and what, for all that a cell names."""
    where = ""
    for phrase in re.split(r"; |(?<=[a-z])\. ", re.sub(r" \(.*?\)", "", text)):
        named = re.fullmatch(r"(?:``(test_\w+)``|(conformance))(?:: (.*))?", phrase)
        if named is not None:
            where = named[1] or named[2]
        yield where, (named[3] or "") if named is not None else phrase


@pytest.mark.parametrize(("section", "test"), [(row[0], row[2]) for row in ROWS], ids=lambda value: plain(value)[:40])
def test_every_test_named_exists(section: str, test: str) -> None:
    if not test:
        assert section in NOTHING_TO_DO
        return
    if test.startswith("the same"):
        return
    conversations = {plain(case.name) for case in CASES}
    for where, what in promises(test):
        if where == "conformance":
            assert plain(what) in conversations, f"{section}: no conversation is called {what}"
        else:
            assert f"def test_{plain(what)}(" in TESTS[where] or not what, f"{section}: {where} does not say: {what}"
