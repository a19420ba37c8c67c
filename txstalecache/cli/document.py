"""The command line as reStructuredText, from its parser: ``python -m txstalecache.cli.document FILE`` puts it between
the marks in FILE, and a test holds ``docs/commandline.rst`` to it.

Must not know: anything that the parser does not say.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator

from txstalecache.cli.connection import options
from txstalecache.cli.exits import Exit
from txstalecache.cli.main import parser
from txstalecache.generated import rewrite

__all__ = ["SOURCE", "document"]

SOURCE = "txstalecache.cli"

_OF_RUN = """Of every command but ``run``, which ends as ``twist`` does: 0 after SIGTERM, 1 when it cannot be started,
64 when its options or its file make no sense."""


def document() -> str:
    """Every subcommand with its options, what is common to those that ask a proxy, and the exit statuses."""
    lines = [*_title("Which proxy"), ""]
    lines += ["Of every command that asks a running proxy; before the subcommand or after it.", ""]
    common = options()
    lines += _options(common)
    known = {tuple(action.option_strings) for action in common._actions}
    for name, one in _subcommands().items():
        lines += [*_title(f"``txstalecache {name}``"), ""]
        _, _, said = (one.description or "").partition(": ")
        lines += [said[:1].upper() + said[1:], ""]
        lines += _options(one, known)
    lines += [*_title("Exit status"), "", _OF_RUN, "", ".. list-table::", "   :widths: 10 90", ""]
    for status in Exit:
        lines += [f"   * - {status.value}", f"     - {status.meaning}"]
    return "\n".join(lines) + "\n"


def _title(text: str) -> list[str]:
    return ["", text, "-" * len(text)]


def _subcommands() -> dict[str, argparse.ArgumentParser]:
    for action in parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError


def _options(one: argparse.ArgumentParser, known: Collection[tuple[str, ...]] = ()) -> Iterator[str]:
    for action in one._actions:
        if isinstance(action, argparse._HelpAction) or (
            action.option_strings and tuple(action.option_strings) in known
        ):
            continue
        choices = "|".join(map(str, action.choices)) if action.choices else ""
        value = "" if action.nargs == 0 else str(action.metavar or choices)
        yield ", ".join(f"``{f'{name} {value}'.strip()}``" for name in action.option_strings or [""])
        said = action.help or ""
        yield f"    {said[:1].upper()}{said[1:]}."
        yield ""


if __name__ == "__main__":
    rewrite(sys.argv[1], SOURCE, document())
