"""The command line of ``twistd txstalecache`` and ``twist txstalecache``.

Must not know: how anything is built. Loads nothing that is not needed to print ``--help``, and never the reactor:
``twist`` installs it after the options are read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, NoReturn

from twisted.python import usage

if TYPE_CHECKING:
    from txstalecache.config.settings import Settings

__all__ = ["Options"]

#: ``EX_USAGE`` of sysexits.h.
EX_USAGE = 64


class Options(usage.Options):
    """Options as texts; ``settings`` is what they mean, once they are parsed.

    Bad options end the process: one line on standard error for each, exit status 64.
    """

    synopsis = "--origin URL [options]"
    longdesc = (
        "A caching HTTP reverse proxy. What the origin allows to be cached is fetched once, however many ask for it, "
        "and served stale at once while it is fetched anew where the origin (stale-while-revalidate) or --stale allows "
        "it. "
        "SECONDS may be written 5, 0.5, 500ms, 10m, 1h, 7d; BYTES 1048576, 512K, 64M, 1G."
    )

    optParameters: ClassVar[list[list[str | None]]] = [
        [
            "listen",
            "l",
            "tcp:8080:interface=127.0.0.1",
            "ENDPOINT to listen on, as Twisted describes server endpoints.",
        ],
        [
            "origin",
            "o",
            None,
            "URL of the site to cache: http://HOST:PORT, https://HOST:PORT or unix:/PATH. Required but with --demo or "
            "--config; more than once for several servers that give the same answers.",
        ],
        [
            "redis",
            "r",
            "embedded",
            "Where entries are kept: embedded (a private server, started and stopped with the proxy), memory (this "
            "process alone), redis://[USER:PASSWORD@]HOST:PORT/DB, rediss:// (TLS) or unix:///PATH.",
        ],
        ["prefix", None, "txsc:", "What every name in Redis begins with. Proxies with one prefix share one cache."],
        [
            "ttl",
            None,
            None,
            "SECONDS an answer that may be shared is fresh, whatever lifetime the origin gives it; its private, "
            "no-store and no-cache still count. [default: the origin decides]",
        ],
        [
            "stale",
            None,
            None,
            "SECONDS past its ttl that an answer is served at once while one request refreshes it. [default: the "
            "origin decides, by stale-while-revalidate]",
        ],
        [
            "stale-if-error",
            None,
            None,
            "SECONDS past its ttl that an answer stands in for a failing origin. [default: the origin decides]",
        ],
        [
            "key",
            "k",
            "${scheme}${host}${request_uri}",
            "TEMPLATE of what identifies an answer, with nginx's names: $uri, $args, $http_NAME, $cookie_NAME, ...",
        ],
        ["methods", None, "GET,HEAD", "Methods answered from the cache, comma-separated: GET, HEAD, POST."],
        ["max-object", None, "8M", "BYTES of the largest body that is stored; larger ones pass through."],
        ["max-upload", None, "1M", "BYTES of the largest request body that is let through; larger ones get 413."],
        [
            "name",
            None,
            "txstalecache",
            "NAME in Via and Cache-Status. Two proxies in a row need two; all that share a Redis have one.",
        ],
        ["hosts", None, None, "NAMES in Host that are served, comma-separated; others get 421. [default: all]"],
        [
            "wait-deadline",
            None,
            "15",
            "SECONDS a request waits for the fetch of another before it gets 504. Who asked the origin waits for it.",
        ],
        ["memory", "m", "64M", "BYTES of entries kept in this process, in front of Redis. 0: none."],
        ["access-log", None, "-", "FILE the access log is appended to; - for standard output, none for no log."],
        ["access-log-format", None, "combined", "combined (and what the cache did), or json (one object per line)."],
        ["workers", "w", "1", "PROCESSES that answer, on one socket and one Redis; one that dies is started again."],
        [
            "redis-down",
            None,
            "local",
            "What to do without Redis: local (each process caches and fetches for itself) or protect (503 for what "
            "would have to be fetched).",
        ],
        [
            "admin",
            None,
            None,
            "ENDPOINT of the admin interface and its dashboard, for those who know the token; not the public one.",
        ],
        [
            "admin-token-file",
            None,
            None,
            "FILE with that token: 16 visible characters or more. [default: $TXSTALECACHE_ADMIN_TOKEN is the token]",
        ],
        ["admin-hosts", None, None, "NAMES the admin interface may be asked by, beside localhost and its address."],
        ["config", "c", None, "FILE (TOML) that says routes, upstreams and the rest; read again at SIGHUP."],
    ]

    optFlags: ClassVar[list[list[str]]] = [
        ["demo", "d", "Start a slow origin of its own, put the proxy in front of it, and say what to try with curl."],
    ]

    compData = usage.Completions(
        optActions={"access-log": usage.CompleteFiles(), "config": usage.CompleteFiles("*.toml")}
    )

    settings: Settings
    given: list[str]
    """The options as they were written, for the processes that are started with them."""

    def __init__(self, text: str | None = None, started: str | None = None) -> None:
        """``text`` and ``started``: as ``Settings.parse`` has them."""
        super().__init__()
        self._text, self._started = text, started
        # The defaults are for --help alone: what is not given is for the file to say.
        self.update(dict.fromkeys(self.defaults))
        self._origins: list[str] = []
        # More than once: usage has lists only for options with a method of their own, which would hide the default.
        self._dispatch["origin"] = usage.CoerceParameter(self, self._another_origin)

    def _another_origin(self, url: str) -> str:
        self._origins.append(url)
        return " ".join(self._origins)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        self.given = list(sys.argv[1:] if options is None else options)
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            # twistd would print all of its help instead of one line.
            self._refuse([str(error)])

    def parseArgs(self, *arguments: str) -> None:
        """There are only options."""
        if arguments:
            raise usage.UsageError(f"unexpected argument {arguments[0]!a}; options begin with --")

    def postOptions(self) -> None:
        # Late: --help has no use for it.
        from txstalecache.config.settings import DEFAULTS, Settings, SettingsError

        if self["config"] == "":
            self._refuse(["--config: expected the name of a file"])
        try:
            given = {name: self[name] for name in DEFAULTS}
            # twistd goes to its --rundir after this, and the file is read again there.
            config = None if self["config"] is None else os.path.abspath(self["config"])
            self.settings = Settings.parse(
                given, demo=bool(self["demo"]), config=config, text=self._text, started=self._started
            )
        except SettingsError as error:
            self._refuse(error.problems)

    def opt_version(self) -> None:
        """Display the version of txstalecache and exit."""
        from txstalecache import __version__

        print(f"txstalecache {__version__}")
        raise SystemExit(0)

    def _refuse(self, problems: list[str]) -> NoReturn:
        for problem in problems:
            print(f"txstalecache: {problem}", file=sys.stderr)
        raise SystemExit(EX_USAGE)
