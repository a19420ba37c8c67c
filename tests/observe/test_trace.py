"""W3C Trace Context, level 1: what counts as a traceparent, and what is sent on."""

from __future__ import annotations

import pytest

from txstalecache.http.messages import Fields
from txstalecache.observe.trace import TraceContext, passed_on

TRACE, PARENT = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
GOOD = b"00-" + TRACE + b"-" + PARENT + b"-01"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00",
        GOOD[:-1],
        GOOD + b"-more",  # version 00 ends there
        GOOD.upper(),
        b"ff" + GOOD[2:],
        b"0g" + GOOD[2:],
        b"00-" + b"0" * 32 + b"-" + PARENT + b"-01",
        b"00-" + TRACE + b"-" + b"0" * 16 + b"-01",
        b"01" + GOOD[2:] + b"more",
        GOOD + b", " + GOOD,
        b"00-" + TRACE + b"-" + PARENT + b"-zz",
    ],
)
def test_what_is_not_well_formed_is_none_and_is_not_sent_on(value: bytes) -> None:
    assert TraceContext.read([value]) is None
    sent, trace = passed_on(Fields([(b"traceparent", value), (b"tracestate", b"a=1"), (b"X", b"y")]))
    assert (list(sent), trace) == ([(b"X", b"y")], None)


def test_two_are_none() -> None:
    assert TraceContext.read([GOOD, GOOD]) is None
    assert TraceContext.read([]) is None


def test_the_trace_goes_on_with_a_parent_of_ours_and_the_state_as_it_came() -> None:
    came = Fields([(b"TraceParent", GOOD), (b"tracestate", b"a=1"), (b"tracestate", b"b=2")])
    sent, trace = passed_on(came)
    assert trace is not None
    assert (trace.trace_id, trace.sampled) == (TRACE, True)
    assert trace.parent_id != PARENT
    assert sent.get_all(b"traceparent") == [b"00-" + TRACE + b"-" + trace.parent_id + b"-01"]
    assert sent.get_all(b"tracestate") == [b"a=1", b"b=2"]
    again = passed_on(came)[1]
    assert again is not None
    assert again.parent_id != trace.parent_id


def test_a_later_version_is_read_as_far_as_it_is_known_and_sent_on_in_ours() -> None:
    context = TraceContext.read([b"cc" + GOOD[2:-2] + b"ff-what-comes-later"])
    assert context is not None
    assert (context.trace_id, context.parent_id, context.flags) == (TRACE, PARENT, 255)
    assert context.header == b"00-" + TRACE + b"-" + PARENT + b"-01"


def test_state_without_a_trace_is_not_sent_on() -> None:
    assert list(passed_on(Fields([(b"tracestate", b"a=1")]))[0]) == []
