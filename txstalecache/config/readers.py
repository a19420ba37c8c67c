"""What a setting's value may be: one reader for each kind, for values of TOML and for texts of the command line alike.

A reader gives what the value means, or raises ValueError with one line: what was expected, what was got.
Must not know: which setting it reads, where that was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TypeVar

from txstalecache.config.units import parse_bytes, parse_seconds
from txstalecache.http.fields import HOP_BY_HOP, is_token
from txstalecache.http.pseudonym import Pseudonym
from txstalecache.origin.address import Address

__all__ = [
    "Network",
    "authority",
    "boolean",
    "choice",
    "condition",
    "count",
    "each",
    "every",
    "failures",
    "field_name",
    "fields",
    "host_names",
    "methods",
    "networks",
    "pattern",
    "positive",
    "positive_size",
    "pseudonym",
    "seconds",
    "seconds_from",
    "shown",
    "size",
    "size_within",
    "statuses",
    "text",
    "upstream_url",
    "word",
]

Network = IPv4Network | IPv6Network
S = TypeVar("S")
T = TypeVar("T")
E = TypeVar("E", bound=Enum)


def shown(value: object) -> str:
    """``value`` on one line, and not all of a long one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        said = ascii(str(value)) if isinstance(value, str | list | dict) else str(value)
    except (ValueError, RecursionError):  # more digits than Python writes, more tables in tables
        return "what is too long to be shown"
    return said if len(said) <= 80 else said[:77] + "..."


def _measured(parse: Callable[[str], T], value: object) -> T:
    """What ``parse`` makes of a number or a text."""
    try:
        return parse(value if isinstance(value, str) else shown(value))
    except ValueError as error:
        raise ValueError(f"{error}, got {shown(value)}") from None


def seconds(value: object) -> float:
    """Not negative; ``500ms``, ``5s``, ``10m``, ``1h``, ``7d`` too."""
    return _measured(parse_seconds, value)


def positive(value: object) -> float:
    """As ``seconds``, and not 0."""
    found = seconds(value)
    if found <= 0:
        raise ValueError(f"expected more than 0 seconds, got {shown(value)}")
    return found


def seconds_from(least: float) -> Callable[[object], float]:
    """As ``seconds``, and not fewer than ``least``."""

    def read(value: object) -> float:
        found = seconds(value)
        if found < least:
            raise ValueError(f"expected at least {least:g} seconds, got {shown(value)}")
        return found

    return read


def size(value: object) -> int:
    """Bytes; ``512K``, ``64M``, ``1G`` too."""
    return _measured(parse_bytes, value)


def positive_size(value: object) -> int:
    """As ``size``, and not 0."""
    found = size(value)
    if found == 0:
        raise ValueError(f"expected more than 0 bytes, got {shown(value)}")
    return found


def size_within(least: int, most: int) -> Callable[[object], int]:
    """As ``size``, in these bounds."""

    def read(value: object) -> int:
        found = size(value)
        if not least <= found <= most:
            raise ValueError(f"expected {least} to {most} bytes, got {shown(value)}")
        return found

    return read


def count(least: int, most: int) -> Callable[[object], int]:
    """A whole number in these bounds."""

    def read(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"expected a whole number from {least} to {most}, got {shown(value)}")
        return value

    return read


def boolean(value: object) -> bool:
    """true or false."""
    if isinstance(value, bool):
        return value
    raise ValueError(f"expected true or false, got {shown(value)}")


def text(value: object) -> str:
    """A text of one line, not empty."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f"expected a text, got {shown(value)}")
    return value


def word(*known: str) -> Callable[[object], str]:
    """One of ``known``."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"expected {' or '.join(known)}, got {shown(value)}")
        return value

    return read


def choice(kind: type[E]) -> Callable[[object], E]:
    """One of the values of ``kind``."""
    read = word(*(one.value for one in kind))
    return lambda value: kind(read(value))


def every(values: Iterable[S], read: Callable[[S], T]) -> tuple[T, ...]:
    """What ``read`` makes of each; ValueError with all that is wrong, in one line."""
    found, wrong = [], []
    for one in values:
        try:
            found.append(read(one))
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("; ".join(wrong))
    return tuple(found)


def each(read: Callable[[object], T], what: str) -> Callable[[object], tuple[T, ...]]:
    """A list of what ``read`` reads; one of it alone will do."""

    def read_all(value: object) -> tuple[T, ...]:
        values = value if isinstance(value, list) else [value]
        if not values:
            raise ValueError(f"expected {what}, got an empty list")
        return every(values, read)

    return read_all


def pseudonym(value: object) -> str:
    """What a proxy calls itself."""
    if not isinstance(value, str):
        raise ValueError(f"expected a name, got {shown(value)}")
    Pseudonym(value)
    return value


def field_name(value: object) -> bytes:
    """The name of a header field, lower case."""
    name = value.encode("ascii", "replace") if isinstance(value, str) else b""
    if not is_token(name):
        raise ValueError(f"expected the name of a header field, got {shown(value)}")
    return name.lower()


#: Fields that frame a message or are about its connection: they are written by whoever sends it.
_OF_THE_WIRE = HOP_BY_HOP | {b"content-length"}


