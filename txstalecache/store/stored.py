"""Everything that is stored under one key, for people who ask.

Must not know: who asks, and why.
"""

from __future__ import annotations

from txstalecache.http.entry import Entry, Selector
from txstalecache.http.keys import Key
from txstalecache.store.commands import Refused, Unavailable
from txstalecache.store.envelope import Opened
from txstalecache.store.remote import Remote
from txstalecache.store.tiered import TieredStore

__all__ = ["stored"]


async def stored(store: TieredStore, key: Key) -> list[tuple[Entry, float, str]]:
    """Every variant of ``key`` that may still be used, whoever asks for it; until when (fleet time), and where it is:
    ``memory``, ``redis`` or ``both``. Nothing is kept of what was read. Never fails."""
    held: dict[Selector, tuple[Entry, float, str]] = {
        one.selector: (one.entry, one.until, "memory") for one in store.at_hand(key) if one.entry is not None
    }
    remote = store.remote
    for opened in await _remote(remote, key) if remote is not None and remote.available else ():
        entry, chosen = opened.entry, opened.entry.selector
        known = held.get(chosen)
        if known is None or known[0].request_time < entry.request_time:
            held[chosen] = entry, opened.until, "redis"
        elif known[0].request_time == entry.request_time:
            held[chosen] = known[0], known[1], "both"
    now = store.now()
    usable = ((store.purges.apply(key, entry), until, where) for entry, until, where in held.values())
    return [(entry, until, where) for entry, until, where in usable if entry is not None and until > now]


async def _remote(remote: Remote, key: Key) -> list[Opened]:
    try:
        loaded = await remote.load(key, [], {})
        found = dict(loaded.entries)
        for row in loaded.rows:
            opened = await remote.fetch(key, row.selector, {})
            if opened is not None:
                found[row.selector] = opened
    except (Unavailable, Refused):
        return []
    return list(found.values())
