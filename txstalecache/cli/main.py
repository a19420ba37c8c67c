"""``txstalecache SUBCOMMAND``: finds the subcommand and calls it.

A subcommand is a function that adds its parser and names what runs; add it to ``SUBCOMMANDS``.
Must not know: what any of them does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from txstalecache import __version__
from txstalecache.cli import check, run

__all__ = ["main"]

SUBCOMMANDS: tuple[Callable[..., None], ...] = (check.add, run.add)


class _Parser(argparse.ArgumentParser):
    """Bad usage is status 64, ``EX_USAGE`` of sysexits.h, as for ``twistd txstalecache``."""

    def error(self, message: str) -> None:  # type: ignore[override]
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(64)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = _Parser(prog="txstalecache", description="A stale-while-revalidate caching HTTP reverse proxy.")
    parser.add_argument("--version", action="version", version=f"txstalecache {__version__}")
    subcommands = parser.add_subparsers(metavar="SUBCOMMAND", required=True, parser_class=_Parser)
    for add in SUBCOMMANDS:
        add(subcommands)
    parsed = parser.parse_args(arguments)
    status: int = parsed.run(parsed)
    return status
