"""Every setting there is: its name, how it is read, what holds without it, what it means. One definition each.

The file's tables, ``txstalecache check`` and ``docs/configuration.rst`` are all made from this. So is what an option of
the command line means; only its default is repeated in ``options``, which loads nothing, and a test compares the two.
Must not know: how anything is built.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Any

from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import getPlugins

from txstalecache.config import readers as read
from txstalecache.flight.clocks import Late
from txstalecache.http.keys import DEFAULT_TEMPLATE, KeyTemplate
from txstalecache.http.rules import Cookies, Ranges
from txstalecache.store import address as redis_address

__all__ = [
    "ADMIN",
    "HOOKS",
    "LIMITS",
    "MATCH",
    "OF_CLIENTS",
    "OF_FLIGHTS",
    "PROXY",
    "REDIS",
    "ROUTE",
    "TABLES",
    "UPSTREAM",
    "Item",
    "Policy",
    "Table",
    "read_table",
    "spelled",
]


class Policy(Enum):
    """How the next server of an upstream is chosen."""

    ROUND_ROBIN = "round-robin"
    LEAST_CONNECTIONS = "least-connections"
    HASH = "hash"


@dataclass(frozen=True, slots=True)
class Item:
    """One setting. ``default`` as it would be written; None: nothing is said, ``without`` says what that means."""

    name: str
    read: Callable[[object], Any]
    default: object
    meaning: str
    without: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the file."""

    title: str
    meaning: str
    items: tuple[Item, ...]


#: Kinds of endpoints that Twisted has built in; others are plugins.
_BUILT_IN = frozenset({"tcp", "ssl", "unix"})
#: Those that begin with a port.
_OF_PORTS = frozenset({"tcp", "tcp6", "ssl"})


def _endpoint(value: object) -> str:
    # What else is in it is asked when there is a reactor to ask with: files, descriptors, other software's kinds.
    if not isinstance(value, str) or not re.match(r"[A-Za-z0-9_.-]+:.", value):
        raise ValueError(f"expected an endpoint (like tcp:8080:interface=127.0.0.1), got {read.shown(value)}")
    kind, _, rest = value.removeprefix("haproxy:").partition(":")
    known = _BUILT_IN.union(plugin.prefix for plugin in getPlugins(IStreamServerEndpointStringParser))
    if kind not in known:
        raise ValueError(f"expected an endpoint of a kind that Twisted knows (like tcp), got {read.shown(value)}")
    settings = re.split(r"(?<!\\):", rest)
    port = next((one[5:] for one in settings if one.startswith("port=")), settings[0])
    if kind in _OF_PORTS and not (re.fullmatch(r"[0-9]{1,5}", port) and int(port) <= 65535):
        raise ValueError(f"expected a port from 0 to 65535, got {read.shown(value)}")
    return value


def _redis(value: object) -> str:
    said = read.text(value)
    if said not in ("embedded", "memory"):
        try:
            redis_address.parse(said)
        except ValueError as error:
            raise ValueError(f"{error} (or embedded, or memory)") from None
    return said


def _prefix(value: object) -> str:
    # Braces would move the hash tag, patterns would change what is subscribed to.
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", value):
        raise ValueError(f"expected 1 to 64 letters, digits or ._:- , got {read.shown(value)}")
    return value


def _log(value: object) -> str | None:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("expected a file, - for standard output, or none")
    return None if value == "none" else value


def _key(value: object) -> KeyTemplate:
    return KeyTemplate.parse(value if isinstance(value, str) else "")


def _path(value: object) -> str:
    found = _target(value)
    if "?" in found:
        raise ValueError(f"expected a path, without a query, got {read.shown(value)}")
    return found


def _glob(value: object) -> str:
    return _target(value, "/*?[")


def _target(value: object, first: str = "/") -> str:
    # What requests have in their first line, and nothing else is sent: RFC 3986 §2.1.
    found = read.text(value)
    if found[0] not in first:
        raise ValueError(f"expected a path that begins with {' or '.join(first)}, got {read.shown(value)}")
    if not re.fullmatch(r"[!\"$-~]+", found):
        raise ValueError(f"expected ASCII without spaces, percent-encoded as in requests, got {read.shown(value)}")
    return found


def _verbs(value: object) -> frozenset[bytes]:
    return frozenset(name.upper() for name in read.each(read.field_name, "methods")(value))


