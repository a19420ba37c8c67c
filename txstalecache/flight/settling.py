"""Who of those who wait may have an entry that was stored or validated for one of them. Pure.

Must not know: stores, flights, clocks, connections.
"""

from __future__ import annotations

from dataclasses import replace

from txstalecache.flight.landing import Alone, Regroup, Settled
from txstalecache.http import policy, vary
from txstalecache.http.messages import RequestHead
from txstalecache.http.rules import Rules
from txstalecache.http.verdict import Fresh, Pass, Stale

__all__ = ["settled_for"]


def settled_for(request: RequestHead, settled: Settled, rules: Rules, now: float) -> Settled | Alone | Regroup | None:
    """What a wait of ``request`` comes to, now that there is ``settled``; None: to nothing yet, it would not have it
    without asking. What the origin has validated just now is as good as its answer."""
    entry = settled.entry
    if not vary.matches(entry.selector, request):
        return Regroup(tuple(name for name, _ in entry.selector))
    verdict = policy.judge(request, entry, None, rules, now)
    if isinstance(verdict, Pass):
        return Alone(verdict.why)
    if settled.validated or isinstance(verdict, Fresh):
        return settled
    return replace(settled, stale=verdict.why) if isinstance(verdict, Stale) else None
