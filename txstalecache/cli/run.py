"""``txstalecache run [FILE] [OPTIONS]``: the proxy in the foreground, as ``twist txstalecache`` starts it.

FILE is a TOML file, as for --config; ``txstalecache run --help`` tells the options.
"""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add"]


def add(subcommands: Any) -> None:
    """Add the subcommand."""
    import shtab

    # Nothing is an option here: all of it is for twist.
    parser = subcommands.add_parser(
        "run", help="run the proxy in the foreground", description=__doc__, add_help=False, prefix_chars="\0"
    )
    options = parser.add_argument(
        "options", metavar="FILE|OPTION", nargs="*", help="a TOML file, and options as of twist txstalecache"
    )
    options.complete = shtab.FILE
    parser.set_defaults(run=_run)


def _options() -> str:
    """What can be said; the usage line that twist would print before it is not this command's."""
    from txstalecache.config.options import Options

    options = Options()
    options.synopsis = "Usage: txstalecache run [FILE] [--origin URL] [options]"
    return str(options)


def _run(arguments: argparse.Namespace) -> int:
    from twisted.application.twist._twist import Twist

    options = arguments.options
    if "--help" in options or "-h" in options:
        print(_options())
        return 0
    if options and not options[0].startswith("-"):
        options = ["--config", *options]
    # Its log as lines also where nobody sits in front of it; twist would write JSON then.
    Twist.main(["twist", "--log-format=text", "txstalecache", *options])
    return 0
