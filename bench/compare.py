"""Requests a second, side by side with what is installed: ``python bench/compare.py [--runs N] [--seconds S]``.

Needs ``wrk``; nginx, Varnish and a Redis server take part when they are there. Starts and stops everything itself, on
free ports, each server on one core, the client and the origin on another (several workers share both with the client).
The runs of the servers alternate, so that what else the machine does meets all of them; ratios are medians of those of
single rounds, with the smallest and the largest beside them. Takes about six minutes.
Exits 0 whatever comes out: machines differ.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.8,de;q=0.5",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: https://www.example.com/articles",
    "Cookie: consent=1; theme=dark",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
    "Priority: u=0, i",
    "Connection: keep-alive",
)

NGINX = """daemon off; master_process off; worker_processes 1; pid {dir}/pid; error_log stderr crit;
{modules}
events {{ worker_connections 4096; }}
http {{ access_log off; sendfile on;
 open_file_cache max=1000; keepalive_requests 1000000000; client_body_temp_path {dir}/b; proxy_temp_path {dir}/t;
 fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
 proxy_cache_path {dir}/c levels=1:2 keys_zone=c:10m; {lua}
 server {{ listen 127.0.0.1:{port} backlog=1024;
  location / {{ proxy_pass {origin}; {cache} }} {more} }} }}
"""

#: The stack that is succeeded, as it answers a hit: before anything else a subrequest asks Redis how long the key has
#: to live, by which it is seen whether it is stale; then another one gets it. One more stores.
SRCACHE = """
 location = /_ttl {{ internal; content_by_lua_block {{
   local r = require("nginx.redis"):new(); r:connect("127.0.0.1", {redis})
   local left = r:ttl(ngx.var.arg_key); r:set_keepalive(60000, 1024); ngx.print(left) }} }}
 location = /_get {{ internal; content_by_lua_block {{
   local r = require("nginx.redis"):new(); r:connect("127.0.0.1", {redis})
   local v = r:get(ngx.var.arg_key); r:set_keepalive(60000, 1024)
   if v == ngx.null then return ngx.exit(404) end; ngx.print(v) }} }}
 location = /_put {{ internal; client_max_body_size 1m; client_body_buffer_size 1m; content_by_lua_block {{
   ngx.req.read_body(); local r = require("nginx.redis"):new(); r:connect("127.0.0.1", {redis})
   r:setex(ngx.var.arg_key, 3600, ngx.req.get_body_data()); r:set_keepalive(60000, 1024) }} }}
