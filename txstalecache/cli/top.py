"""``txstalecache top``: a running proxy as it runs: rates, latency, the fetches in the air, the keys asked for most."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from txstalecache.cli import flights, status
from txstalecache.cli.asking import asking
from txstalecache.cli.exits import Exit, Unreachable
from txstalecache.cli.figures import count, size
from txstalecache.cli.numbers import number, whole
from txstalecache.cli.page import Page, table, visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from txstalecache.cli.client import AdminClient

__all__ = ["add"]

ORDERS = ("hits", "misses", "bytes", "waiters")
_KEYS = (">hits", ">misses", ">bytes", ">waiters", "url")

_interval = number("seconds from 0.1 to 3600", lambda seconds: 0.1 <= seconds <= 3600)

_Said = dict[str, dict[str, Any]]


def add(subcommands: Any) -> None:
    """Add the subcommand."""
    parser = asking(subcommands, "top", "watch a running proxy", f"{__doc__} Ctrl-C ends it.", _ask)
    parser.add_argument("--once", action="store_true", help="print it once; so it is also where there is no terminal")
    parser.add_argument("--by", choices=ORDERS, default="hits", help="the order of the keys [default: hits]")
    parser.add_argument("--limit", metavar="KEYS", type=whole, default=20, help="how many keys [default: 20]")
    parser.add_argument(
        "--interval", metavar="SECONDS", type=_interval, default=1.0, help="between two looks [default: 1]"
    )


async def _ask(arguments: argparse.Namespace, client: AdminClient, page: Page) -> int:
    said = await _look(arguments, client)
    if not arguments.once and (arguments.json or page.terminal):
        await (_lines if arguments.json else _live)(arguments, client, page, said)
    elif arguments.json:
        page.json(said)
    else:
        page.facts(status.facts(said["status"]))
        for title, columns, rows in _tables(said):
            page.line()
            page.table(columns, rows, title)
    return Exit.OK


async def _look(arguments: argparse.Namespace, client: AdminClient) -> _Said:
    return {
        "status": await client.get("/v1/status", "version"),
        "flights": await client.get("/v1/flights", "flights"),
        "top": await client.get("/v1/top", "top", by=arguments.by, limit=arguments.limit),
    }


async def _pause(arguments: argparse.Namespace) -> None:
    from twisted.internet import reactor, task

    await task.deferLater(reactor, arguments.interval)


async def _lines(arguments: argparse.Namespace, client: AdminClient, page: Page, said: _Said) -> None:
    while True:
        page.json(said, line=True)
        await _pause(arguments)
        said = await _look(arguments, client)


async def _live(arguments: argparse.Namespace, client: AdminClient, page: Page, said: _Said) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    with Live(_screen(said), console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(_screen(said), refresh=True)
            await _pause(arguments)
            try:
                said = await _look(arguments, client)
            except Unreachable as error:
                # It may come back: the last figures stay, and are said to be old.
                live.update(_screen(said, f"{error}; trying again"), refresh=True)


def _screen(said: _Said, problem: str | None = None) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    # The keys have to fit as well, on a terminal of 24 lines.
    verdicts = "  ".join(f"{name} {figure}" for name, figure in status.verdicts(said["status"]))
    grid = Table.grid(padding=(0, 2))
    for name, value in [*status.facts(said["status"]), ("per second", verdicts)]:
        grid.add_row(Text(name, "bold cyan"), Text(visible(value), overflow="ellipsis", no_wrap=True))
    parts: list[RenderableType] = [grid]
    if problem is not None:
        parts.insert(0, Text(visible(problem), "bold red"))
    parts += [table(columns, rows, title) for title, columns, rows in _tables(said)[1:] if rows]
    return Group(*parts)


def _tables(said: _Said) -> list[tuple[str, Sequence[str], Sequence[Sequence[str]]]]:
    """Title, columns, rows."""
    keys = [
        (
            count(key.get("hits")),
            count(key.get("misses")),
            size(key.get("bytes")),
            count(key.get("waiters")),
            str(key.get("url") or key.get("key")),
        )
        for key in said["top"]["top"]
    ]
    return [
        ("Requests by verdict", ("verdict", ">per second"), status.verdicts(said["status"])),
        ("Fetches in the air", flights.COLUMNS, flights.rows(said["flights"])[:5]),
        ("Keys", _KEYS, keys),
    ]
