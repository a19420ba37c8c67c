"""``txstalecache check FILE``: what is wrong with a configuration file, or all that it puts in force."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from txstalecache.cli.exits import Exit

__all__ = ["add"]


def add(subcommands: Any) -> None:
    """Add the subcommand."""
    parser = subcommands.add_parser(
        "check", help="check a configuration file and print the effective configuration", description=__doc__
    )
    parser.add_argument("file", metavar="FILE", help="a TOML file")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from txstalecache.config.settings import Settings, SettingsError
    from txstalecache.config.toml import Configuration

    try:
        # As a start without options beside it has it.
        text = Settings.parse({}, config=arguments.file).text
    except SettingsError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return Exit.USAGE
    print(Configuration.parse(text, arguments.file).effective(), end="")
    return Exit.OK