"""
SRCACHED = """set $key $scheme$host$request_uri; set_escape_uri $k $key;
 rewrite_by_lua_block {{
   local left = tonumber(ngx.location.capture("/_ttl", {{args = {{key = ngx.var.k}}}}).body)
   if left >= 0 and left < 100 then ngx.exit(503) end }}
 srcache_fetch GET /_get key=$k; srcache_store PUT /_put key=$k;"""


class Server:
    """A process on one core (None: on any), that listens on ``port``."""

    def __init__(self, name: str, port: int, command: list[str], core: int | None) -> None:
        self.name, self.port = name, port
        self.pinned = core is not None
        quiet = subprocess.DEVNULL
        if core is not None and shutil.which("taskset"):
            command = ["taskset", "-c", str(core), *command]
        self.process = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)

    def up(self) -> bool:
        """Whether it answers on its port; waits up to 10 s."""
        for _ in range(200):
            if self.process.poll() is not None:
                return False
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return True
            time.sleep(0.05)
        return False

    def cpu(self) -> float:
        """Seconds of CPU time that the process has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def version(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except OSError:
        return ""
    return next(iter((done.stdout + done.stderr).splitlines()), "")


class Result:
    """One run: requests a second, 99th percentile in milliseconds, whether some answers were not as expected."""

    client = 0.0
    """Seconds of CPU time that the client took for each answer."""

    def __init__(self, rate: float, p99: float = 0.0, bad: bool = False) -> None:
        self.rate, self.p99, self.bad = rate, p99, bad

    @classmethod
    def of_wrk(cls, text: str) -> Result:
        rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
        late = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
        p99 = float(late[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[late[2]] if late else 0.0
        return cls(float(rate[1]) if rate else 0.0, p99, "Non-2xx" in text or "Socket errors" in text)


def client_cpu() -> float:
    """Seconds of CPU time that clients took which are through."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


#: Another key for each request.
COLD = """
local run, number = os.time(), 0
request = function() number = number + 1; return wrk.format(nil, wrk.path .. "?" .. run .. "-" .. number) end
"""


class Bench:
    """The client: ``core`` is its own, None: any."""

    def __init__(self, directory: str, core: int, seconds: int) -> None:
        self.core, self.seconds = core, seconds
        self.script = Path(directory) / "cold.lua"
        self.script.write_text(COLD)

    def _pinned(self, command: list[str], pinned: bool) -> str:
        if pinned and shutil.which("taskset"):
            command = ["taskset", "-c", str(self.core), *command]
        return subprocess.run(command, capture_output=True, text=True, timeout=self.seconds + 30).stdout

    def run(self, server: Server, case: Case, path: str, lines: tuple[str, ...] = (), seconds: int = 0) -> Result:
        """As many requests as go, for some seconds."""
        url = f"http://127.0.0.1:{server.port}{path}"
        command = ["wrk", "-t1", f"-c{case.connections}", f"-d{seconds or self.seconds}s", "--latency"]
        for line in lines:
            command += ["-H", line]
        if case.cold:
            command += ["-s", str(self.script)]
        before = client_cpu()
        result = Result.of_wrk(self._pinned([*command, url], server.pinned))
        if result.rate:
            result.client = (client_cpu() - before) / (result.rate * (seconds or self.seconds))
        return result

    def ask(self, server: Server, case: Case, method: str, path: str) -> Result:
        """The same by the client of ours: requests for each second of the server's CPU time."""
        command = [sys.executable, str(HERE / "keepalive.py"), str(server.port), method, path]
        before = server.cpu()
        said = self._pinned([*command, str(case.connections), str(self.seconds)], server.pinned)
        took = server.cpu() - before
        got, bad = (int(word) for word in said.split())
        return Result(got / took if took else 0.0, bad=bad > 0)


class Case:
    """Two contestants in one discipline, and what the first is to reach."""

    def __init__(
        self,
        what: str,
        ours: str,
        theirs: str,
        target: float,
        path: str = "/1024",
        connections: int = 32,
        lines: tuple[str, ...] = (),
        bare: str = "",
        method: str = "",
        cold: bool = False,
    ) -> None:
        self.what, self.ours, self.theirs, self.target = what, ours, theirs, target
        self.path, self.connections = path, connections
        self.lines, self.bare = lines, bare or path
        self.method, self.cold = method, cold

    @property
    def name(self) -> str:
        return f"{self.what} / {'bare hit' if self.ours == self.theirs else self.theirs}"

    def round(self, bench: Bench, made: dict[str, Server]) -> tuple[Result, Result]:
        """One run of each."""
        ours, theirs = made[self.ours], made[self.theirs]
        if self.method:
            return bench.ask(ours, self, self.method, self.path), bench.ask(theirs, self, "GET", self.bare)
        lines = () if ours is theirs else self.lines
        return bench.run(ours, self, self.path, self.lines), bench.run(theirs, self, self.bare, lines)


def cases() -> list[Case]:
    found: list[Case] = []
    for connections in (32, 256):
        for theirs, target in (("plain", 4.0), ("seed", 2.5), ("varnish", 1.0), ("nginx", 0.8)):
            found.append(Case(f"fresh, 1 KiB, {connections} conn.", "ours", theirs, target, connections=connections))
    found.append(Case("fresh, 64 KiB", "ours", "nginx", 0.9, "/65536"))
    found.append(Case("stale, refresh in the air", "ours", "ours", 0.95, "/stale/1024", bare="/1024"))
    found.append(Case("12 fields of a browser", "ours", "ours", 0.7, lines=BROWSER))
    found.append(Case("304", "ours", "ours", 0.7, lines=('If-None-Match: "1"',)))
    found.append(Case("HEAD", "ours", "ours", 0.7, method="HEAD"))
    found.append(Case("100 bytes of it", "ours", "ours", 0.7, lines=("Range: bytes=100-199",)))
    found.append(Case("from Redis, memory tier off", "redis", "seed", 0.6))
    found.append(Case("miss, not storable", "ours", "reverse", 2.0, "/none/1024"))
    found.append(Case("miss, each key cold, stored", "ours", "reverse", 2.0, cold=True))
    found.append(Case("the same, in Redis too", "tiers", "reverse", 0.0, cold=True))
    found.append(Case("the same, in Redis too", "tiers", "seed", 0.0, cold=True))
    found.append(Case("2 workers, fresh", "two", "one", 1.5))
    found.append(Case("2 workers, from Redis", "two-redis", "one-redis", 1.5))
    found.append(Case("lane", "ours", "ordinary", 1.0))
    return found


def start(directory: str, core: int, client: int, wanted: set[str]) -> tuple[dict[str, Server], list[Server]]:
    """Those of the contestants ``wanted`` that could be started, by name, and those behind them."""
    python = [sys.executable, str(HERE / "servers.py")]
    origin_port, redis_port = free_port(), free_port()
    origin = f"http://127.0.0.1:{origin_port}"
    # On the client's core: what is compared are the proxies.
    behind = [Server("origin", origin_port, [*python, "origin", str(origin_port), origin], client)]
    redis = shutil.which("redis-server") or shutil.which("valkey-server")
    if redis:
        options = ["--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        behind.append(Server("redis", redis_port, [redis, *options], core))
    for server in behind:
        server.up()
    made: dict[str, Server] = {}

    def add(name: str, command: Callable[[int], list[str]], pinned: bool = True) -> None:
        if name not in wanted:
            return
        port = free_port()
        server = Server(name, port, command(port), core if pinned else None)
        if server.up():
            made[name] = server
        else:
            print(f"{name}: does not start; left out")
            server.stop()

    def nginx(port: int, srcache: bool) -> list[str]:
        place = Path(directory) / ("seed" if srcache else "nginx")
        place.mkdir()
        modules, lua, cache, more = "", "", "proxy_cache c; proxy_cache_valid 200 1h;", ""
        if srcache:
            found = Path("/usr/lib/nginx/modules")
            names = ("ndk_http", "ngx_http_lua", "ngx_http_set_misc", "ngx_http_srcache_filter")
            modules = "\n".join(f"load_module {found}/{name}_module.so;" for name in names)
            lua = 'lua_package_path "/usr/share/lua/5.1/?.lua;;";'
            cache = SRCACHED.format()
            more = SRCACHE.format(redis=redis_port)
        text = NGINX.format(dir=place, port=port, origin=origin, modules=modules, lua=lua, cache=cache, more=more)
        (place / "conf").write_text(text)
        return ["nginx", "-p", str(place), "-c", str(place / "conf"), "-e", "stderr"]

    def service(port: int, *options: str) -> list[str]:
        twistd = [sys.executable, "-m", "twisted", "txstalecache", "--origin", origin, "--access-log", "none"]
        return [*twistd, "--listen", f"tcp:{port}:interface=127.0.0.1", *options]

    for name in ("plain", "ordinary", "reverse"):
        add(name, lambda port, name=name: [*python, name, str(port), origin])  # type: ignore[misc]
    add("ours", lambda port: service(port, "--redis", "memory"))
    if redis:
        where = f"redis://127.0.0.1:{redis_port}"
        for name, workers, memory, pinned in (
            ("redis", 1, "0", True), ("tiers", 1, "64M", True), ("one", 1, "64M", False),
            ("two", 2, "64M", False), ("one-redis", 1, "0", False), ("two-redis", 2, "0", False),
        ):  # fmt: skip
            more = ["--redis", where, "--workers", str(workers), "--memory", memory, "--prefix", f"{name}:"]
            add(name, lambda port, more=more: service(port, *more), pinned)  # type: ignore[misc]
    if shutil.which("nginx"):
        add("nginx", lambda port: nginx(port, False))
        if redis:
            add("seed", lambda port: nginx(port, True))
    if shutil.which("varnishd"):
        vcl = Path(directory) / "vcl"
        vcl.write_text(f'vcl 4.1; backend b {{ .host = "127.0.0.1"; .port = "{origin_port}"; }}\n')
        add(
            "varnish",
            lambda port: [
                *("varnishd", "-F", "-a", f"127.0.0.1:{port}", "-f", str(vcl), "-s", "malloc,64m"),
                *("-n", directory + "/v", "-p", "thread_pools=1"),
            ],
        )
    return made, behind


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=7)
    options.add_argument("--seconds", type=int, default=1)
    options.add_argument("--only", default="", help="cases whose name has this in it")
    chosen = options.parse_args()
    if not shutil.which("wrk"):
        print("bench: wrk is not installed (apt-get install wrk)", file=sys.stderr)
        return 1
    cores = sorted(os.sched_getaffinity(0))
    core, client = cores[0], cores[-1]
    print(f"{platform.platform()}, {len(cores)} cores, Python {platform.python_version()}")
    for command in (("wrk", "-v"), ("nginx", "-v"), ("varnishd", "-V"), ("redis-server", "--version")):
        if shutil.which(command[0]):
            print(version(*command))
    print(f"\n{'':<42}{'ours':>8} {'theirs':>8}  {'ratio':>6} {'spread':>15} {'target':>7}   p99 in ms")
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        compared = [case for case in cases() if chosen.only in case.name]
        wanted = {name for case in compared for name in (case.ours, case.theirs)}
        made, behind = start(directory, core, client, wanted)
        try:
            bench = Bench(directory, client, chosen.seconds)
            for case in compared:
                if case.ours in made and case.theirs in made:
                    compare(case, bench, made, chosen.runs)
                else:
                    print(f"{case.name:<42} left out: not installed")
        finally:
            for server in [*made.values(), *behind]:
                server.stop()
    return 0


WARM: set[tuple[str, str]] = set()


def compare(case: Case, bench: Bench, made: dict[str, Server], runs: int) -> None:
    for name, path in ((case.ours, case.path), (case.theirs, case.bare)):
        if (name, path) not in WARM:
            WARM.add((name, path))
            bench.run(made[name], case, path, seconds=1)
    if "stale" in case.path:
        time.sleep(1.5)
    pairs = [case.round(bench, made) for _ in range(runs)]
    ratios = [ours.rate / theirs.rate if theirs.rate else 0.0 for ours, theirs in pairs]
    mine, his = median(ours.rate for ours, _ in pairs), median(theirs.rate for _, theirs in pairs)
    late, later = median(ours.p99 for ours, _ in pairs), median(theirs.p99 for _, theirs in pairs)
    spread = f"{min(ratios):.2f} .. {max(ratios):.2f}"
    p99 = f"{late:.1f} / {later:.1f}" if late else ""
    bad = "  (errors!)" if any(one.bad for pair in pairs for one in pair) else ""
    missed = "  missed" if median(ratios) < case.target else ""
    rates = f"{case.name:<42}{mine:>8.0f} {his:>8.0f}  {median(ratios):>6.2f} {spread:>15} {case.target:>7.2f}"
    print(f"{rates}   {p99}{missed}{bad}", flush=True)
    if case.ours == "two":
        # One worker has a core to itself; two have what the client leaves of both.
        took = median(theirs.client for _, theirs in pairs)
        most = 2 / (1 + took * his)
        print(f"{'':<42}the client takes {took * 1e6:.1f} us for each: no more than {most:.2f} is to be had beside it")


if __name__ == "__main__":
    sys.exit(main())
