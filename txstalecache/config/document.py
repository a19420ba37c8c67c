"""The settings of a file as reStructuredText, from their definitions: ``python -m txstalecache.config.document FILE``
puts them between the marks in FILE, and a test holds ``docs/configuration.rst`` to it.

Must not know: anything that is not in ``config.schema``.
"""

from __future__ import annotations

import sys

from txstalecache.config.schema import TABLES, Item
from txstalecache.generated import rewrite

__all__ = ["SOURCE", "document"]

SOURCE = "txstalecache.config.schema"


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


if __name__ == "__main__":
    rewrite(sys.argv[1], SOURCE, document())
