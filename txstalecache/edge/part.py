"""The stored part of an answer, where the whole is not stored.

Must not know: routes, clients, flights.
"""

from __future__ import annotations

from typing import Final

from txstalecache.http import parts, policy
from txstalecache.http.keys import Key
from txstalecache.http.messages import RequestHead
from txstalecache.http.rules import Rules
from txstalecache.http.verdict import Fresh, Miss, Pass, Refuse, Verdict
from txstalecache.store.interfaces import Found, IStore

__all__ = ["answering", "may_answer"]

#: The verdicts after which a stored part may still answer.
_AFTER: Final = (Miss, Pass, Refuse)


def may_answer(head: RequestHead, verdict: Verdict) -> bool:
    """Whether a part may answer ``head`` where the whole came to ``verdict``."""
    return isinstance(verdict, _AFTER) and parts.single(head)


async def answering(store: IStore, key: Key, head: RequestHead, rules: Rules) -> Fresh | None:
    """What the part comes to that ``head`` asks for; None: there is none, or it is not fresh."""
    found: Found = await store.lookup(parts.beside(key), head)
    entry = found.entry
    if entry is None or parts.cut(head, entry.fields, entry.length) is None:
        return None
    verdict = policy.judge(head, entry, None, rules, store.now())
    return verdict if isinstance(verdict, Fresh) else None
