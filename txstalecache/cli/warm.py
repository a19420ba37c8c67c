"""``txstalecache warm FILE|SITEMAP``: let the proxy fetch what clients will ask for, and see it through.

Whatever host a URL names, the proxy asks its own origin, as for a request with that name; so it does for the sitemap.
Ctrl-C cancels the job, unless ``--detach`` has left it to itself.
"""

from __future__ import annotations

import argparse
import sys
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from txstalecache.cli.asking import asking
from txstalecache.cli.exits import BadUsage, CommandError, Exit
from txstalecache.cli.figures import count
from txstalecache.cli.numbers import number, whole
from txstalecache.cli.page import Page, visible

if TYPE_CHECKING:
    from txstalecache.cli.client import AdminClient

__all__ = ["add"]

#: Bytes of a list of URLs.
MOST = 16 * 1024 * 1024
#: Seconds between two looks at the job.
PAUSE = 0.25
#: States of a job that is over.
OVER = ("done", "failed", "cancelled")

_positive = number("a number above 0", lambda found: 0 < found < inf)


def add(subcommands: Any) -> None:
    """Add the subcommand."""
    import shtab

    parser = asking(subcommands, "warm", "fill the cache from a list of URLs or a sitemap", __doc__, _ask)
    source = parser.add_argument(
        "source",
        metavar="FILE|SITEMAP",
        help="a file with one URL per line (- is standard input), or the http:// or https:// URL of a sitemap",
    )
    source.complete = shtab.FILE  # type: ignore[attr-defined]
    parser.add_argument("--rate", metavar="N", type=_positive, help="fetches begun per second, at most [default: 20]")
    parser.add_argument("--concurrency", metavar="N", type=whole, help="fetches at the same time, at most [default: 4]")
    parser.add_argument("--detach", action="store_true", help="print the job's name and leave; the proxy goes on")


async def _ask(arguments: argparse.Namespace, client: AdminClient, page: Page) -> int:
    from twisted.internet.defer import CancelledError

    said = _source(arguments.source)
    said |= {name: value for name in ("rate", "concurrency") if (value := getattr(arguments, name)) is not None}
    try:
        job = str((await client.post("/v1/warm", "job", said))["job"])
    except CancelledError:
        print("txstalecache warm: cancelled before it was known which job it is: it may go on", file=sys.stderr)
        return Exit.INTERRUPTED
    path = f"/v1/warm/{job}"
    if arguments.detach:
        if arguments.json:
            page.json({"job": job})
        else:
            page.line(job)
        return Exit.OK
    try:
        told = await _watch(client, path)
    except CancelledError:
        # Ctrl-C: the job is ours, and ends with us.
        try:
            told = await client.delete(path, "state")
            print(f"txstalecache warm: cancelled after {count(told.get('done'))} URLs", file=sys.stderr)
        except CommandError as error:
            print(f"txstalecache warm: the job goes on: {visible(error)}", file=sys.stderr)
        return Exit.INTERRUPTED
    if arguments.json:
        page.json({"job": job, **told})
    else:
        _conclude(page, told)
    return Exit.OK if told["state"] == "done" and not told.get("failed") else Exit.FAILED


def _source(source: str) -> dict[str, Any]:
    if source.startswith(("http://", "https://")):
        return {"sitemap": source}
    try:
        if source == "-":
            text = sys.stdin.buffer.read(MOST + 1)
        else:
            with Path(source).open("rb") as file:
                text = file.read(MOST + 1)
    except (OSError, ValueError) as error:
        raise BadUsage(f"{getattr(error, 'strerror', None) or error}: {source}") from None
    if len(text) > MOST:
        raise BadUsage(f"more than {MOST} bytes: {source}")
    if text.lstrip().startswith(b"<"):
        raise BadUsage(f"expected one URL per line, got XML; give a sitemap by its URL: {source}")
    try:
        lines = [line.strip() for line in text.decode("ascii").splitlines()]
    except UnicodeError:
        raise BadUsage(f"expected URLs in ASCII, percent-encoded as in requests: {source}") from None
    urls = [line for line in lines if line and not line.startswith("#")]
    if not urls:
        raise BadUsage(f"no URLs: {source}")
    if bad := next((url for url in urls if not url.startswith(("http://", "https://"))), None):
        raise BadUsage(f"expected http:// or https:// URLs, got {bad[:80]!a}: {source}")
    return {"urls": urls}


async def _watch(client: AdminClient, path: str) -> dict[str, Any]:
    """What the job says when it is over; on a terminal, how it goes on meanwhile."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from twisted.internet import reactor, task

    console = Console(stderr=True, highlight=False)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]} failed", style="red"),
        console=console,
        disable=not console.is_terminal,
        auto_refresh=False,
        transient=True,
    )
    with progress:
        bar = progress.add_task("warming", total=None, failed=0)
        while True:
            told = await client.get(path, "state")
            finished = int(told.get("done") or 0) + int(told.get("failed") or 0)
            progress.update(bar, completed=finished, total=told.get("total"), failed=told.get("failed") or 0)
            progress.refresh()
            if told["state"] in OVER:
                return told
            await task.deferLater(reactor, PAUSE)


def _conclude(page: Page, told: dict[str, Any]) -> None:
    page.line(
        f"{told['state']}: {count(told.get('done'))} of {count(told.get('total'))}, {count(told.get('failed'))} failed"
    )
    for error in told["errors"]:
        print(f"txstalecache warm: {visible(error['url'])}: {visible(error['problem'])}", file=sys.stderr)
