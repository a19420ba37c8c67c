"""The command ``txstalecache``: one subcommand per module beside this one."""

from txstalecache.cli.main import main

__all__ = ["main"]