def _hook(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][\w.]*[.:][A-Za-z_]\w*", value):
        raise ValueError(f"expected a dotted name (like shop.caching.key), got {read.shown(value)}")
    return value.replace(":", ".")


def _servers(value: object) -> tuple[tuple[str, int], ...]:
    """URLs, or tables with ``url`` and ``weight``."""
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError("expected at least one server")
    return read.every(enumerate(values, 1), _numbered) if len(values) > 1 else (_server(values[0]),)


def _numbered(numbered: tuple[int, object]) -> tuple[str, int]:
    number, value = numbered
    try:
        return _server(value)
    except ValueError as error:
        raise ValueError(f"server {number}: {error}") from None


def _server(value: object) -> tuple[str, int]:
    if not isinstance(value, Mapping):
        return read.upstream_url(value), 1
    if "url" not in value or set(value) - {"url", "weight"}:
        raise ValueError(f"expected a table with url, and perhaps weight, got {read.shown(dict(value))}")
    try:
        weight = read.count(1, 1000)(value.get("weight", 1))
    except ValueError as error:
        raise ValueError(f"weight: {error}") from None
    return read.upstream_url(value["url"]), weight


_MATCHES = "any"
_ORIGIN = "the origin decides"
_conditions = read.each(read.condition, "conditions")
_names = read.each(read.field_name, "names of fields")

PROXY = Table(
    "proxy",
    "The process. Changes need a restart.",
    (
        Item("listen", _endpoint, "tcp:8080:interface=127.0.0.1", "A Twisted server endpoint."),
        Item("workers", read.count(1, 256), 1, "Processes that answer, on one socket and one Redis."),
        Item("memory", read.size, "64M", "Entries kept in each process, in front of Redis."),
        Item("max_upload", read.size, "1M", "Larger request bodies get 413; they are streamed."),
        Item(
            "hosts",
            read.host_names,
            None,
            "Names in ``Host`` that are served, ``*.example.com`` for all below it; others get 421. Without port.",
            "all",
        ),
        Item(
            "name",
            read.pseudonym,
            "txstalecache",
            "In ``Via``, by which loops are seen, and ``Cache-Status``. Two in a row need two, a fleet has one.",
        ),
        Item("access_log", _log, "-", "A file, ``-`` for standard output, ``none``."),
        Item("access_log_format", read.word("combined", "json"), "combined", "``combined`` or ``json``."),
        Item(
            "trusted_proxies",
            read.networks,
            None,
            "Whose ``X-Forwarded-*`` and ``Forwarded`` are passed on, whose ``X-Forwarded-Proto`` is the scheme "
            "(also in keys), and whose ``X-Forwarded-For`` names the client in the access log; anybody else's are "
            "replaced.",
            "nobody's",
        ),
    ),
)

REDIS = Table(
    "redis",
    "Where entries are kept. Changes need a restart.",
    (
        Item(
            "url",
            _redis,
            "embedded",
            "``embedded`` (a private server), ``memory`` (no Redis), ``redis://``, ``rediss://``, ``unix://``, "
            "``redis+sentinel://HOST:PORT,HOST:PORT/MASTER``, ``rediss+sentinel://``; see :doc:`fleet`.",
        ),
        Item(
            "prefix", _prefix, "txsc:", "What every name in Redis begins with; proxies with one prefix share a cache."
        ),
        Item(
            "when_down",
            read.word("local", "protect"),
            "local",
            "``local``: each process caches and fetches for itself; ``protect``: 503 for what would be fetched.",
        ),
    ),
)

ADMIN = Table(
    "admin",
    "Where purges and questions are taken, for those who know the token. Changes need a restart.",
    (
        Item("listen", _endpoint, None, "A Twisted server endpoint; never the public one.", "there is none"),
        Item(
            "token_file",
            read.text,
            None,
            "The file with the token; required with ``listen``, unless ``$TXSTALECACHE_ADMIN_TOKEN`` has it.",
            "none",
        ),
        Item(
            "hosts",
            read.host_names,
            None,
            "Names it may be asked by, beside ``localhost`` and its address; others get 421.",
            "none",
        ),
    ),
)

#: What each connection may have in memory, whoever it is from.
_OF_A_CONNECTION = 1024 * 1024

#: What each fetch whose body is not held may have in memory.
_OF_A_FETCH = 64 * 1024 * 1024

