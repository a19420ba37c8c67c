"""What a command prints: tables and facts in colour on a terminal, plain columns anywhere else, or JSON.

What comes from a proxy was said by its clients: nothing of it reaches the terminal as control characters or markup.
Must not know: the reactor, where the data is from.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from txstalecache.cli.figures import GROUPS

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Page", "table", "visible"]


def visible(text: object) -> str:
    """``text`` with everything that does not print written as an escape, but what is between the groups of a figure."""
    return "".join(
        one if one.isprintable() or one == GROUPS else one.encode("unicode_escape").decode("ascii")
        for one in str(text).encode("utf-8", "backslashreplace").decode("utf-8")
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """For rich. A column whose name begins with ``>`` is of numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        numbers = column.startswith(">")
        made.add_column(
            column.lstrip(">"),
            justify="right" if numbers else "left",
            no_wrap=numbers,
            overflow="fold" if not numbers else "ellipsis",
            header_style="bold cyan",
        )
    for row in rows:
        made.add_row(*(Text(visible(cell)) for cell in row))
    return made


class Page:
    """Writes to ``out``."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = sys.stdout if out is None else out
        self.terminal = self._out.isatty() and os.environ.get("TERM") != "dumb"

    def json(self, said: Any, *, line: bool = False) -> None:
        """``said`` as it came; on one ``line`` where others follow."""
        print(json.dumps(said, indent=None if line else 2), file=self._out, flush=True)

    def line(self, text: str = "") -> None:
        """One line."""
        print(visible(text), file=self._out)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
        """See the function of this name."""
        if self.terminal:
            self._print(table(columns, rows, title))
            return
        if title is not None:
            self.line(title)
        numbers = [column.startswith(">") for column in columns]
        lines = [[column.lstrip(">").upper() for column in columns]]
        lines += [[visible(cell) for cell in row] for row in rows]
        widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
        for line in lines:
            cells = [
                cell.rjust(width) if number else cell.ljust(width)
                for cell, width, number in zip(line, widths, numbers, strict=True)
            ]
            print("  ".join(cells).rstrip(), file=self._out)

    def facts(self, pairs: Sequence[tuple[str, object]]) -> None:
        """A name and a value per line."""
        if self.terminal:
            from rich.table import Table
            from rich.text import Text

            grid = Table.grid(padding=(0, 2))
            for name, value in pairs:
                grid.add_row(Text(name, "bold cyan"), Text(visible(value)))
            self._print(grid)
            return
        width = max((len(name) for name, _ in pairs), default=0)
        for name, value in pairs:
            print(f"{name:<{width}}  {visible(value)}".rstrip(), file=self._out)

    def _print(self, thing: object) -> None:
        from rich.console import Console

        console = Console(file=self._out, highlight=False)
        with console.capture() as captured:
            console.print(thing)
        # By us: rich has its own idea of what to do when nobody reads.
        self._out.write(captured.get())
