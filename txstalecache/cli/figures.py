"""Numbers as people read them. What is not known is a dash."""

from __future__ import annotations

__all__ = ["GROUPS", "count", "rate", "share", "size", "span"]

UNKNOWN = "–"

#: Between groups of three digits.
GROUPS = "\N{NARROW NO-BREAK SPACE}"


def count(number: object) -> str:
    """``12 345``, in groups of three."""
    return f"{number:,}".replace(",", GROUPS) if isinstance(number, int) else UNKNOWN


def rate(number: object) -> str:
    """Per second: two or three digits that count."""
    if not isinstance(number, int | float):
        return UNKNOWN
    return f"{number:.1f}" if number < 100 else count(round(number))


def share(number: object) -> str:
    """0.934 as ``93.4 %``."""
    return f"{number * 100:.1f} %" if isinstance(number, int | float) else UNKNOWN


def size(number: object) -> str:
    """Bytes, in binary units."""
    if not isinstance(number, int | float):
        return UNKNOWN
    units = ["TiB", "GiB", "MiB", "KiB", "B"]
    while number >= 1024 and len(units) > 1:
        number /= 1024
        units.pop()
    return f"{number:.0f} {units[-1]}" if units[-1] == "B" or number >= 100 else f"{number:.1f} {units[-1]}"


def span(seconds: object) -> str:
    """A length of time: ``350 µs``, ``12 ms``, ``3.4 s``, ``5 m 02 s``, ``2 h 05 m``, ``3 d 04 h``."""
    if not isinstance(seconds, int | float):
        return UNKNOWN
    if seconds < 0:
        return "-" + span(-seconds)
    if seconds == 0:
        return "0 s"
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"