#: As the fields of ``edge.limits.EdgeLimits``; ``max_upload`` and ``hosts`` are settings of the proxy.
OF_CLIENTS = (
    Item(
        "head",
        read.size_within(256, _OF_A_CONNECTION),
        "16K",
        "A request head with its request line, of 1M at most; beyond: 431.",
    ),
    Item("fields", read.count(1, 10_000), 100, "Field lines of a request head; beyond: 431."),
    Item("target", read.size_within(1, _OF_A_CONNECTION), "8K", "A request target, of 1M at most; beyond: 414."),
    Item("methods", _verbs, None, "Other methods get 501; CONNECT and TRACE 405 in any case.", "any"),
    Item("head_deadline", read.positive, "10s", "From the first byte of a head to its last; beyond: 408."),
    Item("idle", read.positive, "15s", "How long a connection may stand without a request."),
    Item("body_deadline", read.positive, "30s", "For a body, and a second for every ``body_rate`` bytes; beyond: 408."),
    Item("body_rate", read.positive_size, "1K", "The bytes a second that a body has to come with in the long run."),
    Item("request", read.positive, "60s", "From a complete request to the first byte of its answer; beyond: 504."),
    Item("stall", read.positive, "30s", "How long a client may take nothing of an answer; beyond: cut."),
    Item(
        "pipeline",
        read.size_within(0, _OF_A_CONNECTION),
        "16K",
        "Further requests that are read while one is answered, 1M at most.",
    ),
    Item("linger", read.seconds, "2s", "How long a client is still read from when its connection is given up."),
    Item("linger_bytes", read.size, "256K", "How much."),
    Item(
        "connections",
        read.count(1, 1_000_000),
        None,
        "At a time, and never more than by default; one more gets 503.",
        "the descriptors there are, less ``reserve``",
    ),
    Item("reserve", read.count(0, 1_000_000), 256, "Descriptors kept for origins, Redis and logs; a quarter at most."),
)

#: As the fields of ``flight.limits.Limits``.
OF_FLIGHTS = (
    Item(
        "waiters_per_key",
        read.count(1, 1_000_000),
        10_000,
        "Requests that wait for one fetch; beyond as with ``flights``.",
    ),
    Item("waiters", read.count(1, 10_000_000), 50_000, "Requests that wait for any; beyond likewise."),
    Item("flights", read.count(1, 10_000_000), 50_000, "Fetches in the air; beyond: stale where it may be, else 503."),
    Item("bytes_in_flight", read.size, "256M", "Bodies held while they are fetched; beyond, new ones are not stored."),
    Item(
        "bytes_being_read",
        read.size,
        "256M",
        "Bodies over 64 KiB being read, on top of ``memory``; beyond, who takes less than ``min_rate`` is cut off.",
    ),
    Item(
        "window",
        read.size_within(1, _OF_A_FETCH),
        "1M",
        "How far the slowest reader of a body that is not held may lag, 64M at most.",
    ),
    Item("min_rate", read.size, "64K", "A reader that holds others back and takes less than this a second is dropped."),
    Item("late_passes", read.count(0, 10_000), 4, '``late = "pass"``: how many of one key may go at a time.'),
    Item("error_marker", read.seconds, "1s", "How long a failure answers those who come next."),
    Item("retry_after", read.count(0, 86_400), 1, "Seconds, in ``Retry-After``."),
)

LIMITS = Table(
    "limits",
    "What one client may cost, and what may wait or be in the air, in each process. Changes need a restart.",
    OF_CLIENTS + OF_FLIGHTS,
)

