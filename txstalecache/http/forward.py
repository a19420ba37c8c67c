"""The fields that go on: to the origin on everybody's behalf, to the origin for one client, and back to the client.

Must not know: connections, who the client is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from txstalecache.http.cachecontrol import for_all
from txstalecache.http.fields import (
    CREDENTIALS,
    DESCRIBING,
    HOP_BY_HOP,
    delta_seconds,
    end_to_end,
    identifying,
    members,
)
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.pseudonym import OURS, Pseudonym
from txstalecache.http.remembered import remembered

__all__ = [
    "PRECONDITIONS",
    "alone",
    "conditional",
    "differ",
    "ends_here",
    "identified",
    "looped",
    "overrides",
    "response",
    "said",
    "says_all",
    "shared",
    "shared_response",
    "telling",
    "with_host",
]

#: RFC 9110 §13.1. A cache answers a client's own; on a shared fetch only the cache's go upstream.
PRECONDITIONS: Final = frozenset(
    {b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range"}
)

#: Words in the names of fields by which deployments tell an application who asks, from where, or for what: what no
#: standard defines and none of the answers' keys knows. An application that is told so by one client would tell all.
#: Not a list of what may pass: what no proxy knows must be passed on (RFC 9110 §5.1).
_TELLING: Final = frozenset(
    b"""
    access account acl addr address admin akamai amz amzn api apikey appengine arr auth authenticate authenticated
    authentication authorization aws azure backend base bearer bypass callback cdn cert certificate cf client
    cloudfront cluster code consumer cookie country csrf customer debug dest destination device dn domain edge email
    env environment envoy error fastly file fingerprint flag forward forwarded forwarder front frontend gateway geo
    geoip goog google group host hostname http https identity internal ip ips jwt key latitude lb locale location
    login longitude mail method middleware mobile mode nextjs operation org organization orig original
    originating origination override owner page param params password path peer permission permissions php pipe policy
    port prefix preview principal profile proto protocol proxy query real redirect region remote request requested
    requestor rewrite rewritten role roles root route router rsc s3 saml scheme scope script secret secure server
    service session shard signature site source ssl sso staging static store subdomain subject tenant theme
    timezone tls token tracking true trust trusted uid upstream uri url urls user userid username varnish vcap version
    vhost via virtual wap website wp xsrf zone
    """.split()
)

#: Standard fields of requests whose names have such a word in them, and what they say is for everybody to say.
_HARMLESS: Final = frozenset(
    b"""
    access-control-request-headers access-control-request-method access-control-request-private-network device-memory
    host sec-ch-ua-mobile sec-fetch-mode sec-fetch-site sec-fetch-user user-agent via x-requested-with
    """.split()
)

#: What every hop says about the one before it; on a fetch for one client ours replaces it.
_OF_THE_PATH: Final = frozenset(
    b"forwarded x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-real-ip".split()
)


@remembered(2048, longest=64)
def telling(name: bytes) -> bool:
    """Whether the field ``name`` (lower case) may say who asks, or for which host, path or method, beside the key.

    Such a field goes upstream for one client only, unless it is keyed or the answers are known to vary by it. So does
    one with ``_`` or ``.`` in its name: CGI and its heirs take it for the one with ``-`` there, which may be keyed.
    """
    if name in _HARMLESS:
        return False
    if b"_" in name or b"." in name or name.startswith(b"x-") or name == b"from" or name in _NOT_SHARED:
        return True
    return identifying(name) or not _TELLING.isdisjoint(name.split(b"-"))


_OF_THE_TRACE = (b"traceparent", b"tracestate")
_OF_THE_CONNECTION = frozenset({b"x-forwarded-for", b"x-forwarded-proto"})
_NOT_SHARED = CREDENTIALS | PRECONDITIONS | {b"expect", b"range"}
# What is not on a shared fetch because the cache answers it, or replaces it.
_TO_THE_CACHE = PRECONDITIONS | HOP_BY_HOP | _OF_THE_PATH | {b"expect", b"range"}
_READING = frozenset({b"GET", b"HEAD"})
_OF_A_BODY = DESCRIBING | {b"content-length"}


def with_host(fields: Fields, host: bytes) -> Fields:
    """``fields`` with ``Host`` as keys have it: sent as the client wrote it, what comes of one way of writing it would
    be kept for all."""
    said = fields.get(b"host")
    return fields if said is None or not host or said == host else fields.replacing(b"Host", host)


def _sent(request: RequestHead) -> Fields:
    return with_host(end_to_end(request.fields), request.host)


def shared(
    request: RequestHead, keyed: frozenset[bytes], extra: Fields = Fields(), pseudonym: Pseudonym = OURS
) -> Fields:
    """The fields of a fetch whose answer anybody with the same key may get.

    Whatever says who asks, asks for a part, sets conditions, overrides the target, or lets caches on the way be lax is
    left out, unless ``keyed`` (lower case) contains it: then everybody who shares sent the same. ``extra`` is added:
    our own conditions. It goes on from the proxy called ``pseudonym``.
    """
    if extra.pairs:
        return _shared(request, keyed, extra, pseudonym)
    reading = request.method in _READING
    question = (shared, keyed, reading, request.scheme, request.authority, pseudonym)
    return request.fields.once(question, lambda _: _shared(request, keyed, extra, pseudonym))


def _shared(request: RequestHead, keyed: frozenset[bytes], extra: Fields, pseudonym: Pseudonym) -> Fields:
    drop = _OF_A_BODY if request.method in _READING else frozenset()
    sent = _sent(request)
    left_out = [name for name in sent.names if name not in keyed and (name in drop or telling(name))]
    more = (*extra.pairs, pseudonym.passed)
    if b"x-forwarded-proto" not in keyed and (request.scheme != b"http" or b"x-forwarded-proto" in request.fields):
        # An origin behind us may have to know, and what a client says of it is poison: what the key says is not.
        more = ((b"X-Forwarded-Proto", request.scheme), *more)
    shared = sent.without(*left_out)
    wished = None if b"cache-control" in keyed else shared.get(b"cache-control")
    kept = wished and for_all(wished)
    if kept != wished:
        shared = shared.replacing(b"Cache-Control", kept) if kept else shared.without(b"cache-control")
    return shared.extended(more)


def said(request: RequestHead, keyed: frozenset[bytes]) -> bytes:
    """What ``shared`` sends of ``request``, as a digest of 16 bytes; where in a trace it is counts for nothing."""
    digest = blake2b(digest_size=16)
    for name, value in shared(request, keyed).without(*_OF_THE_TRACE):
        digest.update(b"%d:%b%d:%b" % (len(name), name.lower(), len(value), value))
    return digest.digest()


def differ(sent: Fields, other: Fields) -> bool:
    """Whether two fetches tell the origin different things; where in a trace they are counts for nothing."""
    return sent != other and sent.without(*_OF_THE_TRACE) != other.without(*_OF_THE_TRACE)


def overrides(name: bytes) -> bool:
    """Whether the field ``name`` (lower case), on a fetch for one client, may make the answer one that others should
    not get: ``telling``, but for what is judged by itself (who asks, conditions, ranges), and what this proxy says of
    the connection."""
    return telling(name) and not identifying(name) and name not in _NOT_SHARED and name not in _OF_THE_CONNECTION


def identified(said: Fields, known: Collection[bytes]) -> bool:
    """Whether some field of a request that no standard defines looks like saying who asks: an API key, a token.

    ``known`` (lower case) are the fields that whoever shares an answer has sent alike. As with a Cookie, only an origin
    that says explicitly that an answer is for everybody is taken to mean such a request as well.
    """
    for name in said.once(identifying, _identifying_names):  # noqa: SIM110 - every request goes through it
        if name not in known:
            return True
    return False


def _identifying_names(fields: Fields) -> tuple[bytes, ...]:
    names = tuple(fields.names)
    short = len(names) <= 32 and len(max(names, key=len, default=b"")) <= 64
    return _identifying_among(names) if short else _identifying_among.__wrapped__(names)


# Requests have the same names again and again. No more than a megabyte and a half of them is kept.
@lru_cache(512)
def _identifying_among(names: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return tuple(name for name in names if identifying(name) and name not in CREDENTIALS)


def conditional(fetch: RequestHead) -> bool:
    """Whether ``fetch`` carries a condition, a client's or ours."""
    return not PRECONDITIONS.isdisjoint(fetch.fields.names)


