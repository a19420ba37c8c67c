"""A subcommand that asks a running proxy: its parser, and how it is carried out.

Must not know: any one subcommand.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from txstalecache.cli.connection import Connection, options

if TYPE_CHECKING:
    from txstalecache.cli.client import AdminClient
    from txstalecache.cli.page import Page

__all__ = ["Ask", "asking"]

#: What a subcommand does with an admin interface; its exit status.
Ask = Callable[[argparse.Namespace, "AdminClient", "Page"], Awaitable[int]]


def asking(subcommands: Any, name: str, summary: str, description: str | None, ask: Ask) -> argparse.ArgumentParser:
    """A parser with the options that say which proxy; ``ask`` is what runs."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        name, help=summary, description=description, parents=[options()]
    )
    parser.set_defaults(run=lambda arguments: carry_out(arguments, ask))
    return parser


def carry_out(arguments: argparse.Namespace, ask: Ask) -> int:
    """Run ``ask`` on a reactor of its own."""
    connection = Connection.of(arguments)
    # Late: --help and completion have no use for the reactor and treq.
    from txstalecache.cli.client import AdminClient
    from txstalecache.cli.page import Page
    from txstalecache.cli.reactor import perform

    page = Page()

    async def work(reactor: Any) -> int:
        return await ask(arguments, AdminClient(reactor, connection), page)

    return perform(work)