def fields(value: object) -> tuple[tuple[bytes, bytes], ...]:
    """A table of header fields: name and value. None that the message's framing or its connection are about."""
    if not isinstance(value, Mapping):
        raise ValueError(f'expected a table of fields ({{ X-Name = "value" }}), got {shown(value)}')
    return every(value.items(), _field)


def _field(field: tuple[object, object]) -> tuple[bytes, bytes]:
    name, content = field
    written = str(name).encode("ascii", "replace")
    if not is_token(written):
        raise ValueError(f"expected the name of a header field, got {shown(str(name))}")
    if written.lower() in _OF_THE_WIRE:
        raise ValueError(f"{name}: is about the connection or what follows on it, and not to be set")
    if not isinstance(content, str) or not content.isprintable() or not content.isascii():
        raise ValueError(f"{name}: expected a text of plain ASCII, got {shown(content)}")
    return written, content.strip().encode("ascii")


def condition(value: object) -> tuple[bytes, bytes | None]:
    """``X-Name`` (present, whatever it says) or ``X-Name: value``."""
    if not isinstance(value, str):
        raise ValueError(f'expected "X-Name" or "X-Name: value", got {shown(value)}')
    name, colon, wanted = value.partition(":")
    try:
        return field_name(name.strip()), wanted.strip().encode("ascii") if colon else None
    except ValueError:
        raise ValueError(f'expected "X-Name" or "X-Name: value", got {shown(value)}') from None


def networks(value: object) -> tuple[Network, ...]:
    """Addresses and networks: ``127.0.0.1``, ``10.0.0.0/8``, ``::1``."""
    return every(value if isinstance(value, list) else [value], _network)


def _network(value: object) -> Network:
    try:
        return ip_network(value if isinstance(value, str) else "?")
    except ValueError:
        raise ValueError(f"expected addresses or networks (like 127.0.0.1, 10.0.0.0/8), got {shown(value)}") from None


def methods(value: object) -> frozenset[bytes]:
    """What is answered from the cache: GET, HEAD, POST; as a list, or separated by commas."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list):
        raise ValueError(f"expected a list of GET, HEAD and POST, got {shown(value)}")
    found = frozenset(str(name).strip().upper().encode("ascii", "replace") for name in names)
    if b"GET" not in found or not found <= {b"GET", b"HEAD", b"POST"}:
        raise ValueError(f"expected GET, and perhaps HEAD and POST (others pass through uncached), got {shown(value)}")
    return found


def host_names(value: object) -> frozenset[bytes]:
    """Names of hosts, without port, lower case; ``*.example.com`` for all below it. A list, or separated by commas."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        raise ValueError(f"expected names of hosts (like example.com, *.example.com), got {shown(value)}")
    return frozenset(every(names, _host_name))


def _host_name(value: object) -> bytes:
    name = value.strip().lower() if isinstance(value, str) else ""
    if not re.fullmatch(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]", name):
        raise ValueError(f"expected names of hosts, without port (like example.com, *.example.com), got {shown(value)}")
    return name.encode("ascii")


def authority(value: object) -> bytes:
    """A host as it is sent, with a port or without: ``example.com``, ``bücher.example:8080``, ``[::1]``."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?", value) if isinstance(value, str) else None
    try:
        if found is None or int(found[2] or 0) > 65535:
            raise ValueError
        if found[1].startswith("["):
            host = b"[%b]" % str(IPv6Address(found[1][1:-1])).encode("ascii")
        else:
            # A name that the DNS cannot have raises here (RFC 3490 §4.1).
            host = found[1].encode("idna")
            if not re.fullmatch(rb"[A-Za-z0-9._-]{1,253}", host):
                raise ValueError
    except ValueError:
        raise ValueError(f"expected a host, perhaps with a port (like example.com:8080), got {shown(value)}") from None
    return host + (b":" + found[2].encode("ascii") if found[2] else b"")


def pattern(value: object) -> re.Pattern[str]:
    """A regular expression."""
    try:
        return re.compile(text(value))
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"expected a regular expression, got {shown(value)}: {error}") from None


def statuses(value: object) -> dict[int, float]:
    """A table of statuses and the seconds they are kept: ``{ 404 = "10s" }``."""
    if not isinstance(value, Mapping):
        raise ValueError(f'expected a table ({{ 404 = "10s" }}), got {shown(value)}')
    return dict(every(value.items(), _status))


def _status(kept: tuple[object, object]) -> tuple[int, float]:
    status, ttl = kept
    if not re.fullmatch(r"[2-5][0-9][0-9]", str(status)):
        raise ValueError(f"expected a status from 200 to 599, got {shown(str(status))}")
    try:
        return int(str(status)), seconds(ttl)
    except ValueError as error:
        raise ValueError(f"{status}: {error}") from None


def failures(value: object) -> frozenset[int]:
    """A list of statuses from 500 to 599; may be empty."""
    return frozenset(every(value if isinstance(value, list) else [value], count(500, 599)))


def upstream_url(value: object) -> str:
    """``http://HOST:PORT``, ``https://HOST:PORT`` or ``unix:/PATH``."""
    return str(Address.parse(text(value)))
