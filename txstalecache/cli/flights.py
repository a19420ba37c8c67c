"""``txstalecache flights``: what a running proxy is fetching, and who waits for it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from txstalecache.cli.asking import asking
from txstalecache.cli.exits import Exit
from txstalecache.cli.figures import count, size, span
from txstalecache.cli.page import Page

if TYPE_CHECKING:
    from txstalecache.cli.client import AdminClient

__all__ = ["COLUMNS", "add", "rows"]

COLUMNS = (">age", ">clients", ">bytes", "state", "for", "url")


def add(subcommands: Any) -> None:
    """Add the subcommand."""
    asking(subcommands, "flights", "list the fetches in the air", __doc__, _ask)


async def _ask(arguments: argparse.Namespace, client: AdminClient, page: Page) -> int:
    said = await client.get("/v1/flights", "flights")
    if arguments.json:
        page.json(said)
    elif said["flights"]:
        page.table(COLUMNS, rows(said))
    else:
        page.line("nothing is being fetched")
    return Exit.OK


def rows(said: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row per flight, the oldest first."""
    return [
        (
            span(flight.get("age")),
            count(int(flight.get("waiters") or 0) + int(flight.get("readers") or 0)),
            size(flight.get("bytes")),
            str(flight.get("state")),
            "refresh" if flight.get("refresh") else "clients",
            str(flight.get("url") or flight.get("key")),
        )
        for flight in sorted(said["flights"], key=lambda flight: -float(flight.get("age") or 0))
    ]