UPSTREAM = Table(
    "upstream.NAME",
    "Servers that give the same answers.",
    (
        Item("servers", _servers, None, 'URLs, or ``{ url = "…", weight = 2 }``.', "required"),
        Item("policy", read.choice(Policy), "round-robin", "Or ``least-connections``, or ``hash`` (of the key)."),
        Item("max_connections", read.count(1, 65535), 64, "To each server at a time."),
        Item("queue", read.count(0, 1_000_000), 1000, "Requests that may wait for a connection; beyond: 503."),
        Item("queue_wait", read.positive, "5s", "For how long they may wait."),
        Item(
            "min_rate",
            read.size,
            "64K",
            "While any wait: a client that takes or sends less than this a second gives its connection up to them.",
        ),
        Item("max_fails", read.count(1, 1000), 3, "Failures in a row after which a server is left alone."),
        Item(
            "fail_statuses",
            read.failures,
            [500, 502, 503, 504],
            "Answers that count as failures, beside none at all; ``[]`` for none.",
        ),
        Item("fail_timeout", read.positive, "10s", "For how long it is left alone."),
        Item(
            "retry",
            read.boolean,
            True,
            "Send a request to one other server where the first cannot be reached; an idempotent one without body also "
            "where it breaks off or has no connection free, not where it is slow to answer.",
        ),
        Item(
            "health_path",
            _target,
            None,
            "Asked regularly; what is not 2xx or 3xx, twice in a row, takes the server out.",
            "not asked",
        ),
        Item("health_interval", read.seconds_from(0.01), "5s", "How often, ``10ms`` at least."),
        Item("health_timeout", read.positive, "2s", "For how long an answer is waited for."),
        Item("ca_file", read.text, None, "PEM of the authorities to trust.", "the system's"),
        Item("server_name", read.text, None, "The name to verify and to send as SNI.", "the URL's host"),
        Item("client_certificate", read.text, None, "PEM of a certificate and its key, to show.", "none"),
        Item("host", read.authority, None, "The ``Host`` to send.", "the client's"),
        Item(
            "strip_prefix",
            _path,
            None,
            "Taken off the path, whole segments only: ``/b`` off ``/b`` and ``/b/x``, nothing off ``/bx``.",
            "nothing",
        ),
        Item("add_prefix", _path, None, "Put before the path.", "nothing"),
    ),
)

MATCH = Table(
    "route.match",
    "Which requests a route is for: those that meet every condition given.",
    (
        Item("host", read.host_names, None, "Names; ``*.example.com`` for those below.", _MATCHES),
        Item("path", _path, None, "This path and no other.", _MATCHES),
        Item("prefix", _path, None, "Paths that begin so: ``/b`` is for ``/bx`` too, ``/b/`` is not.", _MATCHES),
        Item("glob", _glob, None, "``*`` and ``?`` stand for any characters.", _MATCHES),
        Item("regex", read.pattern, None, "Found anywhere in the path; ``^`` and ``$`` anchor it.", _MATCHES),
        Item("methods", _verbs, None, "The methods it is for.", _MATCHES),
    ),
)

HOOKS = Table(
    "route.hooks",
    "Python of one's own, by dotted name; see ``txstalecache.flight.hooks.Hooks``. What a hook says is taken at once: "
    "a coroutine or a Deferred is a hook that failed.",
    (
        Item("key", _hook, None, "``key(request) -> bytes``: one more part of the key.", "none"),
        Item("storable", _hook, None, "``storable(request, response) -> bool``.", "none"),
        Item("ttl", _hook, None, "``ttl(request, response) -> float | None``.", "none"),
        Item("tags", _hook, None, "``tags(request, response) -> list[bytes]``.", "none"),
        Item("before_store", _hook, None, "``before_store(request, entry) -> Entry | None``.", "none"),
    ),
)

