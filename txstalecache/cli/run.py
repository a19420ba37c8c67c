"""``txstalecache run FILE``: the proxy in the foreground, as ``twist txstalecache --config FILE`` starts it."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

__all__ = ["add"]


def add(subcommands: Any) -> None:
    """Add the subcommand."""
    parser = subcommands.add_parser("run", help="run the proxy in the foreground", description=__doc__)
    parser.add_argument("file", metavar="FILE", help="a TOML file")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="as for twist txstalecache, like --listen ENDPOINT")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from twisted.application.twist._twist import Twist

    sys.path.insert(0, os.getcwd())
    Twist.main(["twist", "txstalecache", "--config", arguments.file, *arguments.options])
    return 0
