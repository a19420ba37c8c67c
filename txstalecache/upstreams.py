"""Origins from what is configured.

Must not know: routes, the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from txstalecache.config.schema import Policy
from txstalecache.config.toml import UpstreamPlan
from txstalecache.origin.balance import Chooser, by_hash, least_connections, round_robin
from txstalecache.origin.group import Member, OriginGroup, Rewrite
from txstalecache.origin.health import Health, HealthCheck
from txstalecache.origin.http import HttpOrigin
from txstalecache.origin.interfaces import IOrigin
from txstalecache.origin.tls import TLS

__all__ = ["Upstream"]

_log = Logger()

_CHOOSERS: dict[Policy, Chooser] = {
    Policy.ROUND_ROBIN: round_robin,
    Policy.LEAST_CONNECTIONS: least_connections,
    Policy.HASH: by_hash,
}


@dataclass(frozen=True, slots=True)
class Upstream:
    """What ``plan`` means, with the certificates that its files held when it was opened."""

    plan: UpstreamPlan
    origin: IOrigin
    _certificates: Mapping[str, bytes]

    @classmethod
    def open(cls, reactor: Any, plan: UpstreamPlan) -> Upstream:
        """ValueError in one line for a certificate that cannot be used."""
        # First: what is written between the two is another's at the next look.
        certificates = {name: content for name, content in _certificates(plan).items() if isinstance(content, bytes)}
        return cls(plan, _origin(reactor, plan), certificates)

    def is_as(self, plan: UpstreamPlan) -> bool:
        """Whether it need not be opened anew: ``plan`` is the same, and so are the certificates. One that cannot be
        read any more, as by a process that has given up its rights, is taken to be."""
        if plan != self.plan:
            return False
        now = _certificates(plan)
        for name, content in now.items():
            if isinstance(content, OSError):
                _log.warn(
                    "upstream {name}: {file} is not read again: {why}",
                    name=plan.name,
                    file=plan.values[name],
                    why=content.strerror or content,
                )
        return all(
            isinstance(content, OSError) or content == self._certificates.get(name) for name, content in now.items()
        )


def _certificates(plan: UpstreamPlan) -> dict[str, bytes | OSError]:
    """What is in the files that ``plan`` names, or why that cannot be said."""
    found: dict[str, bytes | OSError] = {}
    for name in ("ca_file", "client_certificate"):
        path = plan.values[name]
        if path is not None:
            try:
                found[name] = Path(path).read_bytes()
            except OSError as error:
                found[name] = error
    return found


def _origin(reactor: Any, plan: UpstreamPlan) -> IOrigin:
    values = plan.values
    tls = TLS(
        ca_file=values["ca_file"],
        server_name=values["server_name"],
        client_certificate=values["client_certificate"],
    )

    def server(url: str) -> HttpOrigin:
        return HttpOrigin(
            reactor,
            url,
            max_connections=values["max_connections"],
            queue=values["queue"],
            queue_wait=values["queue_wait"],
            min_rate=values["min_rate"],
            tls=tls if url.startswith("https:") else None,
        )

    rewrite = Rewrite(
        host=values["host"],
        strip_prefix=(values["strip_prefix"] or "").encode("ascii"),
        add_prefix=(values["add_prefix"] or "").encode("ascii"),
    )
    # The only one there is is asked however it fails.
    fail_timeout = inf if len(plan.servers) == 1 else values["fail_timeout"]
    # All are made before anything runs: a file that cannot be read leaves nothing behind.
    members = [
        Member(url, server(url), Health(reactor, url, values["max_fails"], fail_timeout), weight)
        for url, weight in plan.servers
    ]
    checks = [] if values["health_path"] is None else _checks(reactor, members, rewrite.host, values)
    return OriginGroup(
        members,
        choose=_CHOOSERS[plan.policy],
        retry=values["retry"],
        fail_statuses=values["fail_statuses"],
        rewrite=rewrite,
        closing=[check.close for check in checks],
    )


def _checks(
    reactor: Any, members: Sequence[Member], host: bytes | None, values: Mapping[str, Any]
) -> list[HealthCheck]:
    # Late: treq takes its time to load, and only who checks has use for it.
    from txstalecache.origin.probe import Probe

    checks = []
    for member in members:
        origin = member.origin
        assert isinstance(origin, HttpOrigin)
        probe = Probe(reactor, origin.endpoint, values["health_path"], host or origin.address.authority)
        interval, timeout = values["health_interval"], values["health_timeout"]
        checks.append(HealthCheck(reactor, probe, member.health.checked, interval, timeout))
    return checks
