"""``txstalecache completion SHELL``: a script that lets the shell complete this command.

bash: ``eval "$(txstalecache completion bash)"`` in ``~/.bashrc``. zsh: write it to a file ``_txstalecache`` in a
directory of ``$fpath``. fish: write it to ``~/.config/fish/completions/txstalecache.fish``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from txstalecache.cli.exits import Exit

__all__ = ["add"]


def add(subcommands: Any, whole: Callable[[], argparse.ArgumentParser]) -> None:
    """Add the subcommand; ``whole`` makes the parser that is to be completed."""
    parser = subcommands.add_parser("completion", help="print a completion script for a shell", description=__doc__)
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="one of bash, zsh and fish")
    parser.set_defaults(run=lambda arguments: _run(arguments, whole()))


def _run(arguments: argparse.Namespace, whole: argparse.ArgumentParser) -> int:
    import shtab

    print(shtab.complete(whole, arguments.shell))
    return Exit.OK
