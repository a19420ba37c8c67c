"""The way to the upstream."""

from __future__ import annotations

from txstalecache.origin.address import Address
from txstalecache.origin.agent import AgentOrigin
from txstalecache.origin.http import HttpOrigin
from txstalecache.origin.interfaces import (
    Deadlines,
    Fault,
    Framing,
    IOrigin,
    IOriginResponse,
    OriginError,
    OriginRequest,
    Sink,
)
from txstalecache.origin.local import LocalOrigin
from txstalecache.origin.tls import TLS

__all__ = [
    "TLS",
    "Address",
    "AgentOrigin",
    "Deadlines",
    "Fault",
    "Framing",
    "HttpOrigin",
    "IOrigin",
    "IOriginResponse",
    "LocalOrigin",
    "OriginError",
    "OriginRequest",
    "Sink",
]
