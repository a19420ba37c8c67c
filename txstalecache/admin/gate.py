"""Who may come in: whoever knows the token, by a name that is this interface's own.

Nothing here is for browsers' ambient authority: no cookies, no CORS. A page of another site cannot send the token; and
one whose name was made to point here (DNS rebinding) is turned away by its ``Host``.
Must not know: what is asked.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from hmac import compare_digest
from ipaddress import IPv4Address as IPv4
from ipaddress import IPv6Address as IPv6
from ipaddress import ip_address

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.web.http import Request

__all__ = ["Gate", "Refused"]


class Refused(Exception):
    """An answer of 4xx or 5xx."""

    def __init__(self, status: int, problem: str, **fields: str) -> None:
        super().__init__(problem)
        self.status = status
        self.fields = fields


class Gate:
    """``token`` is compared in constant time and shown nowhere; ``hosts``: more names (lower case) to come by."""

    def __init__(self, token: bytes, hosts: Collection[str] = ()) -> None:
        if not token:
            raise ValueError("an admin interface without a token is none")
        self._token = sha256(token).digest()
        self._hosts = frozenset(hosts)

    def known(self, request: Request) -> None:
        """Raises Refused unless ``request`` has the token."""
        lines = request.requestHeaders.getRawHeaders(b"authorization") or []
        scheme, _, token = (lines[0] if len(lines) == 1 else b"").partition(b" ")
        # Of equal length whatever was sent, so that not even the token's length can be timed.
        known = compare_digest(sha256(token.strip()).digest(), self._token)
        if scheme.lower() != b"bearer" or not known:
            raise Refused(401, "the token is missing or wrong", **{"WWW-Authenticate": "Bearer"})

    def named(self, request: Request) -> None:
        """Raises Refused unless ``request`` came by a name of ours: a loopback one, the address that it came to, or one
        that is allowed. What comes over a unix socket comes from no browser."""
        here = request.getHost()
        if not isinstance(here, IPv4Address | IPv6Address):
            return
        name = _name(request.requestHeaders.getRawHeaders(b"host", [b""])[0].decode("latin-1"))
        if name == "localhost" or name.endswith(".localhost") or name in self._hosts:
            return
        try:
            address = ip_address(name)
        except ValueError:
            pass
        else:
            if address.is_loopback or address in _addresses(here.host):
                return
        raise Refused(421, "not a name of the admin interface; --admin-hosts, or hosts in [admin], gives it more")


def _addresses(host: str) -> tuple[IPv4 | IPv6, ...]:
    """What ``host`` may be written as: an endpoint for IPv6 and IPv4 has the latter's mapped into the former."""
    address = ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6) else None
    return (address,) if mapped is None else (address, mapped)


def _name(host: str) -> str:
    """``Host`` without its port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")
