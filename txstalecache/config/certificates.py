"""Whether the certificates that upstreams name can be used: looked at before anything starts.

Not when a file of settings is read again: what is in use then need not be readable any more.
Must not know: how connections are made.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence

from txstalecache.config.schema import spelled
from txstalecache.config.toml import UpstreamPlan

__all__ = ["unusable"]


def unusable(upstreams: Sequence[UpstreamPlan]) -> list[str]:
    """One line for each file that cannot be used, with its place."""
    problems = []
    for upstream in upstreams:
        for name, load in _LOADED.items():
            path = upstream.values[name]
            try:
                if path is not None:
                    load(path)
            except ValueError as error:
                problems.append(f"upstream.{spelled(upstream.name)}.{name}: {error}: {path}")
    return problems


def _authorities(path: str) -> None:
    _load(lambda: _context().load_verify_locations(path), "expected certificates in PEM")


def _certificate(path: str) -> None:
    # A passphrase would be asked for on the terminal.
    _load(lambda: _context().load_cert_chain(path, password=""), "expected a certificate and its key in PEM")


_LOADED = {"ca_file": _authorities, "client_certificate": _certificate}


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _load(load: Callable[[], None], expected: str) -> None:
    try:
        load()
    except ssl.SSLError:
        raise ValueError(expected) from None
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
