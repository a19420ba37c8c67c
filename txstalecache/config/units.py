"""Numbers as people write them: durations in seconds, sizes in bytes. Every error says what was expected.

Must not know: which option the number belongs to.
"""

from __future__ import annotations

import re

__all__ = ["parse_bytes", "parse_seconds"]

_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\Z", re.ASCII)
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}

#: Ten years: what is longer is a slip of the finger, and Redis counts milliseconds in 64 bits.
LONGEST = 10 * 365 * 86400.0
#: More than a body, or the memory of a machine, will be.
LARGEST = 16 * 1024**4


def parse_seconds(text: str) -> float:
    """``text`` in seconds: ``5``, ``0.5``, ``500ms``, ``10m``, ``1h``, ``7d``.

    Raises ValueError with one line for a person: not negative, not longer than ten years.
    """
    found = _NUMBER.match(text.strip())
    factor = _SECONDS.get(found[2].lower()) if found else None
    if found is None or factor is None:
        raise ValueError("expected seconds >= 0 (like 5, 0.5, 500ms, 10m, 1h)")
    seconds = float(found[1]) * factor
    if seconds > LONGEST:
        raise ValueError("expected at most ten years")
    return seconds


def parse_bytes(text: str) -> int:
    """``text`` in bytes: ``1048576``, ``512K``, ``64M``, ``1.5G`` (powers of 1024; ``MB`` and ``MiB`` mean the same).

    Raises ValueError with one line for a person.
    """
    found = _NUMBER.match(text.strip())
    factor = _BYTES.get(re.sub(r"i?b\Z", "", found[2].lower())) if found else None
    if found is None or factor is None:
        raise ValueError("expected bytes >= 0 (like 1048576, 512K, 64M, 1G)")
    size = float(found[1]) * factor
    if size > LARGEST:
        raise ValueError("expected at most 16T")
    return int(size)
