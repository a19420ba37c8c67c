"""What the command's exit status says, and the errors that end it with one line.

Must not know: where the line goes.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["BadUsage", "CommandError", "Exit", "Failed", "TokenRefused", "Unreachable"]


class Exit(IntEnum):
    """Exit statuses. ``txstalecache run`` ends with those of ``twist``."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Exit:
        one = int.__new__(cls, value)
        one._value_ = value
        one.meaning = meaning
        return one

    OK = 0, "Done."
    FAILED = (
        1,
        "Refused or failed: the proxy said no, nothing is stored for the URL, some of it did not work, or what there "
        "is to say cannot be written.",
    )
    USAGE = 2, "The command line, or a file it names, makes no sense."
    UNREACHABLE = 3, "No admin interface answers there, or not in time, or something else does."
    TOKEN = 4, "The token is missing or wrong."
    INTERRUPTED = 130, "Ctrl-C, or SIGTERM."
    PIPE = 141, "Whoever read the output has gone."


class CommandError(Exception):
    """Ends the command: its text on standard error, its status."""

    status = Exit.FAILED


class Failed(CommandError):
    """The proxy was asked and said no."""


class BadUsage(CommandError):
    """What was asked for makes no sense."""

    status = Exit.USAGE


class Unreachable(CommandError):
    """Nobody answers, or somebody who is not the admin interface."""

    status = Exit.UNREACHABLE


class TokenRefused(CommandError):
    """The admin interface answers, but not us."""

    status = Exit.TOKEN
