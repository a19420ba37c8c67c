"""The stored part of an answer, where the whole is not stored.

Must not know: routes, clients, flights.
"""

from __future__ import annotations

from typing import Final

from txstalecache.http import parts, policy
from txstalecache.http.entry import Marker, MarkerKind
from txstalecache.http.keys import Key
from txstalecache.http.messages import RequestHead
from txstalecache.http.rules import Ranges, Rules
from txstalecache.http.verdict import Fresh, Miss, Pass, Refuse, Verdict
from txstalecache.store.interfaces import Found, IStore

__all__ = ["answering", "may_answer", "only"]

#: The verdicts after which a stored part may still answer.
_AFTER: Final = (Miss, Pass, Refuse)


def may_answer(head: RequestHead, verdict: Verdict) -> bool:
    """Whether a part may answer ``head`` where the whole came to ``verdict``."""
    return isinstance(verdict, _AFTER) and parts.single(head)


def only(rules: Rules, marker: Marker | None) -> bool:
    """Whether no more than the part is fetched, where it is not here: ``rules`` say so, or ``marker`` that the whole is
    too long to be stored."""
    return rules.ranges is Ranges.PART or (marker is not None and marker.kind is MarkerKind.LONG)


async def answering(store: IStore, key: Key, head: RequestHead, rules: Rules) -> Fresh | None:
    """What the part comes to that ``head`` asks for; None: there is none, or it is not fresh."""
    found: Found = await store.lookup(parts.beside(key), head)
    entry = found.entry
    if entry is None or parts.cut(head, entry.fields, entry.length) is None:
        return None
    verdict = policy.judge(head, entry, None, rules, store.now())
    return verdict if isinstance(verdict, Fresh) else None
