"""``txstalecache purge SCOPE VALUE…``: make what is stored unusable, in every process that shares the Redis."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from txstalecache.cli.asking import asking
from txstalecache.cli.exits import Exit
from txstalecache.cli.explain import field, joined
from txstalecache.cli.figures import count
from txstalecache.cli.page import Page

if TYPE_CHECKING:
    from txstalecache.cli.client import AdminClient

__all__ = ["add"]

SCOPES = ("url", "variant", "tag", "prefix", "host", "all")


def add(subcommands: Any) -> None:
    """Add the subcommand."""
    parser = asking(subcommands, "purge", "make what is stored unusable, or stale", __doc__, _ask)
    parser.add_argument("scope", metavar="SCOPE", choices=SCOPES, help=f"one of {', '.join(SCOPES)}")
    parser.add_argument(
        "values",
        metavar="VALUE",
        nargs="*",
        help="what: http://HOST/PATH (or /PATH at every host), a host (with its port, but for 80 and 443), a tag; none "
        "for all",
    )
    parser.add_argument(
        "-H",
        "--header",
        dest="fields",
        metavar="'NAME: VALUE'",
        type=field,
        action="append",
        default=[],
        help="of a variant: a field of its requests, or NAME: alone where they have none; more than once for several",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--soft", dest="mode", action="store_const", const="soft", help="leave it as stale")
    how.add_argument(
        "--refresh", dest="mode", action="store_const", const="refresh", help="leave it as stale, and fetch a URL anew"
    )
    parser.add_argument("--dry-run", action="store_true", help="tell what would be purged, as far as is known")
    parser.set_defaults(mode="hard", check=_check)


def _check(arguments: argparse.Namespace) -> str | None:
    if (arguments.scope == "variant") is not bool(arguments.fields):
        return "purge variant needs --header" if arguments.scope == "variant" else "--header is for purge variant"
    if arguments.scope == "all":
        return f"purge all has no VALUE, got {arguments.values[0][:60]!a}" if arguments.values else None
    return None if arguments.values else f"purge {arguments.scope} needs a VALUE"


async def _ask(arguments: argparse.Namespace, client: AdminClient, page: Page) -> int:
    answers = []
    for value in arguments.values or (None,):
        said: dict[str, object] = {"scope": arguments.scope, "mode": arguments.mode, "dry": arguments.dry_run}
        if value is not None:
            said["value"] = value
        if arguments.fields:
            said["fields"] = {name: value or None for name, value in joined(arguments.fields).items()}
        answer = await client.post("/v1/purge", "purged", said)
        answers.append(answer)
        if not arguments.json:
            page.line(f"{arguments.scope}{'' if value is None else ' ' + value}: {_outcome(answer, arguments)}")
    if arguments.json:
        page.json(answers[0] if len(answers) == 1 else answers)
    return Exit.OK


def _outcome(answer: dict[str, Any], arguments: argparse.Namespace) -> str:
    known = answer.get("count")
    where = "stored" if answer.get("whole") else "in memory and any that only Redis has"
    entries = "" if known is None else f", {count(known)} {'entry' if known == 1 else 'entries'} {where}"
    if arguments.dry_run:
        return f"would be purged{entries}" if entries else "would be purged; how much that is, is not known"
    done = "stale now" if arguments.mode != "hard" else "purged"
    if answer.get("refreshing"):
        done += ", being fetched anew"
    later = "" if answer.get("everywhere") else "; here so far: told to Redis when it is back"
    return f"{done}{entries}{later}"
