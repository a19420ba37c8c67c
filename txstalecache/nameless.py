"""Files without a name, for handing something to a process that is born.

Must not know: what is in them.
"""

from __future__ import annotations

import os
from tempfile import TemporaryFile
from typing import BinaryIO, cast

__all__ = ["nameless"]


def nameless() -> BinaryIO:
    """A new and empty file to read and to write, which the caller closes. In memory where the system can: a full disk
    is no reason not to start a worker, nor to kill one that writes to a page of it."""
    in_memory = getattr(os, "memfd_create", None)
    return cast(BinaryIO, TemporaryFile()) if in_memory is None else open(in_memory("txstalecache"), "w+b")
