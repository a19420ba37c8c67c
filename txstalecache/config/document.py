"""The settings of a file as reStructuredText, from their definitions: ``python -m txstalecache.config.document FILE``
puts them between the marks in FILE, and a test holds ``docs/configuration.rst`` to it.

Must not know: anything that is not in ``config.schema``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from txstalecache.config.schema import TABLES, Item

__all__ = ["BEGIN", "END", "document", "replaced"]

BEGIN = ".. begin of what is made from txstalecache.config.schema; do not edit"
END = ".. end of what is made"


def document() -> str:
    """One section for each table."""
    lines: list[str] = []
    for table in TABLES:
        title = f"``[[{table.title}]]``" if table.title == "route" else f"``[{table.title}]``"
        lines += ["", title, "~" * len(title), "", table.meaning, ""]
        lines += [".. list-table::", "   :header-rows: 1", "   :widths: 20 25 55", ""]
        lines += ["   * - setting", "     - default", "     - meaning"]
        for item in table.items:
            lines += [f"   * - ``{item.name}``", f"     - {_default(item)}", f"     - {item.meaning}"]
    return "\n".join(lines) + "\n"


def _default(item: Item) -> str:
    if item.default is None:
        return item.without
    return f"``{str(item.default).lower() if isinstance(item.default, bool) else item.default}``"


def replaced(text: str) -> str:
    """``text`` with what is between the marks made anew. ValueError when it has no marks."""
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError("no marks to put the settings between")
    return f"{before}{BEGIN}\n{document()}\n{END}{after}"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(replaced(file.read_text()))
