"""Which directives govern a response here: the first targeted field that is valid, else Cache-Control (RFC 9213).

Must not know: what the directives lead to.
"""

from __future__ import annotations

from typing import Final

from txstalecache.http.cachecontrol import NOTHING_SAID, UNREAD, Control, control
from txstalecache.http.fields import FOREVER, LONGEST
from txstalecache.http.messages import Fields
from txstalecache.http.remembered import remembered
from txstalecache.http.structured import Item, String, parse_dictionary
from txstalecache.http.values import dataclass

__all__ = ["TARGETS", "Governing", "governing", "targeted_control"]

#: In the order they count (RFC 9213 §2.2): ours, then that of any content delivery network.
TARGETS: Final = (b"txsc-cache-control", b"cdn-cache-control")

_NUMBERS = {
    b"max-age": "max_age",
    b"s-maxage": "s_maxage",
    b"stale-while-revalidate": "while_revalidate",
    b"stale-if-error": "if_error",
}
_FLAGS = {
    b"no-store": "no_store",
    b"public": "public",
    b"must-revalidate": "must_revalidate",
    b"proxy-revalidate": "proxy_revalidate",
    b"must-understand": "must_understand",
    b"immutable": "immutable",
}
# These may name fields; with names or without, they are taken as without.
_NAMING = {b"no-cache": "no_cache", b"private": "private"}


@dataclass(frozen=True, slots=True)
class Governing:
    """The directives that count, and whether a targeted field gave them: then Expires does not count."""

    control: Control
    targeted: bool


@remembered(256, longest=256)
def targeted_control(value: bytes) -> Control | None:
    """The directives of a targeted field; None when it is empty, malformed, or a value is of the wrong type."""
    if len(value) > LONGEST:
        return UNREAD
    found = parse_dictionary(value)
    if not found:
        return None  # RFC 9213 §2.2: empty or malformed is as if it were not there
    arguments: dict[str, int | bool] = {}
    for name, member in found.items():
        bare = member.value if isinstance(member, Item) else None
        if name in _NUMBERS:
            if not isinstance(bare, int) or isinstance(bare, bool):
                return None
            arguments[_NUMBERS[name]] = min(max(bare, 0), FOREVER)
        elif name in _FLAGS:
            if not isinstance(bare, bool):
                return None
            arguments[_FLAGS[name]] = bare
        elif name in _NAMING:
            if not isinstance(bare, bool | String):
                return None
            arguments[_NAMING[name]] = bare if isinstance(bare, bool) else True
    return Control(**arguments)  # type: ignore[arg-type]


def governing(fields: Fields) -> Governing:
    """The directives that govern the response with these fields."""
    return fields.once(governing, _governing)


def _governing(fields: Fields) -> Governing:
    if not fields.names.isdisjoint(TARGETS):
        for name in TARGETS:
            value = fields.get(name)
            found = None if value is None else targeted_control(value)
            if found is not None:
                return Governing(found, True)
    value = fields.get(b"cache-control")
    if value is not None:
        return Governing(control(value), False)
    # RFC 9111 §5.4 gives Pragma no meaning in a response. Whoever sends it alone means this.
    pragma = fields.get(b"pragma")
    if pragma is not None and control(pragma).no_cache:
        return Governing(Control(no_cache=True), False)
    return Governing(NOTHING_SAID, False)
