"""Every word that says why is in the one table, with its rule: read from the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import txstalecache
from txstalecache.generated import replaced
from txstalecache.http.admission import NEVER_SHARED
from txstalecache.observe.document import SOURCE, document
from txstalecache.observe.reasons import REASONS
from txstalecache.origin.interfaces import Fault

PACKAGE = Path(txstalecache.__file__).parent

#: Which argument of what is a word that says why: by place, and by name.
CARRIES: dict[str, tuple[int | None, str | None]] = {
    "Pass": (0, "why"),
    "Miss": (0, "why"),
    "Stale": (2, "why"),
    "Fresh": (2, "why"),
    "Validate": (2, "why"),
    "Refuse": (1, "why"),
    "Store": (2, "why"),
    "Share": (1, "why"),
    "Withhold": (0, "why"),
    "Rejected": (1, "why"),
    "Failed": (1, "why"),
    "Alone": (0, "why"),
    "Settled": (2, "stale"),
    "Outcome": (1, "why"),
    "refusal": (1, "why"),
    "canned": (1, "why"),
    "_refuse": (2, None),
    "_stand_in": (1, None),
    "_mark": (2, None),
    "failure": (2, None),
}
#: Functions that give such a word back.
GIVES = {"_refusal", "_unwilling", "_stale", "_why"}
#: Where such words are said.
ROOMS = ("http", "flight", "edge")


def strings(node: ast.AST | None) -> Iterator[str]:
    """The texts that ``node`` may come to."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from strings(node.body)
        yield from strings(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from strings(value)


def said_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            place, keyword = CARRIES.get(name, (None, None))
            if place is not None and place < len(node.args):
                yield from strings(node.args[place])
            for given in node.keywords:
                if given.arg is not None and given.arg == keyword:
                    yield from strings(given.value)
        elif isinstance(node, ast.FunctionDef) and node.name in GIVES:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return):
                    yield from strings(inner.value)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                targets = target.elts if isinstance(target, ast.Tuple) else [target]
                values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value] * len(targets)
                for one, value in zip(targets, values, strict=False):
                    if getattr(one, "attr", getattr(one, "id", "")) == "why":
                        yield from strings(value)
        elif isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "why":
            yield from strings(node.value)


def said() -> dict[str, str]:
    """Every word, and a file that says it."""
    found = {
        word: path.name
        for room in ROOMS
        for path in sorted((PACKAGE / room).glob("*.py"))
        for word in said_in(ast.parse(path.read_text()))
    }
    found |= {fault.value: "interfaces.py" for fault in Fault}
    found |= dict.fromkeys(NEVER_SHARED.values(), "admission.py")
    return found


def test_no_word_is_missing() -> None:
    words = said()
    assert len(words) > 60  # the reading itself would be noticed if it found nothing
    assert {"set-cookie", "swr", "only-if-cached", "connect-timeout", "malformed header field", "wait"} <= words.keys()
    assert not {word: where for word, where in words.items() if word not in REASONS}


def test_no_word_is_there_for_nothing() -> None:
    assert set(REASONS) - said().keys() <= {"", "error-marker", "origin-error"}


def test_a_word_that_is_not_in_the_table_would_be_seen() -> None:
    assert list(said_in(ast.parse("Pass('new', store=True)"))) == ["new"]
    assert list(said_in(ast.parse("x.why = 'a' if y else 'b'"))) == ["a", "b"]
    assert list(said_in(ast.parse("v, x.why = 'miss', 'c'"))) == ["c"]
    assert list(said_in(ast.parse("raise Rejected(400, 'd')"))) == ["d"]


def test_the_page_is_what_the_table_makes() -> None:
    text = (PACKAGE.parent / "docs/reasons.rst").read_text()
    assert replaced(text, SOURCE, document()) == text, "run python -m txstalecache.observe.document docs/reasons.rst"


@pytest.mark.parametrize("word", sorted(set(REASONS) - {""}))
def test_every_word_has_a_rule_and_a_place_where_it_is_laid_down(word: str) -> None:
    rule, section = REASONS[word]
    assert rule
    assert section.startswith(("RFC ", "docs: "))
