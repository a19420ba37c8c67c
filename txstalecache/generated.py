"""The part of a page of the documentation that is made from the package: it stands between two marks.

Must not know: what it is made from.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["replaced", "rewrite"]

_END = ".. end of what is made"


def replaced(text: str, source: str, made: str) -> str:
    """``text`` with ``made`` between the marks that name its ``source``. ValueError when it has no such marks."""
    begin = f".. begin of what is made from {source}; do not edit"
    before, begun, rest = text.partition(begin)
    _, ended, after = rest.partition(_END)
    if not begun or not ended:
        raise ValueError(f"no marks to put what is made from {source} between")
    return f"{before}{begin}\n{made}\n{_END}{after}"


def rewrite(path: str, source: str, made: str) -> None:
    """Put ``made`` into the page at ``path``."""
    page = Path(path)
    page.write_text(replaced(page.read_text(), source, made))
