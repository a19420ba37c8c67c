"""The admin interface over HTTP: what the operator may ask and tell, for whoever knows the token.

``openapi.json`` is its description; docs/admin.rst says it in words. Every answer of ours is JSON but the metrics, the
events, and the page. To be served on an endpoint of its own, never on the public one.
Must not know: what a flight is, how purges are recorded, how many processes there are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qs

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from txstalecache.admin.dashboard import Page, page
from txstalecache.admin.events import Events
from txstalecache.admin.gate import Gate, Refused
from txstalecache.admin.inquiry import Inquiry, Silent
from txstalecache.admin.openapi import DOCUMENT
from txstalecache.admin.orders import BadOrder, Mode, Order, Question, WarmOrder, reading, url_said
from txstalecache.admin.warm import Jobs
from txstalecache.edge.phrases import phrase
from txstalecache.observe.metrics import CONTENT_TYPE
from txstalecache.observe.top import RANKINGS, TopKeys
from txstalecache.store.purges import Hardness, Scope

__all__ = ["AdminResource", "IPurger"]


class IPurger(Protocol):
    """What a ``CacheResource`` does for the admin interface."""

    def purge(self, scope: Scope, hardness: Hardness = ...) -> Deferred[bool]:
        """Fires with whether the whole fleet will know."""

    def refresh(self, url: bytes) -> Deferred[None]:
        """Purge softly and fetch anew."""


class _Whole:
    """A body as it comes (IConsumer, as far as a body's producer uses one)."""

    #: Bytes of an order.
    MOST = 1024 * 1024

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        if len(self.data) <= self.MOST:
            self.data += data

    def registerProducer(self, producer: object, streaming: bool) -> None:
        pass

    def unregisterProducer(self) -> None:
        pass


#: Bytes of any order but a list to be warmed.
ORDER = 64 * 1024

#: A status and what is told, or an answer of another kind; None: the request is answered, or will be.
Told = tuple[int, Mapping[str, object] | Page] | None
_Handler = Callable[[Request], Coroutine[Any, Any, Told]]


class AdminResource(Resource):
    """``gate`` says who may come in; ``ready``: whether the proxy is, and why not."""

    isLeaf = True
    #: Who may not come in sends no body first.
    streams = True
    _log = Logger()

    def __init__(
        self,
        gate: Gate,
        purger: IPurger,
        inquiry: Inquiry,
        events: Events,
        jobs: Jobs,
        ready: Callable[[], str],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._gate = gate
        self._purger = purger
        self._inquiry = inquiry
        self._events = events
        self._jobs = jobs
        self._ready = ready
        # What needs no token says nothing about the site: a page, the description, whether it is alive.
        self._open: Mapping[bytes, Mapping[bytes, _Handler]] = {
            b"/healthz": {b"GET": self._health},
            b"/readyz": {b"GET": self._readiness},
            b"/openapi.json": {b"GET": self._document},
        }
        self._known: Mapping[bytes, Mapping[bytes, _Handler]] = {
            b"/v1/status": {b"GET": self._tell_status},
            b"/v1/flights": {b"GET": self._tell_flights},
            b"/v1/entry": {b"GET": self._tell_entry},
            b"/v1/top": {b"GET": self._tell_top},
            b"/v1/events": {b"GET": self._tell_events},
            b"/v1/explain": {b"POST": self._explain},
            b"/v1/purge": {b"POST": self._purge},
            b"/v1/warm": {b"GET": self._tell_jobs, b"POST": self._warm},
            b"/metrics": {b"GET": self._metrics},
        }
        self._job: Mapping[bytes, _Handler] = {b"GET": self._tell_job, b"DELETE": self._cancel_job}

    def render(self, request: Request) -> int:
        """Any method; the answer comes later."""
        answering: Deferred[None] = Deferred.fromCoroutine(self._serve(request))
        request.notifyFinish().addErrback(lambda _: answering.cancel())

        def crashed(failure: Failure) -> None:
            if failure.check(CancelledError):
                return
            self._log.failure("an admin request failed", failure)
            _answer(request, 500, {"error": "internal error"})

        answering.addErrback(crashed)
        return NOT_DONE_YET

    async def _serve(self, request: Request) -> None:
        fields: Mapping[str, str] = {}
        told: Told
        try:
            told = await self._dispatch(request)
        except Refused as refused:
            told, fields = (refused.status, {"error": str(refused)}), refused.fields
        except BadOrder as error:
            told = 400, {"error": str(error)}
        except Silent as silent:
            told, fields = (503, {"error": str(silent)}), {"Retry-After": "1"}
        if told is not None:
            _answer(request, *told, fields)

    def _dispatch(self, request: Request) -> Coroutine[Any, Any, Told]:
        method = b"GET" if request.method == b"HEAD" else request.method
        path = request.uri.partition(b"?")[0]
        if method == b"PURGE":
            # Its Host names what is purged; no page can send one without being asked whether it may.
            self._gate.known(request)
            return self._purge_url(request)
        self._gate.named(request)
        if method == b"GET" and page(path) is not None:
            return self._page(path)
        handlers = self._open.get(path)
        if handlers is None:
            self._gate.known(request)
            handlers = self._job if path.startswith(b"/v1/warm/") else self._known.get(path)
        if handlers is None:
            raise Refused(404, "there is no such thing; /openapi.json says what there is")
        handler = handlers.get(method)
        if handler is None:
            allowed = ", ".join(sorted(one.decode() for one in handlers))
            raise Refused(405, f"expected {allowed}", Allow=allowed)
        if method == b"POST":
            _of_json(request)
        return handler(request)

    # -- for anybody ---------------------------------------------------------------------------------------------

    async def _page(self, path: bytes) -> Told:
        found = page(path)
        assert found is not None
        return 200, found

    async def _health(self, request: Request) -> Told:
        return 200, {"healthy": True}

    async def _readiness(self, request: Request) -> Told:
        why = self._ready()
        return (503 if why else 200), {"ready": not why, **({"why": why} if why else {})}

    async def _document(self, request: Request) -> Told:
        return 200, DOCUMENT

    # -- asking --------------------------------------------------------------------------------------------------

    async def _tell_status(self, request: Request) -> Told:
        return 200, await self._inquiry.status()

    async def _tell_flights(self, request: Request) -> Told:
        return 200, await self._inquiry.flights()

    async def _tell_entry(self, request: Request) -> Told:
        said = _query(request, "url", "body")
        url, body = url_said(said.get("url")), said.get("body", "false")
        if body not in ("true", "false"):
            raise BadOrder("body: expected true or false")
        found = await self._inquiry.entry(url, body == "true")
        if found is None:
            raise Refused(404, "nothing is stored for this URL")
        return 200, found

    async def _tell_top(self, request: Request) -> Told:
        said = _query(request, "by", "limit")
        by, limit = said.get("by", "hits"), said.get("limit", "20")
        if by not in RANKINGS:
            raise BadOrder(f"by: expected one of {', '.join(RANKINGS)}")
        if not re.fullmatch(r"[0-9]{1,9}", limit) or not 1 <= int(limit) <= TopKeys.CAPACITY:
            raise BadOrder(f"limit: expected a number from 1 to {TopKeys.CAPACITY}")
        return 200, await self._inquiry.top(by, int(limit))

    async def _tell_events(self, request: Request) -> Told:
        if request.method == b"HEAD":
            raise Refused(405, "expected GET", Allow="GET")
        self._events.listen(request)
        return None

    async def _explain(self, request: Request) -> Told:
        question = Question.read(await _body(request, ORDER))
        return 200, await self._inquiry.explain(question.url, question.method, question.fields)

    async def _metrics(self, request: Request) -> Told:
        return 200, Page(CONTENT_TYPE, await self._inquiry.metrics())

    # -- telling -------------------------------------------------------------------------------------------------

    async def _purge(self, request: Request) -> Told:
        return await self._obey(Order.read(await _body(request, ORDER)))

    async def _purge_url(self, request: Request) -> Told:
        host = request.requestHeaders.getRawHeaders(b"host", [b""])[0]
        mode = request.requestHeaders.getRawHeaders(b"purge-mode", [b"hard"])[0]
        url = request.uri if not request.uri.startswith(b"/") else b"http://" + host + request.uri
        return await self._obey(Order.of("url", url.decode("latin-1"), mode.decode("latin-1").lower()))

    async def _obey(self, order: Order) -> Told:
        count, whole = await self._count(order)
        if order.dry:
            return 200, {"purged": False, "everywhere": False, "refreshing": False, "count": count, "whole": whole}
        job: dict[str, object] = {}
        urls: Sequence[str] = ()
        if order.mode is Mode.REFRESH and order.url is None:
            # What is to be fetched anew has to be known before it is purged.
            urls = await self._inquiry.urls(order.scope)
        # Also before a refresh: that one's purge is the same, and whether the fleet knows is told by this.
        known = await self._purger.purge(order.scope, order.mode.hardness)
        refreshing = order.mode is Mode.REFRESH and (order.url is not None or bool(urls))
        if order.mode is Mode.REFRESH and order.url is not None:
            await self._purger.refresh(order.url)
        elif urls:
            job = {"job": self._jobs.start(urls).id}
        said = {"purged": True, "everywhere": known, "refreshing": refreshing, "count": count, "whole": whole, **job}
        # Accepted: it holds here, and is told to Redis when that is back.
        return (200 if known else 202), said

    async def _count(self, order: Order) -> tuple[int | None, bool]:
        """What is covered, where that can be said, and whether that is all. Whatever becomes of it, a purge goes on."""
        try:
            return await self._inquiry.count(order.scope, None if order.url is None else order.url.decode("ascii"))
        except CancelledError:
            raise
        except Silent:
            return None, False
        except Exception:
            self._log.failure("what a purge covers could not be counted")
            return None, False

    async def _warm(self, request: Request) -> Told:
        order = WarmOrder.read(await _body(request, _Whole.MOST))
        job = self._jobs.start(order.urls, order.sitemap, order.rate, order.concurrency)
        return 202, {"job": job.id}

    async def _tell_jobs(self, request: Request) -> Told:
        return 200, {"jobs": [job.told() for job in self._jobs]}

    async def _tell_job(self, request: Request) -> Told:
        return 200, self._named_job(request).told()

    async def _cancel_job(self, request: Request) -> Told:
        job = self._named_job(request)
        job.cancel()
        return 200, job.told()

    def _named_job(self, request: Request) -> Any:
        name = request.uri.partition(b"?")[0].removeprefix(b"/v1/warm/")
        job = self._jobs.get(name.decode("latin-1"))
        if job is None:
            raise Refused(404, "there is no such job, or it is forgotten")
        return job


def _of_json(request: Request) -> None:
    """What a form of another site can send is refused whatever its token."""
    kind = request.requestHeaders.getRawHeaders(b"content-type", [b""])[0].partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise Refused(415, "expected Content-Type: application/json")


def _query(request: Request, *names: str) -> dict[str, str]:
    """The parameters of the query, each once. BadOrder for others."""
    query = request.uri.partition(b"?")[2].decode("latin-1")
    try:
        given = parse_qs(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=10)
    except ValueError:
        raise BadOrder("the query is not name=value&name=value") from None
    for name, values in given.items():
        if name not in names:
            raise BadOrder(f"unknown: {ascii(name)[:60]}; expected {', '.join(names)}")
        if len(values) > 1:
            raise BadOrder(f"{name}: given more than once")
    return {name: values[0] for name, values in given.items()}


async def _body(request: Request, most: int) -> bytes:
    """The body of ``request``, streamed or read already. Refused when it is too large."""
    upload: Any = getattr(request, "upload", None)
    if upload is None:
        data = b"" if request.content is None else request.content.read(most + 1)
    else:
        whole = _Whole()
        await upload.startProducing(whole)
        data = whole.data
    if len(data) > most:
        raise Refused(413, f"more than {most} bytes")
    return reading(data)


def _answer(request: Request, status: int, said: Mapping[str, object] | Page, fields: Mapping[str, str] = {}) -> None:
    if request._disconnected:
        return  # what cannot be taken back was done all the same
    if isinstance(said, Page):
        kind, body, more = said.kind, said.body, said.fields
    else:
        kind, body, more = "application/json", json.dumps(said, default=str).encode("ascii") + b"\n", {}
    request.setResponseCode(status, phrase(status))
    for name, value in {
        "Content-Type": kind,
        "Cache-Control": "no-store",
        "Content-Length": str(len(body)),
        "X-Content-Type-Options": "nosniff",
        **more,
        **fields,
    }.items():
        request.setHeader(name.encode("ascii"), value.encode("ascii"))
    if request.method != b"HEAD":
        request.write(body)
    request.finish()
