"""Side by side: what fifty clients on one cold key cost, by txstalecache and by the caches installed here.

    .venv/bin/python bench/coalescing.py [--only NAME ...]

Starts an origin, then each cache in a directory of its own in front of it, configured to share fetches as well as it
can, plays the scenarios S1 to S10 of docs/flights.rst, and prints one table. What is not installed is left out. Needs
nothing but the standard library; origin and clients are one process, each cache its own. Takes a minute for each cache.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

CLIENTS = 50
GIVE_UP = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- the origin --------------------------------------------------------------------------------------------------------


class Origin:
    """Answers ``/<scenario>-<whatever>`` as the scenario says, and counts."""

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=4096)
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                path = head.split(" ")[1]
                self.hits[path] += 1
                await self._answer(path, head.lower(), writer)
        writer.close()

    async def _answer(self, path: str, head: str, writer: asyncio.StreamWriter) -> None:
        number = self.hits[path]
        body = b"%06d" % number
        status, delay, fields = 200, 0.5, "Cache-Control: max-age=60"
        match path.partition("-")[0]:
            case "/s1" | "/s4":
                delay = 1.0
            case "/s2":
                fields = "Cache-Control: private, no-store"
            case "/s2c":
                fields = f"Cache-Control: max-age=60\r\nSet-Cookie: who={number}"
            case "/s3":
                fields = "Cache-Control: public, max-age=0"
            case "/s5":
                status, fields = 503, "Cache-Control: no-store"
            case "/s6":
                piece = b"x" * 50_000
                writer.write(self._head(200, fields, 20 * len(piece)))
                for _ in range(20):
                    writer.write(piece)
                    await asyncio.sleep(0.1)
                return
            case "/s7":
                delay = 0.8 if number > 1 else 0.0
                fields = "Cache-Control: max-age=1, stale-while-revalidate=60"
            case "/s8":
                delay, status = 0.0, 200 if number == 1 else 503
                fields = "Cache-Control: max-age=1, stale-if-error=60" if number == 1 else "Cache-Control: no-store"
            case "/s9":
                await asyncio.sleep(3600)
            case "/s10":
                language = next(line for line in head.split("\r\n") if line.startswith("accept-language:"))
                body = language.encode()
                fields = "Cache-Control: max-age=1\r\nVary: Accept-Language"
            case _:
                delay = 0.0
        await asyncio.sleep(delay)
        writer.write(self._head(status, fields, len(body)) + body)

    def _head(self, status: int, fields: str, length: int) -> bytes:
        return (
            f"HTTP/1.1 {status} Scripted\r\nContent-Type: text/plain\r\n{fields}\r\nContent-Length: {length}\r\n\r\n"
        ).encode()


# -- clients -----------------------------------------------------------------------------------------------------------


@dataclass
class Got:
    """What one client got; times in seconds from its request. Status 0: nothing."""

    status: int = 0
    body: bytes = b""
    first: float = 0.0
    done: float = 0.0


async def ask(port: int, path: str, fields: str = "", leave: float = GIVE_UP) -> Got:
    """One request; the client leaves after ``leave`` seconds."""
    got, began = Got(), time.monotonic()

    async def run() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: bench.test\r\n{fields}Connection: close\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            data = await reader.read(65536)
            got.first = time.monotonic() - began
            got.body = data + await reader.read()
            got.status = int(head.split()[1])
        finally:
            writer.transport.abort()

    with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
        await asyncio.wait_for(run(), leave)
    got.done = time.monotonic() - began
    return got


async def crowd(port: int, path: str, count: int = CLIENTS) -> list[Got]:
    return list(await asyncio.gather(*[ask(port, path) for _ in range(count)]))


def median(got: list[Got]) -> str:
    return f"{statistics.median(one.done for one in got):.2f}"


def slowest(got: list[Got]) -> str:
    return f"{max(one.done for one in got):.2f}"


def statuses(got: list[Got]) -> str:
    return ", ".join(f"{count}×{status or 'none'}" for status, count in sorted(Counter(g.status for g in got).items()))


# -- the scenarios -----------------------------------------------------------------------------------------------------


@dataclass
class Play:
    """The scenarios in front of one cache."""

    origin: Origin
    port: int
    run: str
    told: dict[str, str] = field(default_factory=dict)

    def path(self, name: str) -> str:
        return f"/{name}-{self.run}"

    def hits(self, name: str) -> int:
        return self.origin.hits[self.path(name)]

    async def all(self) -> dict[str, str]:
        for scene in (self.s1, self.s2, self.s3, self.s4, self.s5, self.s6, self.s7, self.s8, self.s9, self.s10):
            await scene()
        return self.told

    async def s1(self) -> None:
        got = await crowd(self.port, self.path("s1"))
        self.told["S1 cold, cacheable, 1.00 s: hits / slowest"] = f"{self.hits('s1')} / {slowest(got)}"

    async def s2(self) -> None:
        path = self.path("s2")
        got = await crowd(self.port, path)
        shared = len(got) - len({one.body for one in got})
        self.told["S2 private, no-store, 0.50 s: median"] = median(got) + (f" ({shared} shared!)" if shared else "")
        self.told["S2b the same again: median"] = median(await crowd(self.port, path))
        got = await crowd(self.port, self.path("s2c"))
        shared = len(got) - len({one.body for one in got})
        self.told["S2c Set-Cookie, max-age=60: bodies shared / median"] = f"{shared} / {median(got)}"

    async def s3(self) -> None:
        got = await crowd(self.port, self.path("s3"))
        self.told["S3 public, max-age=0, 0.50 s: hits / median"] = f"{self.hits('s3')} / {median(got)}"

    async def s4(self) -> None:
        path = self.path("s4")
        leader = asyncio.ensure_future(ask(self.port, path, leave=0.3))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await crowd(self.port, path)
        await leader
        after = time.monotonic() - began + 0.1
        self.told["S4 leader leaves at 0.3 s of 1 s: hits / all done"] = f"{self.hits('s4')} / {after:.2f}"

    async def s5(self) -> None:
        got = await crowd(self.port, self.path("s5"))
        self.told["S5 always 503 no-store, 0.50 s: hits / median"] = f"{self.hits('s5')} / {median(got)}"

    async def s6(self) -> None:
        path = self.path("s6")
        first = asyncio.ensure_future(ask(self.port, path))
        await asyncio.sleep(0.3)
        late = await ask(self.port, path)
        await first
        self.told["S6 join 0.3 s into 2 s, 1 MB: first byte after"] = f"{late.first:.2f}"

    async def s7(self) -> None:
        path = self.path("s7")
        await ask(self.port, path)
        await asyncio.sleep(2.1)
        got = await crowd(self.port, path, 10)
        await asyncio.sleep(1.0)
        self.told["S7 stale inside SWR, 0.80 s: slowest / hits"] = f"{slowest(got)} / {self.hits('s7')}"

    async def s8(self) -> None:
        path = self.path("s8")
        await ask(self.port, path)
        await asyncio.sleep(2.1)
        got = await crowd(self.port, path, 10)
        self.told["S8 stale-if-error, origin 503: answers / tries"] = f"{statuses(got)} / {self.hits('s8') - 1}"

    async def s9(self) -> None:
        got = await crowd(self.port, self.path("s9"), 10)
        end = f"{slowest(got)}" if max(one.done for one in got) < GIVE_UP - 0.5 else f"> {GIVE_UP:.0f}"
        self.told["S9 origin hangs, 10 clients: hits / answers / end"] = f"{self.hits('s9')} / {statuses(got)} / {end}"

    async def s10(self) -> None:
        path = self.path("s10")
        for when in ("cold", "known"):
            before = self.hits("s10")
            got = await asyncio.gather(
                *[ask(self.port, path, f"Accept-Language: {lang}\r\n") for lang in ("de", "en", "fr", "it") * 10]
            )
            self.told[f"S10 4 variants × 10, 0.50 s, {when}: hits / median"] = (
                f"{self.hits('s10') - before} / {median(list(got))}"
            )
            await asyncio.sleep(2.1)


# -- the caches --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cache:
    """How one cache is found, asked for its version and started."""

    name: str
    program: str
    version: Callable[[str], str]
    start: Callable[[str, Path, int, int], list[str]]
    """Program, a directory, the port to listen on, the origin's; writes its configuration, gives the command."""


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return ((done.stdout + done.stderr).strip().splitlines() or ["?"])[0]


