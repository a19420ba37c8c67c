"""What it costs to be watched: hits of one proxy with the dashboard open and metrics scraped each second, and without.

``python -m bench.observed [ROUNDS]`` runs one proxy with its admin interface on, and another without one. In each round
``wrk`` asks both for the same page, one after the other, in turns; while it asks the first one, a listener reads
``/v1/events`` as the dashboard does, and ``/metrics`` and ``/v1/top`` are fetched once a second. A table comes out:
hits a second, hits for a second of the process' own CPU time (which a busy machine disturbs less), and the ratios, the
median over the rounds with the lowest and the highest; and what being watched costs while nothing else goes on, which
no noise hides. The aim is 0.97 at least.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

import psutil

from tests.fleet.processes import Origin, Proxy, ask

__all__ = ["main"]

TOKEN = "a-token-of-some-length"
KNOWN = {"Authorization": f"Bearer {TOKEN}"}
SECONDS, CONNECTIONS = 4, 32
IDLE = 10.0
AIM = 0.97


class Side:
    """One of the two proxies, and what it did in each round."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.process = psutil.Process(proxy.process.pid)
        self.rates: list[float] = []
        self.frugal: list[float] = []

    def idle(self) -> float:
        """The part of a CPU that it takes while nobody asks for anything."""
        before, began = self.process.cpu_times(), time.monotonic()
        time.sleep(IDLE)
        after, ended = self.process.cpu_times(), time.monotonic()
        return float(after.user + after.system - before.user - before.system) / (ended - began)

    def round(self) -> None:
        """Ask for hits for a while."""
        before = self.process.cpu_times()
        url = f"http://127.0.0.1:{self.proxy.port}/page"
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}", url]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        after = self.process.cpu_times()
        found = re.search(r"(\d+) requests in ([\d.]+)s", told)
        assert found is not None, told
        assert "Non-2xx" not in told and "Socket errors" not in told, told
        hits = int(found[1])
        self.rates.append(hits / float(found[2]))
        self.frugal.append(hits / (after.user + after.system - before.user - before.system))


@contextmanager
def watched(port: int) -> Iterator[list[int]]:
    """While this lasts, somebody looks at the dashboard, and Prometheus scrapes once a second. How often each was
    answered."""
    seen = [0, 0]
    ended = threading.Event()

    def look() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/v1/events", headers=KNOWN)
        reply = connection.getresponse()
        while not ended.is_set():
            if reply.readline().startswith(b"event: status"):
                seen[0] += 1
        connection.close()

    def scrape() -> None:
        while not ended.wait(1.0):
            for path in ("/metrics", "/v1/top?by=hits"):
                status, _, _ = ask(port, path, **KNOWN)
                seen[1] += status == 200

    threads = [threading.Thread(target=target, daemon=True) for target in (look, scrape)]
    for thread in threads:
        thread.start()
    yield seen
    ended.set()
    for thread in threads:
        thread.join(20)


def spread(ratios: list[float]) -> str:
    """The median, and the lowest and highest."""
    return f"{median(ratios):.3f} [{min(ratios):.3f} - {max(ratios):.3f}]"


def main(arguments: list[str]) -> int:
    """Run and print; 1 when the aim is missed by the CPU time."""
    rounds = int(arguments[0]) if arguments else 7
    origin = Origin()
    origin.fields = {"Cache-Control": "max-age=3600"}
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "token").write_text(TOKEN)
        common = ("--origin", origin.url, "--redis", "memory", "--access-log", "none")
        admin = ("--admin", "tcp:0:interface=127.0.0.1", "--admin-token-file", str(place / "token"))
        plain, seen = Side(Proxy(place, *common)), Side(Proxy(place, *common, *admin))
        try:
            for side in (plain, seen):
                ask(side.proxy.port, "/page")
            for number in range(rounds):
                for side in (plain, seen) if number % 2 else (seen, plain):
                    if side is plain:
                        side.round()
                        continue
                    with watched(side.proxy.admin) as answered:
                        began = time.monotonic()
                        side.round()
                        lasted = time.monotonic() - began
                    assert answered[0] >= lasted - 2 and answered[1] >= 2 * (lasted - 2), (answered, lasted)
            quiet = plain.idle()
            with watched(seen.proxy.admin):
                busy = seen.idle()
        finally:
            plain.proxy.end()
            seen.proxy.end()
            origin.close()
    print(f"{rounds} rounds of {SECONDS} s, {CONNECTIONS} connections")
    print(f"{'':<24}{'plain':>10}{'watched':>10}   ratio")
    by_time = [b / a for a, b in zip(plain.rates, seen.rates, strict=True)]
    by_cpu = [b / a for a, b in zip(plain.frugal, seen.frugal, strict=True)]
    print(f"{'hits a second':<24}{median(plain.rates):>10.0f}{median(seen.rates):>10.0f}   {spread(by_time)}")
    print(f"{'hits a CPU second':<24}{median(plain.frugal):>10.0f}{median(seen.frugal):>10.0f}   {spread(by_cpu)}")
    print(f"{'of a CPU, idle':<24}{quiet:>10.4f}{busy:>10.4f}   {1 - busy + quiet:.3f}")
    print(f"aim: {AIM}")
    return 0 if median(by_cpu) >= AIM else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
