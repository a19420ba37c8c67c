"""Every word that says why, with the rule behind it: the one table that log, metrics and ``explain`` read.

A word may be said of a request (why it was answered as it was) and of an answer (why it was not stored); it means the
same in both places. A test reads the sources and finds no word that is missing here.
Must not know: who says which word when.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["GROUPS", "OTHER", "REASONS", "Reason", "reason"]


class Reason(NamedTuple):
    """A rule in words, and where it is laid down: an RFC's section, or the documentation's page."""

    rule: str
    section: str


#: What stands for a word that is not in the table.
OTHER: Final = "other"

_STALE = "RFC 9111 §4.2.4"
_STORE = "RFC 9111 §3"
_ORIGIN = "RFC 9110 §15.6"
_OURS = "docs: flights"
_ROUTE = "docs: configuration"

#: What was decided about a request.
_REQUESTS: Mapping[str, Reason] = {
    "hit": Reason("a stored answer that is fresh is sent without asking the origin", "RFC 9111 §4.2"),
    "miss": Reason("nothing usable is stored under the key", "RFC 9111 §4"),
    "stale": Reason("the stored answer is no longer fresh, and no window lets it be sent as it is", _STALE),
    "no-cache": Reason("the answer says no-cache: not to be sent without asking the origin", "RFC 9111 §5.2.2.4"),
    "reload": Reason("the request says no-cache: it wants an answer fetched after it was sent", "RFC 9111 §5.2.1.4"),
    "max-age": Reason("the request says max-age, and the stored answer is older", "RFC 9111 §5.2.1.1"),
    "min-fresh": Reason("the request says min-fresh, and the stored answer has less left", "RFC 9111 §5.2.1.3"),
    "max-stale": Reason("the request says max-stale, and the stored answer is stale by no more", "RFC 9111 §5.2.1.2"),
    "swr": Reason("stale, and inside its stale-while-revalidate window: sent at once, refreshed behind", "RFC 5861 §3"),
    "only-if-cached": Reason("the request says only-if-cached, and nothing may be sent as it is", "RFC 9111 §5.2.1.7"),
    "method": Reason("the method is not answered from the cache", "RFC 9111 §2"),
    "options": Reason("OPTIONS that may go no further, or asks about the server, is answered here", "RFC 9110 §7.6.2"),
    "precondition": Reason("If-Match and If-Unmodified-Since are for the origin to judge", "RFC 9111 §4.3.2"),
    "no-store": Reason("no-store: nothing of the exchange is stored, nor answered from the store", "RFC 9111 §5.2"),
    "authorization": Reason(
        "the request carries Authorization, and the answer does not say that it is for others too", "RFC 9111 §3.5"
    ),
    "cookie": Reason(
        "the request carries a Cookie, and the answer does not say that it is for everybody", "docs: security"
    ),
    "credentials": Reason(
        "the request says who asks in a field that is not keyed, and the answer does not say that it is for everybody",
        "docs: security",
    ),
    "hit-for-miss": Reason("the last answer could not be shared: nobody waits for the next one", _OURS),
    "vary": Reason("answers are stored, none of which this request's fields select", "RFC 9111 §4.1"),
    "long": Reason("longer than is stored: ranges of it are passed on", _ROUTE),
    "late": Reason("it had waited for the route's wait_deadline, and the route lets it ask on its own", _OURS),
    "body": Reason("the request has a body, which is not part of the key", "RFC 9110 §9.3.1"),
    "bypass": Reason("the route's bypass condition is met, by a client whose word counts", _ROUTE),
    "refresh": Reason("the route's refresh condition is met, by a client whose word counts", _ROUTE),
    "hook": Reason("the route's own code failed, or said no", _ROUTE),
    "protect": Reason("Redis is not to be had, and misses are not to reach the origin (redis-down: protect)", _ROUTE),
    "loop": Reason("the request has been through this proxy before: it is in Via", "RFC 9110 §7.6.3"),
    "wait": Reason("it had waited for the route's wait_stale, and stale is permitted", _OURS),
    "wait-deadline": Reason("no answer came within the route's wait_deadline", _OURS),
    "overflow": Reason("more wait already than may", _OURS),
    "shutdown": Reason("the proxy is being stopped", "docs: fleet"),
}

#: What was decided about an answer, when its head came.
_ANSWERS: Mapping[str, Reason] = {
    "stored": Reason("the answer may be stored, and was", _STORE),
    "kept-out": Reason("it might be stored, but for its size, too few uses, who asked, or a purge meanwhile", _ROUTE),
    "close-delimited": Reason("only the connection's end ends it, which may be too early", "RFC 9112 §6.3"),
    "interim": Reason("the answer is not a final one", _STORE),
    "partial": Reason("a part is not shared as the whole", "RFC 9111 §3.3"),
    "not-modified": Reason("304 answers the condition of one client", "RFC 9111 §4.3.3"),
    "unauthorized": Reason("the origin wants to know who asks", "RFC 9110 §15.5.2"),
    "range": Reason("416 answers the range of one client", "RFC 9110 §15.5.17"),
    "private": Reason("the answer says private: it is for one user", "RFC 9111 §5.2.2.7"),
    "must-understand": Reason("must-understand, with a status whose caching rules are not known", "RFC 9111 §5.2.2.3"),
    "set-cookie": Reason("the answer sets a cookie for one client", "RFC 6265 §3, docs: security"),
    "never-stored": Reason("428, 429, 431 and 511 are about whoever asked: no cache may store them", "RFC 6585"),
    "head": Reason("an answer to HEAD has no content to store", "RFC 9110 §9.3.2"),
    "no-freshness": Reason("the answer says nothing about its lifetime, and none may be guessed", "RFC 9111 §4.2.2"),
    "ttl-0": Reason("no lifetime, window or validator of use: it serves those who wait, nobody later", "RFC 9111 §4"),
    "expired": Reason("the answer came with more age than lifetime and windows allow", "RFC 9111 §4.2.3"),
    "hook-failed": Reason("the route's own code failed: nobody else gets the answer", _ROUTE),
}

#: What became of asking the origin.
_FAULTS: Mapping[str, Reason] = {
    "error": Reason("the origin answers with an error, or has just done so", "RFC 5861 §4"),
    "origin-error": Reason("the origin answered with an error to all who waited", _ORIGIN),
    "error-marker": Reason("another process has just had an error from the origin", _OURS),
    "unreachable": Reason("the origin cannot be reached: what is stored stands in", _STALE),
    "connect": Reason("the origin refuses connections, or cannot be found", _ORIGIN),
    "connect-timeout": Reason("the origin did not take the connection in time", "RFC 9110 §15.6.5"),
    "timeout": Reason("the origin did not answer in time", "RFC 9110 §15.6.5"),
    "reset": Reason("the connection was lost before the origin's answer began", "RFC 9110 §15.6.3"),
    "malformed": Reason("the origin's answer is not one that may be passed on", "RFC 9110 §15.6.3"),
    "overloaded": Reason("no connection to the origin was free in time", "RFC 9110 §15.6.4"),
    "truncated": Reason("the origin's answer ended before its end", "RFC 9112 §8"),
    "internal": Reason("a fault of the code that asks the origin, not of the origin", "RFC 9110 §15.6.3"),
    "cancelled": Reason("nobody was left to wait for the origin's answer", _OURS),
}

#: Why a request got no further than the door.
_REFUSALS: Mapping[str, Reason] = {
    "malformed header field": Reason("a field line is a token, a colon, and visible text", "RFC 9112 §5"),
    "ambiguous header field name": Reason("a name that some read as another one's", "RFC 9110 §5.1"),
    "too many header fields": Reason("more field lines than are taken", "RFC 6585 §5"),
    "header fields too large": Reason("a head of more bytes than are taken", "RFC 6585 §5"),
    "target too long": Reason("a target of more bytes than are taken", "RFC 9110 §15.5.15"),
    "malformed line end": Reason("lines end with CR and LF", "RFC 9112 §2.2"),
    "malformed request line": Reason("a request line is method, target and version", "RFC 9112 §3"),
    "only HTTP/1 is spoken here": Reason("another version of HTTP", "RFC 9110 §15.6.6"),
    "method is not a token": Reason("a method is a token", "RFC 9110 §9.1"),
    "method not allowed": Reason("CONNECT and TRACE are not for this proxy", "RFC 9110 §9.3.6"),
    "method not known here": Reason("a method that the site does not take", "RFC 9110 §15.6.2"),
    "exactly one Host is needed": Reason("HTTP/1.1 has exactly one Host", "RFC 9112 §3.2"),
    "Host is not a host": Reason("Host is a name or an address, and perhaps a port", "RFC 9110 §7.2"),
    "no such host here": Reason("a host that is not served", "RFC 9110 §15.5.20"),
    "target is for another authority": Reason("target and Host name one authority", "RFC 9112 §3.2.2"),
    "target has bytes it may not have": Reason("a target is visible ASCII, without a fragment", "RFC 9112 §3.2"),
    "malformed Content-Length": Reason("Content-Length is one number", "RFC 9112 §6.2"),
    "both Content-Length and Transfer-Encoding": Reason("a body's end is told in one way", "RFC 9112 §6.3"),
    "Transfer-Encoding in HTTP/1.0": Reason("HTTP/1.0 knows no Transfer-Encoding", "RFC 9112 §6.1"),
    "repeated Transfer-Encoding": Reason("a body's end is told once", "RFC 9112 §6.1"),
    "transfer coding not understood": Reason("no coding is understood but chunked", "RFC 9112 §6.1"),
    "expectation not understood": Reason("no expectation is understood but 100-continue", "RFC 9110 §10.1.1"),
    "body too large": Reason("a body of more bytes than are taken", "RFC 9110 §15.5.14"),
    "malformed form": Reason("a multipart form has the parts that it announces", "RFC 7578 §4.1"),
    "chunked body: line too long": Reason("a chunk's first line is a size and little else", "RFC 9112 §7.1"),
    "chunked body: malformed line end": Reason("lines end with CR and LF", "RFC 9112 §7.1"),
    "chunked body: too much beside the body": Reason("extensions and trailers are bounded", "RFC 9112 §7.1.1"),
    "chunked body: malformed size": Reason("a chunk's size is a hexadecimal number", "RFC 9112 §7.1"),
    "chunked body: chunk longer than its size": Reason("a chunk is as long as it says", "RFC 9112 §7.1"),
    "chunked body: malformed trailer": Reason("trailers are field lines", "RFC 9112 §7.1.2"),
    "the request took too long": Reason("the head of a request has to come in time", "RFC 9110 §15.5.9"),
    "the body took too long": Reason("the body of a request has to come in time", "RFC 9110 §15.5.9"),
    "the answer took too long": Reason("no answer could be begun in time", "RFC 9110 §15.6.5"),
    "internal error": Reason("a fault of the proxy's own", "RFC 9110 §15.6.1"),
    "too many connections": Reason("more connections than are taken", "RFC 9110 §15.6.4"),
}

GROUPS: Final[Mapping[str, Mapping[str, Reason]]] = {
    "Of requests": _REQUESTS,
    "Of answers": _ANSWERS,
    "Of asking the origin": _FAULTS,
    "Of what is turned away at the door": _REFUSALS,
}

REASONS: Final[Mapping[str, Reason]] = {"": Reason("", ""), **_REQUESTS, **_ANSWERS, **_FAULTS, **_REFUSALS}


def reason(why: str) -> Reason:
    """The rule behind ``why``."""
    return REASONS.get(why) or Reason("", "")
