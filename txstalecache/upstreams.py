"""Origins from what is configured.

Must not know: routes, the file.
"""

from __future__ import annotations

from typing import Any

from txstalecache.config.schema import Policy
from txstalecache.config.toml import UpstreamPlan
from txstalecache.origin.balance import Chooser, by_hash, least_connections, round_robin
from txstalecache.origin.group import Address, Member, OriginGroup
from txstalecache.origin.health import Health, HealthCheck
from txstalecache.origin.http import HttpOrigin
from txstalecache.origin.interfaces import IOrigin
from txstalecache.origin.tls import TLS

__all__ = ["open_upstream"]

_CHOOSERS: dict[Policy, Chooser] = {
    Policy.ROUND_ROBIN: round_robin,
    Policy.LEAST_CONNECTIONS: least_connections,
    Policy.HASH: by_hash,
}


def open_upstream(reactor: Any, plan: UpstreamPlan) -> IOrigin:
    """The origin that ``plan`` means. ValueError in one line for a certificate that cannot be used."""
    values = plan.values
    tls = TLS(
        ca_file=values["ca_file"],
        server_name=values["server_name"],
        client_certificate=values["client_certificate"],
    )

    def server(url: str, connections: int, idle: float = 4.0) -> HttpOrigin:
        return HttpOrigin(
            reactor,
            url,
            max_connections=connections,
            queue=values["queue"],
            queue_wait=values["queue_wait"],
            idle=idle,
            tls=tls if url.startswith("https:") else None,
        )

    host = None if values["host"] is None else values["host"].encode("idna")
    address = Address(
        host=host,
        strip_prefix=(values["strip_prefix"] or "").encode("latin-1", "replace"),
        add_prefix=(values["add_prefix"] or "").encode("latin-1", "replace"),
    )
    path = values["health_path"]
    if len(plan.servers) == 1 and address == Address() and path is None:
        return server(plan.servers[0][0], values["max_connections"])
    members, checks = [], []
    # All are made before anything runs: a file that cannot be read leaves nothing behind.
    origins = [(url, weight, server(url, values["max_connections"])) for url, weight in plan.servers]
    for url, weight, origin in origins:
        health = Health(reactor, url, values["max_fails"], values["fail_timeout"])
        members.append(Member(url, origin, health, weight))
        if path is not None:
            asked = server(url, 1, idle=0.0)
            checks.append(
                HealthCheck(
                    reactor,
                    asked,
                    path,
                    host or asked.address.authority,
                    health.checked,
                    values["health_interval"],
                    values["health_timeout"],
                )
            )
    return OriginGroup(
        members,
        choose=_CHOOSERS[plan.policy],
        retry=values["retry"],
        address=address,
        closing=[check.close for check in checks],
    )