def _txstalecache(program: str, where: Path, port: int, origin: int) -> list[str]:
    return [
        program, "--nodaemon", f"--pidfile={where}/pid", f"--logfile={where}/log", "txstalecache",
        "--listen", f"tcp:{port}:interface=127.0.0.1", "--origin", f"http://127.0.0.1:{origin}",
        "--redis", "memory", "--access-log", f"{where}/access",
    ]  # fmt: skip


def _nginx(program: str, where: Path, port: int, origin: int) -> list[str]:
    config = where / "nginx.conf"
    config.write_text(f"""
daemon off; worker_processes 2; pid {where}/pid; error_log {where}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {where}/b; proxy_temp_path {where}/p; fastcgi_temp_path {where}/f;
  uwsgi_temp_path {where}/u; scgi_temp_path {where}/s;
  proxy_cache_path {where}/cache keys_zone=z:10m;
  upstream o {{ server 127.0.0.1:{origin}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache z; proxy_cache_lock on; proxy_cache_background_update on;
      proxy_cache_use_stale updating error timeout http_500 http_502 http_503 http_504;
    }}
  }}
}}
""")
    return [program, "-c", str(config), "-p", str(where)]


def _varnish(program: str, where: Path, port: int, origin: int) -> list[str]:
    config = where / "bench.vcl"
    config.write_text(f"""vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{origin}"; }}
sub vcl_backend_response {{
  if (beresp.http.Cache-Control ~ "stale-if-error") {{ set beresp.grace = 60s; }}
  if (beresp.status >= 500 && bereq.is_bgfetch) {{ return (abandon); }}
}}
""")
    return [
        program, "-F", "-n", str(where / "work"), "-a", f"127.0.0.1:{port}", "-f", str(config), "-s", "malloc,64m",
    ]  # fmt: skip


