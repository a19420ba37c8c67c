"""``txstalecache get URL``: what is stored for a URL: every variant with its fields, times, tags and place."""

from __future__ import annotations

import argparse
import base64
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from txstalecache.cli.asking import asking
from txstalecache.cli.exits import Exit, Failed
from txstalecache.cli.figures import size, span
from txstalecache.cli.page import Page

if TYPE_CHECKING:
    from txstalecache.cli.client import AdminClient

__all__ = ["add"]


def add(subcommands: Any) -> None:
    """Add the subcommand."""
    parser = asking(subcommands, "get", "show what is stored for a URL", __doc__, _ask)
    parser.add_argument("url", metavar="URL", help="as a client would ask for it, with scheme and host")
    parser.add_argument("--body", action="store_true", help="write the stored body instead, as it is")
    parser.add_argument("--variant", metavar="NUMBER", type=int, help="only this one, as the list numbers them, from 1")


async def _ask(arguments: argparse.Namespace, client: AdminClient, page: Page) -> int:
    said = await client.get("/v1/entry", "variants", url=arguments.url, **({"body": "true"} if arguments.body else {}))
    variants = list(enumerate(said["variants"], 1))
    if arguments.variant is not None:
        variants = [one for one in variants if one[0] == arguments.variant]
    if not variants:
        raise Failed(
            "there is 1 variant" if len(said["variants"]) == 1 else f"there are {len(said['variants'])} variants"
        )
    if arguments.body:
        if len(variants) > 1:
            raise Failed(f"there are {len(variants)} variants: say which, --variant 1 to {len(variants)}")
        sys.stdout.flush()
        sys.stdout.buffer.write(base64.b64decode(variants[0][1].get("body") or ""))
        sys.stdout.buffer.flush()
    elif arguments.json:
        page.json({**said, "variants": [variant for _, variant in variants]})
    else:
        for number, variant in variants:
            if number != variants[0][0]:
                page.line()
            _show(page, number, variant)
    return Exit.OK


def _show(page: Page, number: int, variant: Mapping[str, Any]) -> None:
    times = dict(variant.get("times") or {})
    # The proxy's, which may not be this host's.
    now = times.pop("now", time.time())
    # Null: it answers those who come without the field.
    said = (f"{name}: {'(absent)' if value is None else value}" for name, value in variant["selector"])
    chosen = ", ".join(said) or "any request"
    page.facts(
        [
            ("variant", f"{number}, for {chosen}"),
            ("status", variant.get("status")),
            ("size", size(variant.get("size"))),
            ("where", variant.get("where")),
            ("tags", " ".join(variant.get("tags") or ()) or "–"),
            *((name.replace("_", " "), _time(name, value, now)) for name, value in times.items()),
        ]
    )
    page.line()
    page.table(("field", "value"), [tuple(pair) for pair in variant.get("fields") or ()])


def _time(name: str, value: Any, now: float) -> str:
    if not isinstance(value, int | float):
        return str(value)
    if name == "age":
        return span(value)
    away = value - now
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(value))
    return f"{when} ({f'in {span(away)}' if away > 0 else f'{span(-away)} ago'})"
