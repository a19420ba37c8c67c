"""The description of the admin interface, as OpenAPI 3.1 has it. A test holds the interface to it.

Must not know: how any of it is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from txstalecache import __version__
from txstalecache.admin.orders import LONGEST, METHOD, NAME, SCOPES, VALUE, Mode, Question, WarmOrder
from txstalecache.admin.warm import Jobs
from txstalecache.flight.state import State
from txstalecache.http.vary import MOST_NAMES
from txstalecache.observe.tally import VERDICTS
from txstalecache.observe.top import RANKINGS, TopKeys

__all__ = ["DOCUMENT"]

Schema = dict[str, Any]


def _object(properties: Mapping[str, Schema], optional: tuple[str, ...] = (), **more: Any) -> Schema:
    """An object with exactly these properties."""
    required = sorted(set(properties) - set(optional))
    return {
        "type": "object",
        "properties": dict(properties),
        "required": required,
        "additionalProperties": False,
        **more,
    }


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer", "minimum": 0}
_NUMBER: Schema = {"type": "number"}
_YES: Schema = {"type": "boolean"}
_MAYBE_NUMBER: Schema = {"type": ["number", "null"]}
_NUMBERS: Schema = {"type": "object", "additionalProperties": {"type": "number"}}
_COVERS: Schema = {"enum": ["process", "workers"], "description": "For whom the answer speaks."}
_PAIRS = _list({"type": "array", "items": {"type": ["string", "null"]}, "minItems": 2, "maxItems": 2})
_URL: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": LONGEST,
    "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://[^/?#\s@\\]+([/?][!\"$-~]*)?$",
    "description": "A whole URL, as clients ask for it.",
    "examples": ["http://www.example.com/page"],
}
_FIELD_NAME: Schema = {"pattern": f"^{NAME.pattern}$"}

_SPOKEN: Mapping[str, Schema] = {"covers": _COVERS, "process": _ref("Process")}

_TIMES: Final = (
    "now",
    "requested",
    "stored",
    "age",
    "fresh_until",
    "stale_until",
    "stale_if_error_until",
    "stale_if_unreachable_until",
    "gone_at",
)

_FLIGHT: Mapping[str, Schema] = {
    "key": _TEXT,
    "digest": _TEXT,
    "url": _TEXT,
    "method": _TEXT,
    "age": _NUMBER,
    "state": {"enum": [state.value for state in State]},
    "waiters": {**_WHOLE, "description": "Requests that wait for its answer to begin."},
    "readers": {**_WHOLE, "description": "Requests that are sent its body as it comes."},
    "bytes": {**_WHOLE, "description": "Of body, so far."},
    "refresh": {**_YES, "description": "Behind a stale answer."},
    "shared": {**_YES, "description": "Whether others may join."},
    "leader": _ref("Process"),
}

_SCHEMAS: Mapping[str, Schema] = {
    "Error": _object({"error": _TEXT}),
    "Process": _object({"host": _TEXT, "pid": _WHOLE, "worker": {"type": ["integer", "null"]}}),
    "Status": _object(
        {
            **_SPOKEN,
            "version": _TEXT,
            "uptime": _NUMBER,
            "processes": _list(
                _object({"host": _TEXT, "pid": _WHOLE, "worker": {"type": ["integer", "null"]}, "uptime": _NUMBER})
            ),
            "flights": _WHOLE,
            "waiting": _WHOLE,
            "bytes_in_flight": _WHOLE,
            "store": _object(
                {
                    "describe": _TEXT,
                    "degraded": _YES,
                    "redis": _MAYBE_NUMBER,
                    "breaker_open": _MAYBE_NUMBER,
                    "tracking": _MAYBE_NUMBER,
                    "figures": _NUMBERS,
                }
            ),
            "upstreams": _list(
                _object(
                    {
                        "name": _TEXT,
                        "servers": _list(
                            _object(
                                {
                                    "address": _TEXT,
                                    "healthy": _YES,
                                    "open": _WHOLE,
                                    "idle": _WHOLE,
                                    "waiting": _WHOLE,
                                }
                            )
                        ),
                    }
                )
            ),
            "requests": _object(dict.fromkeys(VERDICTS, _WHOLE)),
            "origin_requests": _WHOLE,
            "origin_saved": {**_WHOLE, "description": "Requests answered without a fetch of their own."},
            "sent_bytes": _WHOLE,
            "window": {**_NUMBER, "description": "Seconds that rates, hit_ratio and latency look back on."},
            "rates": _object(
                {
                    "requests_per_second": _NUMBER,
                    "saved_per_second": _NUMBER,
                    "by_verdict": _object(dict.fromkeys(VERDICTS, _NUMBER)),
                }
            ),
            "hit_ratio": {**_MAYBE_NUMBER, "description": "Null when nothing was asked in the window."},
            "latency": _object(dict.fromkeys(("p50", "p90", "p99"), _MAYBE_NUMBER), description="In seconds."),
            "memory": _object({"bytes": _WHOLE, "limit": _WHOLE, "entries": _WHOLE}),
        }
    ),
    "Flights": _object({**_SPOKEN, "flights": _list(_object(_FLIGHT)), "total": _WHOLE}),
    "Entry": _object(
        {
            **_SPOKEN,
            "url": _TEXT,
            "key": _TEXT,
            "digest": _TEXT,
            "variants": _list(
                _object(
                    {
                        "selector": {**_PAIRS, "description": "What requests it answers say, by field; null: without."},
                        "status": _WHOLE,
                        "fields": _PAIRS,
                        "times": _object(
                            dict.fromkeys(_TIMES, _NUMBER),
                            description="Seconds since the epoch, by the fleet's clock; age in seconds.",
                        ),
                        "must_revalidate": _YES,
                        "no_cache": _YES,
                        "tags": _list(_TEXT),
                        "size": _WHOLE,
                        "where": {"enum": ["memory", "redis", "both"]},
                        "body": {**_TEXT, "contentEncoding": "base64"},
                    },
                    optional=("body",),
                )
            ),
        }
    ),
    "Explanation": _object(
        {
            **_SPOKEN,
            "url": _TEXT,
            "method": _TEXT,
            "route": {"type": ["string", "null"]},
            "key": {"type": ["string", "null"]},
            "digest": {"type": ["string", "null"]},
            "steps": _list(_object({"step": _TEXT, "outcome": _TEXT, "rule": _TEXT, "section": _TEXT})),
            "verdict": {"enum": list(VERDICTS)},
            "why": _TEXT,
        },
    ),
    "Top": _object(
        {
            **_SPOKEN,
            "by": {"enum": list(RANKINGS)},
            "top": _list(
                _object(
                    {
                        "key": _TEXT,
                        "url": _TEXT,
                        **dict.fromkeys(RANKINGS, _WHOLE),
                        "error": {**_WHOLE, "description": "By how much the count it is ranked by may be too high."},
                    }
                )
            ),
        }
    ),
    "Purge": _object(
        {
            "scope": {"enum": list(SCOPES)},
            "value": {**_TEXT, "minLength": 1, "maxLength": LONGEST},
            "fields": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": MOST_NAMES,
                "propertyNames": _FIELD_NAME,
                "additionalProperties": {"type": ["string", "null"]},
                "description": "For the scope variant: what requests say that it answers; null: they are without.",
            },
            "mode": {"enum": [mode.value for mode in Mode], "default": Mode.HARD.value},
            "dry": {**_YES, "default": False, "description": "Only count what it would cover."},
        },
        optional=("value", "fields", "mode", "dry"),
    ),
    "Purged": _object(
        {
            "purged": _YES,
            "everywhere": {**_YES, "description": "Whether the whole fleet knows; if not, it will."},
            "refreshing": _YES,
            "count": {
                "type": ["integer", "null"],
                "description": "Answers known to be covered, at least; null: unknown.",
            },
            "whole": {**_YES, "description": "False: more may be in Redis alone."},
            "job": _TEXT,
        },
        optional=("job",),
    ),
    "Question": _object(
        {
            "url": _URL,
            "method": {"type": "string", "pattern": f"^{METHOD.pattern}$", "default": "GET"},
            "fields": {
                "type": "object",
                "maxProperties": Question.MOST,
                "propertyNames": _FIELD_NAME,
                "additionalProperties": {"type": "string", "pattern": f"^{VALUE.pattern}$"},
            },
        },
        optional=("method", "fields"),
    ),
    "Warm": _object(
        {
            "urls": {"type": "array", "items": _URL, "minItems": 1, "maxItems": WarmOrder.MOST},
            "sitemap": _URL,
            "rate": {
                "type": "number",
                "minimum": WarmOrder.SLOWEST,
                "maximum": WarmOrder.FASTEST,
                "default": Jobs.RATE,
            },
            "concurrency": {
                "type": "integer",
                "minimum": 1,
                "maximum": WarmOrder.WIDEST,
                "default": Jobs.CONCURRENCY,
            },
        },
        optional=("urls", "sitemap", "rate", "concurrency"),
        oneOf=[{"required": ["urls"]}, {"required": ["sitemap"]}],
    ),
    "Started": _object({"job": _TEXT}),
    "Job": _object(
        {
            "job": _TEXT,
            "state": {"enum": ["running", "done", "cancelled", "failed"]},
            "done": _WHOLE,
            "failed": _WHOLE,
            "total": _WHOLE,
            "seconds": _NUMBER,
            "rate": _NUMBER,
            "concurrency": _WHOLE,
            "errors": _list(_object({"url": _TEXT, "problem": _TEXT})),
        }
    ),
    "Jobs": _object({"jobs": _list(_ref("Job"))}),
    "Health": _object({"healthy": {"const": True}}),
    "Readiness": _object({"ready": _YES, "why": _TEXT}, optional=("why",)),
}


def _said(text: str, schema: str) -> Schema:
    return {"description": text, "content": {"application/json": {"schema": _ref(schema)}}}


_PROBLEMS: Final[Mapping[str, str]] = {
    "400": "What was said makes no sense; why is said.",
    "401": "The token is missing or wrong.",
    "404": "There is no such thing.",
    "413": "More bytes than are taken.",
    "415": "Not application/json.",
    "421": "Asked by a name that is not this interface's.",
    "503": "Nobody can answer now.",
}


def _problem(status: str) -> Schema:
    """Ours; or, for what is turned away at the door, a line of text."""
    told = _said(_PROBLEMS[status], "Error")
    if status == "413":
        told["content"]["text/plain"] = {"schema": _TEXT}
    return told


def _operation(name: str, text: str, answers: Mapping[str, Schema], *problems: str, **more: Any) -> Schema:
    told = {status: _problem(status) for status in (*problems, "401", "421")}
    return {"operationId": name, "summary": text, "responses": {**answers, **told}, **more}


def _open(name: str, text: str, answers: Mapping[str, Schema]) -> Schema:
    """Without a token."""
    told = {"421": _said(_PROBLEMS["421"], "Error")}
    return {"operationId": name, "summary": text, "responses": {**answers, **told}, "security": []}


def _takes(schema: str) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": _ref(schema)}}}


def _query(name: str, schema: Schema, required: bool = False) -> Schema:
    return {"name": name, "in": "query", "required": required, "schema": schema}


_JOB = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9]{1,12}$"}}

DOCUMENT: Final[Mapping[str, Any]] = {
    "openapi": "3.1.0",
    "info": {
        "title": "txstalecache admin interface",
        "version": __version__,
        "description": "What an operator may ask and tell a running proxy.",
        "license": {"name": "MIT", "identifier": "MIT"},
    },
    "security": [{"token": []}],
    "paths": {
        "/v1/status": {"get": _operation("status", "How things stand", {"200": _said("Now.", "Status")}, "503")},
        "/v1/flights": {
            "get": _operation(
                "flights", "The fetches in the air", {"200": _said("The oldest first.", "Flights")}, "503"
            )
        },
        "/v1/entry": {
            "get": _operation(
                "entry",
                "What is stored for a URL",
                {"200": _said("Each variant.", "Entry")},
                "400",
                "404",
                "503",
                parameters=[_query("url", _URL, True), _query("body", {"type": "boolean", "default": False})],
            )
        },
        "/v1/explain": {
            "post": _operation(
                "explain",
                "What would become of a request, and why; the origin is not asked",
                {"200": _said("Each step of the decision.", "Explanation")},
                "400",
                "413",
                "415",
                "503",
                requestBody=_takes("Question"),
            )
        },
        "/v1/top": {
            "get": _operation(
                "top",
                "The URLs asked for most",
                {"200": _said("In order.", "Top")},
                "400",
                "503",
                parameters=[
                    _query("by", {"enum": list(RANKINGS), "default": "hits"}),
                    _query("limit", {"type": "integer", "minimum": 1, "maximum": TopKeys.CAPACITY, "default": 20}),
                ],
            )
        },
        "/v1/purge": {
            "post": _operation(
                "purge",
                "Let nothing that was fetched before now be used, of what is covered",
                {
                    "200": _said("Done, everywhere.", "Purged"),
                    "202": _said("Done here; the others are told when Redis is back.", "Purged"),
                },
                "400",
                "413",
                "415",
                "503",
                requestBody=_takes("Purge"),
            )
        },
        "/v1/warm": {
            "get": _operation("jobs", "The jobs under way, and the last ones", {"200": _said("All known.", "Jobs")}),
            "post": _operation(
                "warm",
                "Have a list of URLs, or those of a sitemap, stored",
                {
                    "202": {
                        **_said("The job has begun.", "Started"),
                        "links": {"job": {"operationId": "job", "parameters": {"id": "$response.body#/job"}}},
                    }
                },
                "400",
                "413",
                "415",
                "503",
                requestBody=_takes("Warm"),
            ),
        },
        "/v1/warm/{id}": {
            "parameters": [_JOB],
            "get": _operation("job", "How far a job is", {"200": _said("Now.", "Job")}, "404"),
            "delete": _operation("cancel", "Cancel a job", {"200": _said("It goes no further.", "Job")}, "404"),
        },
        "/v1/events": {
            "get": _operation(
                "events",
                "What happens, as it happens: status once a second, flight as each begins and ends",
                {"200": {"description": "Server-sent events.", "content": {"text/event-stream": {"schema": _TEXT}}}},
                "503",
            )
        },
        "/metrics": {
            "get": _operation(
                "metrics",
                "The metrics for Prometheus",
                {"200": {"description": "Its text format.", "content": {"text/plain": {"schema": _TEXT}}}},
                "503",
            )
        },
        "/healthz": {"get": _open("healthz", "Whether the process is alive", {"200": _said("It is.", "Health")})},
        "/readyz": {
            "get": _open(
                "readyz",
                "Whether requests had better come here",
                {"200": _said("They may.", "Readiness"), "503": _said("They had better not.", "Readiness")},
            )
        },
        "/openapi.json": {
            "get": _open(
                "openapi",
                "This description",
                {
                    "200": {
                        "description": "OpenAPI 3.1.",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    }
                },
            )
        },
    },
    "components": {
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        "schemas": dict(_SCHEMAS),
    },
}
