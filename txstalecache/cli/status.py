"""``txstalecache status``: how a running proxy is."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from txstalecache.cli.asking import asking
from txstalecache.cli.exits import Exit
from txstalecache.cli.figures import count, rate, share, size, span
from txstalecache.cli.page import Page

if TYPE_CHECKING:
    from txstalecache.cli.client import AdminClient

__all__ = ["add", "facts", "upstreams", "verdicts"]


def add(subcommands: Any) -> None:
    """Add the subcommand."""
    asking(subcommands, "status", "tell how a running proxy is", __doc__, _ask)


async def _ask(arguments: argparse.Namespace, client: AdminClient, page: Page) -> int:
    said = await client.get("/v1/status", "version")
    if arguments.json:
        page.json(said)
        return Exit.OK
    page.facts(facts(said))
    for columns, rows in (
        (("verdict", ">per second"), verdicts(said)),
        (("upstream", "server", "health", ">open", ">waiting"), upstreams(said)),
    ):
        if rows:
            page.line()
            page.table(columns, rows)
    return Exit.OK


def facts(said: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures of a status, in the order of how often they are asked for."""
    process, latency, memory, store = (_part(said, name) for name in ("process", "latency", "memory", "store"))
    worker = process.get("worker")
    who = f"process {process.get('pid', '?')} on {process.get('host', '?')}" + (
        f", worker {worker}" if worker is not None else ""
    )
    return [
        ("version", f"{said.get('version', '?')}, up {span(said.get('uptime'))}"),
        ("tells of", {"process": who}.get(str(said.get("covers")), f"the {said.get('covers')}, asked of {who}")),
        ("requests", f"{rate(_part(said, 'rates').get('requests_per_second'))} per second"),
        ("hit ratio", share(said.get("hit_ratio"))),
        ("origin saved", f"{count(said.get('origin_saved'))} requests"),
        ("latency", ", ".join(f"{name} {span(latency.get(name))}" for name in ("p50", "p90", "p99"))),
        ("flights", f"{count(said.get('flights'))}, with {count(said.get('waiting'))} waiting"),
        (
            "memory",
            f"{size(memory.get('bytes'))} of {size(memory.get('limit'))}, entries: {count(memory.get('entries'))}",
        ),
        ("store", f"{store.get('describe', '?')}{' (degraded)' if store.get('degraded') else ''}"),
    ]


def verdicts(said: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Requests per second by verdict, the most frequent first."""
    by = _part(_part(said, "rates"), "by_verdict")
    known = [(str(name), number) for name, number in by.items() if isinstance(number, int | float)]
    return [(name, rate(number)) for name, number in sorted(known, key=lambda one: -one[1])]


def upstreams(said: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row per server."""
    return [
        (
            str(upstream.get("name")),
            str(server.get("address")),
            "healthy" if server.get("healthy") else "down",
            count(server.get("open")),
            count(server.get("waiting")),
        )
        for upstream in said.get("upstreams") or ()
        for server in upstream.get("servers") or ()
    ]


def _part(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = said.get(name)
    return part if isinstance(part, dict) else {}