def _squid(program: str, where: Path, port: int, origin: int) -> list[str]:
    config = where / "squid.conf"
    config.write_text(f"""
http_port 127.0.0.1:{port} accel defaultsite=bench.test no-vhost
cache_peer 127.0.0.1 parent {origin} 0 no-query no-digest no-netdb-exchange originserver
http_access allow all
collapsed_forwarding on
cache_mem 64 MB
pid_filename {where}/pid
cache_log {where}/cache.log
access_log none
coredump_dir {where}
pinger_enable off
netdb_filename none
shutdown_lifetime 0 seconds
""")
    return [program, "-N", "-f", str(config)]


def _traffic_server(program: str, where: Path, port: int, origin: int) -> list[str]:
    config = where / "etc"
    shutil.copytree("/etc/trafficserver", config)
    places = {"prefix": "/usr", "sysconfdir": config}
    places |= {name: where / name for name in ("localstatedir", "runtimedir", "logdir", "cachedir")}
    for place in list(places.values())[2:]:
        Path(str(place)).mkdir()
    places |= {"exec_prefix": "/usr", "bindir": "/usr/bin", "sbindir": "/usr/bin", "datadir": config}
    places |= {"libdir": "/usr/lib/trafficserver", "libexecdir": "/usr/lib/trafficserver/modules"}
    places |= {"includedir": "/usr/include"}
    (where / "runroot.yaml").write_text("".join(f"{name}: {place}\n" for name, place in places.items()))
    (config / "records.config").write_text(f"""
CONFIG proxy.config.http.server_ports STRING {port}:ip-in=127.0.0.1
CONFIG proxy.config.admin.user_id STRING {"nobody" if os.getuid() == 0 else "#-1"}
CONFIG proxy.config.http.cache.required_headers INT 0
CONFIG proxy.config.cache.enable_read_while_writer INT 1
CONFIG proxy.config.http.background_fill_active_timeout INT 0
CONFIG proxy.config.http.background_fill_completed_threshold FLOAT 0.0
CONFIG proxy.config.http.cache.max_open_read_retries INT 50
CONFIG proxy.config.http.cache.open_read_retry_time INT 50
CONFIG proxy.config.http.cache.open_write_fail_action INT 0
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.reverse_proxy.enabled INT 1
""")
    (config / "remap.config").write_text(f"map / http://127.0.0.1:{origin}/\n")
    (config / "storage.config").write_text(f"{where}/storage 64M\n")
    (where / "storage").mkdir()
    for path in [where, *where.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o777)
    return [program, f"--run-root={where}/runroot.yaml"]


