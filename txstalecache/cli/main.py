"""``txstalecache SUBCOMMAND``: finds the subcommand and calls it.

A subcommand is a function that adds its parser and names what runs; add it to ``SUBCOMMANDS``.
Must not know: what any of them does.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import NoReturn

from txstalecache import __version__
from txstalecache.cli import check, completion, explain, flights, get, purge, run, status, top, warm
from txstalecache.cli.connection import UNSAID, options
from txstalecache.cli.exits import CommandError, Exit
from txstalecache.cli.page import visible

__all__ = ["main", "parser"]

SUBCOMMANDS: tuple[Callable[..., None], ...] = (
    run.add,
    check.add,
    status.add,
    top.add,
    flights.add,
    explain.add,
    get.add,
    purge.add,
    warm.add,
)


class _Parser(argparse.ArgumentParser):
    """Bad usage is one line."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(Exit.USAGE)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    made = _Parser(
        prog="txstalecache",
        description="A stale-while-revalidate caching HTTP reverse proxy: run it, ask it, steer it.",
        parents=[options()],
    )
    made.set_defaults(**UNSAID)
    made.add_argument("--version", action="version", version=f"txstalecache {__version__}")
    subcommands = made.add_subparsers(metavar="SUBCOMMAND", required=True, dest="subcommand", parser_class=_Parser)
    for add in SUBCOMMANDS:
        add(subcommands)
    completion.add(subcommands, parser)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    whole = parser()
    parsed = whole.parse_args(arguments)
    problem = parsed.check(parsed) if hasattr(parsed, "check") else None
    if problem is not None:
        whole.error(problem)
    if sys.stdout is None:
        # Closed by whoever started it, who wants to read nothing. Else its number goes to the next socket.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        # As standard error by itself: a dash is no reason to fail where there is none.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        ended = _carried_out(parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        _let_go_of_output()
        ended = Exit.PIPE
    except OSError as error:
        print(f"txstalecache {parsed.subcommand}: cannot write: {error.strerror or error}", file=sys.stderr)
        _let_go_of_output()
        ended = Exit.FAILED
    return int(ended)


def _carried_out(parsed: argparse.Namespace) -> int:
    try:
        ended: int = parsed.run(parsed)
    except CommandError as error:
        # What came from elsewhere may be in it.
        print(f"txstalecache {parsed.subcommand}: {visible(error)}", file=sys.stderr)
        ended = error.status
    except KeyboardInterrupt:
        ended = Exit.INTERRUPTED
    return ended


def _let_go_of_output() -> None:
    """What is still to be flushed at the end has nowhere to go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
