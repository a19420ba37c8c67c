"""``txstalecache explain URL``: what would become of a request now, and by which rules. The origin is not asked."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from txstalecache.cli.asking import asking
from txstalecache.cli.exits import Exit
from txstalecache.cli.page import Page

if TYPE_CHECKING:
    from txstalecache.cli.client import AdminClient

__all__ = ["add", "field", "joined"]


def add(subcommands: Any) -> None:
    """Add the subcommand."""
    parser = asking(subcommands, "explain", "tell what would become of a request, and why", __doc__, _ask)
    parser.add_argument("url", metavar="URL", help="as a client would ask for it, with scheme and host")
    parser.add_argument(
        "-H",
        "--header",
        dest="fields",
        metavar="'NAME: VALUE'",
        type=field,
        action="append",
        default=[],
        help="a field of the request; more than once for several",
    )
    parser.add_argument("-X", "--method", metavar="METHOD", default="GET", help="its method [default: GET]")


def field(text: str) -> tuple[str, str]:
    """``Name: value``."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"expected 'Name: value', got {text[:60]!a}")
    return name.strip(), value.strip()


def joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Lines of one name as they are read: one value (RFC 9110 §5.3)."""
    fields: dict[str, str] = {}
    for name, value in pairs:
        known = next((one for one in fields if one.lower() == name.lower()), name)
        fields[known] = f"{fields[known]}, {value}" if known in fields else value
    return fields


async def _ask(arguments: argparse.Namespace, client: AdminClient, page: Page) -> int:
    said = await client.post(
        "/v1/explain",
        "verdict",
        {"url": arguments.url, "method": arguments.method, "fields": joined(arguments.fields)},
    )
    if arguments.json:
        page.json(said)
        return Exit.OK
    page.facts([(name, said.get(name) or "–") for name in ("url", "route", "key")])
    page.line()
    steps = said.get("steps") or ()
    page.table(
        ("", "step", "outcome", "rule", "section"),
        [
            (number, *(step.get(name) or "" for name in ("step", "outcome", "rule", "section")))
            for number, step in enumerate(steps, 1)
        ],
    )
    page.line()
    page.facts([("verdict", said["verdict"]), ("why", said.get("why") or "–")])
    return Exit.OK
