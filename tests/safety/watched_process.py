"""The proxy as ``twistd txstalecache`` runs it, and a way to ask what it holds.

``python -m tests.safety.watched_process CEILINGS OPTIONS``; CEILINGS is JSON: resource limits by their names
(``{"AS": bytes, "NOFILE": count}``), and by how much this host's clock is wrong (``{"wall": seconds}``). Says
``ports N M``, M being the admin interface's or 0; then each line on standard input is answered by one of JSON: what is
in the air, descriptors, delayed calls, resident bytes. ``wall SECONDS`` moves the host's clock, as this process sees
it, ``limit NAME VALUE`` sets a limit; both are answered the same. Leaves as the proxy does on SIGTERM, and so it does
when its standard input ends.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from collections import Counter
from typing import Any

CEILINGS = json.loads(sys.argv[1]) if __name__ == "__main__" else {}
_moved = float(CEILINGS.pop("wall", 0))
_wall = time.time
# Before anybody takes it for a default argument.
time.time = lambda: _wall() + _moved

from tests.support.process import resident  # noqa: E402 - as said


def address_space() -> int:
    """Bytes of addresses in use."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _told(flight: Any) -> str:
    plan, body = flight.plan, flight.body
    asked = f"{plan.request.method.decode()} {plan.request.target.decode()}"
    many = f"{flight.waiting} waiters, {len(body.readers)} readers, {flight.attempts} attempts"
    return f"{asked}: {flight.state}, {plan.sharing}, {flight.purpose}, {many}, {body.length} bytes, ended {body.ended}"


def held(reactor: Any, service: Any) -> dict[str, Any]:
    """What the process has open, in the air and due."""
    gc.collect()
    registry = service._resource.registry
    calls = Counter(getattr(call.func, "__qualname__", repr(call.func)) for call in reactor.getDelayedCalls())
    return {
        "flights": len(registry.flights),
        "air": [_told(flight) for flight in registry.flights],
        "waiting": registry.waiting,
        "held": registry.held,
        "connections": len(service._site.channels),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "calls": calls,
        "resident": resident(),
        "addresses": address_space(),
        "stored": service._store.figures()["memory_bytes"],
        "degraded": service._store.degraded,
        "now": service._resource._store.now(),
    }


def main() -> None:
    """Run until SIGTERM."""
    from twisted.internet import reactor as installed
    from twisted.internet.stdio import StandardIO
    from twisted.internet.tcp import Port
    from twisted.logger import (
        FilteringLogObserver,
        LogLevel,
        LogLevelFilterPredicate,
        globalLogBeginner,
        textFileLogObserver,
    )
    from twisted.protocols.basic import LineReceiver

    from txstalecache.config.options import Options
    from txstalecache.tap import makeService

    reactor: Any = installed
    loud = FilteringLogObserver(
        textFileLogObserver(sys.stderr), [LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)]
    )
    globalLogBeginner.beginLoggingTo([loud], redirectStandardIO=False)
    for name, value in CEILINGS.items():
        # Below 0: so much more than there is now.
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (address_space() - value if value < 0 else value,) * 2)
    options = Options()
    options.parseOptions(["--listen", "tcp:0:interface=127.0.0.1", "--access-log", "none", *sys.argv[2:]])
    service: Any = makeService(options)

    class Questions(LineReceiver):
        delimiter = b"\n"

        def lineReceived(self, line: bytes) -> None:
            global _moved
            if line.startswith(b"wall "):
                _moved = float(line[5:])
            if line.startswith(b"limit "):
                _, name, value = line.decode().split()
                resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (int(value),) * 2)
            self.sendLine(json.dumps(held(reactor, service)).encode())

        def connectionLost(self, reason: object = None) -> None:
            if reactor.running:
                reactor.stop()

    service.privilegedStartService()
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)

    def ready(_: object) -> None:
        StandardIO(Questions())
        open_ = [reader for reader in reactor.getReaders() if isinstance(reader, Port)]
        ours, others = (
            [port.getHost().port for port in open_ if (port.factory is service._site) is is_ours]
            for is_ours in (True, False)
        )
        print("ports", ours[0], *(others or [0]))
        sys.stdout.flush()

    def failed(failure: Any) -> None:
        failure.printTraceback(sys.stderr)
        os._exit(70)

    reactor.callWhenRunning(lambda: service._store.ready().addBoth(ready).addErrback(failed))
    reactor.run()


if __name__ == "__main__":
    main()
