"""The words that say why as reStructuredText, from their table: ``python -m txstalecache.observe.document FILE`` puts
them between the marks in FILE, and a test holds ``docs/reasons.rst`` to it.

Must not know: anything that is not in ``observe.reasons``.
"""

from __future__ import annotations

import sys

from txstalecache.generated import rewrite
from txstalecache.observe.reasons import GROUPS

__all__ = ["SOURCE", "document"]

SOURCE = "txstalecache.observe.reasons"


def document() -> str:
    """One section for each group."""
    lines: list[str] = []
    for title, words in GROUPS.items():
        lines += ["", title, "-" * len(title), "", ".. list-table::", "   :header-rows: 1", "   :widths: 26 54 20", ""]
        lines += ["   * - word", "     - what it means", "     - laid down in"]
        for word, (rule, section) in words.items():
            lines += [f"   * - {word}", f"     - {rule[:1].upper()}{rule[1:]}.", f"     - {_place(section)}"]
    return "\n".join(lines) + "\n"


def _place(section: str) -> str:
    before, _, page = section.partition("docs: ")
    return f"{before}:doc:`{page}`" if page else section


if __name__ == "__main__":
    rewrite(sys.argv[1], SOURCE, document())
