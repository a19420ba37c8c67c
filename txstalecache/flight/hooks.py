"""What a route's own Python says about an answer; a value, made by the configuration.

Must not know: where the callables come from.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, fields, replace
from typing import ParamSpec, TypeVar, cast

from txstalecache.http import expect
from txstalecache.http.entry import Entry
from txstalecache.http.messages import RequestHead, ResponseHead
from txstalecache.http.verdict import Admission, Share, Store

__all__ = ["Hooks"]

_Asked = ParamSpec("_Asked")
_Said = TypeVar("_Said")


def _of(hook: Callable[_Asked, _Said], *args: _Asked.args, **more: _Asked.kwargs) -> _Said:
    """What ``hook`` says, at once. One that wants to leave the process fails as any other."""
    try:
        said = hook(*args, **more)
    except SystemExit as left:
        raise RuntimeError("a hook has asked to exit") from left
    if isinstance(said, Awaitable):
        if isinstance(said, Coroutine):
            said.close()
        # It would be taken for a yes.
        raise TypeError(f"a hook gave {type(said).__name__}: what it says cannot be waited for")
    return said


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Plain callables; None: nothing to say. Called with heads, never with a connection; they must not block. An entry
    that the origin has validated (304) goes by all of them but ``key`` again, with its own head as the answer.

    What they raise is contained: the request is answered from the origin, and nothing is stored.
    """

    key: Callable[[RequestHead], bytes] | None = None
    """One more part of the key."""
    storable: Callable[[RequestHead, ResponseHead], bool] | None = None
    """False: the answer is not stored. It cannot make storable what is not."""
    ttl: Callable[[RequestHead, ResponseHead], float | None] | None = None
    """The lifetime in seconds, from now; None: as it would be."""
    tags: Callable[[RequestHead, ResponseHead], Iterable[bytes]] | None = None
    """More tags to purge by."""
    before_store: Callable[[RequestHead, Entry], Entry | None] | None = None
    """The entry to be stored in the place of this one; None: none. Of one that was validated it gets what it made. It
    is called when the body is whole: by then the client has been told ``stored``; ``storable`` comes in time."""

    def __post_init__(self) -> None:
        for field in fields(self):
            expect.of_kind(field.name, getattr(self, field.name), Callable | None, "a function")

    def part(self, request: RequestHead) -> bytes:
        """What ``key`` adds to the key of ``request``. Only where there is one."""
        assert self.key is not None
        part: object = _of(self.key, request)
        if not isinstance(part, bytes):
            raise TypeError(f"the key hook gave {type(part).__name__}, expected bytes")
        return part

    def admitted(self, request: RequestHead, response: ResponseHead, admission: Admission) -> Admission:
        """``admission`` as ``storable`` and ``ttl`` would have it."""
        if not isinstance(admission, Store):
            return admission
        if self.storable is not None and not _of(self.storable, request, response):
            return Share(admission.explicit, "hook")
        if self.ttl is not None:
            seconds = _of(self.ttl, request, response)
            if seconds is not None:
                lifetime = float(seconds) + admission.freshness.initial_age
                if not float(seconds) > 0:
                    return Share(admission.explicit, "ttl-0")
                return replace(admission, freshness=replace(admission.freshness, lifetime=lifetime))
        return admission

    def stored(self, request: RequestHead, response: ResponseHead, entry: Entry) -> Entry | None:
        """``entry`` as ``tags`` and ``before_store`` would have it; None: not to be stored."""
        if self.tags is not None:
            entry = replace(entry, tags=entry.tags | _tags(_of(self.tags, request, response)))
        if self.before_store is None:
            return entry
        made: object = _of(self.before_store, request, entry)
        if made is None or isinstance(made, Entry):
            return made
        raise TypeError(f"the before_store hook gave {type(made).__name__}, expected an Entry or None")


def _tags(given: object) -> frozenset[bytes]:
    if isinstance(given, str | bytes):
        raise TypeError(f"the tags hook gave {type(given).__name__}, expected several tags")
    tags = cast("Iterable[bytes | str]", given)
    return frozenset(tag.encode() if isinstance(tag, str) else bytes(tag) for tag in tags)