ROUTE = Table(
    "route",
    "One set of rules; the first that matches is taken. What a route does not say, ``[defaults]`` says.",
    (
        Item("name", read.text, None, "For logs.", "its number"),
        Item("upstream", read.text, None, "The ``[upstream.NAME]`` asked.", "the first there is"),
        Item("key", _key, DEFAULT_TEMPLATE.text, "What identifies an answer; see *Keys*."),
        Item(
            "ttl",
            read.seconds,
            None,
            "Answers that may be shared are fresh for exactly this long: 200, 203, 204, 206, 300 to 303, 307 and 308, "
            "but for what says ``no-cache``.",
            _ORIGIN,
        ),
        Item("default_ttl", read.seconds, None, "As ``ttl``, where the origin gives no lifetime.", "none"),
        Item("max_ttl", read.seconds, None, "Longer lifetimes, be they ``ttl``, are cut to this.", "none"),
        Item("stale", read.seconds, None, "For this long past it, sent at once while one request refreshes.", _ORIGIN),
        Item("stale_if_error", read.seconds, None, "For this long past it, stands in for a failing origin.", _ORIGIN),
        Item(
            "grace",
            read.seconds,
            "5m",
            "How long what has no stale window is kept: to be validated, and to stand in for an origin that gives no "
            "answer.",
        ),
        Item("persist", read.boolean, False, "A stale entry that is being refreshed does not expire, nor its window."),
        Item("keep", read.seconds, "24h", "For how long past its lifetime, at most, ``persist`` keeps an entry."),
        Item("methods", read.methods, "GET,HEAD", "Answered from the cache. POST: body and type are part of the key."),
        Item("max_key_body", read.size, "64K", "Larger bodies of a cached POST pass through."),
        Item("statuses", read.statuses, None, 'Lifetimes of single statuses: ``{ 404 = "10s" }``.', _ORIGIN),
        Item("cookies", read.choice(Cookies), "pass", "``pass``, ``ignore``, or ``keyed``: those in the key matter."),
        Item(
            "store_set_cookie",
            read.boolean,
            False,
            "Store answers with ``Set-Cookie``, without it, where ``ttl`` or ``statuses`` says for how long.",
        ),
        Item("honour_cache_control", read.boolean, True, "false: of what the origin says only ``private`` counts."),
        Item("min_size", read.size, "0", "Smaller bodies are not stored."),
        Item("max_object", read.size, "8M", "Larger bodies pass through and are not stored."),
        Item(
            "ranges",
            read.choice(Ranges),
            "whole",
            "What a range of what is not stored fetches: the ``whole``, or that ``part``; see *Parts*.",
        ),
        Item("hit_for_miss", read.seconds, "2m", "How long it is known that an answer cannot be shared."),
        Item("min_uses", read.count(1, 1000), 1, "Store what has been asked for this often."),
        Item("refresh_ahead", read.boolean, False, "Refresh what is asked for often before it is stale (XFetch)."),
        Item(
            "encodings",
            read.each(read.field_name, "content codings"),
            None,
            "Reduce ``Accept-Encoding`` to these.",
            "left alone",
        ),
        Item("hide", _names, None, "Fields of answers that clients do not see.", "none"),
        Item("respond_with", read.fields, None, "Fields that every answer gets.", "none"),
        Item("strip", _names, None, "Fields of requests that the origin does not see.", "none"),
        Item("ask_with", read.fields, None, "Fields that every request to the origin gets.", "none"),
        Item("show_outcome", read.boolean, True, "Add ``X-Cache`` and ``X-Store``."),
        Item("bypass", _conditions, None, '``"X-Name"`` or ``"X-Name: value"``: passed, not stored.', "none"),
        Item("refresh", _conditions, None, "Likewise: fetched anew, and stored.", "none"),
        Item("trusted", read.networks, None, "Whose ``bypass`` and ``refresh`` count.", "nobody's"),
        Item("wait_stale", read.seconds, "1s", "After this a waiter gets any stale answer it may have."),
        Item("leader_age", read.positive, "5s", "A fetch without progress for so long gets one rival."),
        Item(
            "wait_deadline",
            read.positive,
            "15s",
            "After this who waits for the fetch of another is answered as ``late`` says.",
        ),
        Item("late", read.choice(Late), "504", "``504``, or ``pass``."),
        Item("connect", read.positive, "3s", "To the origin."),
        Item("first_byte", read.positive, "15s", "From the origin."),
        Item("between_bytes", read.positive, "15s", "From the origin."),
        Item("total", read.positive, "60s", "Of one fetch, but for what a client takes to send or to read."),
    ),
)

#: In the order they are described.
TABLES = (PROXY, REDIS, LIMITS, ADMIN, UPSTREAM, ROUTE, MATCH, HOOKS)


def read_table(
    table: Table, said: object, place: str, problems: list[str], *, others: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What ``said`` means, every item of ``table`` in it; what is wrong is added to ``problems``, with its place.

    ``others`` are keys that somebody else reads.
    """
    given: Mapping[str, object] = {}
    if isinstance(said, Mapping):
        given = said
    else:
        problems.append(f"{place}: expected a table, got {read.shown(said)}")
    known = [item.name for item in table.items]
    for name in given:
        if name not in known and name not in others:
            problems.append(f"{place}.{spelled(name)}: {unknown(name, [*known, *others])}")
    found: dict[str, Any] = {}
    for item in table.items:
        value = given.get(item.name, item.default)
        found[item.name] = None
        if value is not None:
            try:
                found[item.name] = item.read(value)
            except ValueError as error:
                problems.append(f"{place}.{item.name}: {error}")
                if item.default is not None:
                    found[item.name] = item.read(item.default)
    return found


def unknown(name: str, known: list[str]) -> str:
    """What to say of a name that is none."""
    close = get_close_matches(name.replace("-", "_"), known, 1)
    if close:
        return f"unknown; did you mean {spelled(close[0])}?"
    return f"unknown; expected one of {', '.join(map(spelled, sorted(known)))}"


def spelled(name: str) -> str:
    """``name`` as a file has it: bare, or quoted, and then on one line whatever is in it."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return name
    quoted = json.dumps(name, ensure_ascii=False)
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in quoted)