def says_all(fetch: RequestHead, request: RequestHead) -> bool:
    """Whether ``fetch`` says all that ``request`` says about who asks and for what."""
    return all(
        name in fetch.fields
        for name in request.fields.names
        if name in CREDENTIALS or (telling(name) and name not in _TO_THE_CACHE)
    )


def alone(
    request: RequestHead,
    hidden: Sequence[bytes] = (),
    shown: Sequence[tuple[bytes, bytes]] = (),
    pseudonym: Pseudonym = OURS,
) -> Fields:
    """The fields of a fetch for this client only: all of its end-to-end fields but ``hidden`` (lower case), and behind
    them what is ``shown`` in their place."""
    sent = _sent(request)
    hops = _hops(request)
    if hops:
        sent = sent.replacing(b"Max-Forwards", b"%d" % (hops - 1))
    return sent.without(*hidden).extended((pseudonym.passed, *shown))


def _hops(request: RequestHead) -> int | None:
    """How many more recipients an OPTIONS request may have (RFC 9110 §7.6.2); None: as many as it takes. Others may be
    passed on as they are, and TRACE is not."""
    return delta_seconds(request.fields.get(b"max-forwards")) if request.method == b"OPTIONS" else None


def ends_here(request: RequestHead) -> bool:
    """Whether an OPTIONS request is for this proxy itself: it may go no further, or is about the server as such
    (RFC 9110 §7.6.2, §9.3.7)."""
    return request.target == b"*" or _hops(request) == 0


def response(fields: Fields) -> Fields:
    """The fields of an answer on its way to a client (RFC 9110 §7.6), whatever an origin made of its contract."""
    return end_to_end(fields)


def shared_response(fields: Fields) -> Fields:
    """As ``response``, for an answer that others get too: without what was set for the one who asked."""
    return end_to_end(fields).without(b"set-cookie")


def looped(said: Fields, pseudonym: Pseudonym = OURS) -> bool:
    """Whether a request with these fields has been through the proxy called ``pseudonym`` before (RFC 9110 §7.6.3)."""
    value = said.get(b"via")
    if value is None:
        return False
    wanted = pseudonym.name.lower()
    for member in members(value):
        words = member.split(None, 2)
        if len(words) > 1 and words[1].lower() == wanted:
            return True
    return False