CACHES = (
    Cache("txstalecache", "twistd", lambda program: _ours(), _txstalecache),
    Cache("nginx", "nginx", lambda program: _said(program, "-v"), _nginx),
    Cache("Varnish", "varnishd", lambda program: _said(program, "-V"), _varnish),
    Cache("Squid", "squid", lambda program: _said(program, "-v"), _squid),
    Cache("Traffic Server", "traffic_server", lambda program: _said(program, "--version"), _traffic_server),
)


def _ours() -> str:
    from txstalecache import __version__

    return f"txstalecache {__version__}, Python {platform.python_version()}"


def _program(name: str) -> str | None:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")


@contextlib.contextmanager
def running(cache: Cache, program: str, origin: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The cache in a process group and a directory of its own, both gone afterwards."""
    where = Path(tempfile.mkdtemp(prefix="coalescing-"))
    where.chmod(0o777)
    port = free_port()
    try:
        with open(where / "output", "wb") as output:
            command = cache.start(program, where, port, origin)
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd=where, start_new_session=True)
        try:
            yield process, port
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()
    finally:
        shutil.rmtree(where, ignore_errors=True)


async def _up(process: subprocess.Popen[bytes], port: int) -> bool:
    for _ in range(200):
        if process.poll() is not None:
            return False
        if (await ask(port, "/ready", leave=1.0)).status == 200:
            return True
        await asyncio.sleep(0.1)
    return False


async def main(only: list[str]) -> int:
    """Play, print. 1: txstalecache itself did not run."""
    origin = Origin()
    origin_port = await origin.start()
    columns: dict[str, dict[str, str]] = {}
    versions = []
    for cache in CACHES:
        program = _program(cache.program)
        if only and cache.name.lower() not in only:
            continue
        if program is None:
            print(f"{cache.name}: not installed", file=sys.stderr)
            continue
        try:
            with running(cache, program, origin_port) as (process, port):
                if not await _up(process, port):
                    print(f"{cache.name}: did not start", file=sys.stderr)
                    continue
                print(f"{cache.name}: playing ...", file=sys.stderr)
                columns[cache.name] = await Play(origin, port, f"{cache.program}{os.getpid()}").all()
        except (OSError, subprocess.SubprocessError, IndexError) as problem:
            print(f"{cache.name}: {problem}", file=sys.stderr)
            continue
        versions.append(cache.version(program))
    _table(columns, versions)
    return 0 if "txstalecache" in columns or only else 1


def _table(columns: dict[str, dict[str, str]], versions: list[str]) -> None:
    rows = list(next(iter(columns.values()), {}))
    table = [["scenario", *columns], *[[row, *[told[row] for told in columns.values()]] for row in rows]]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    print(rule)
    for number, line in enumerate(table):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        if number in (0, len(table) - 1):
            print(rule)
    print(f"\n{platform.platform()}, {os.cpu_count()} CPUs; " + "; ".join(versions))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", default=[], type=str.lower, metavar="NAME", help="this cache alone")
    started: Awaitable[int] = main(parser.parse_args().only)
    sys.exit(asyncio.run(started))  # type: ignore[arg-type]
