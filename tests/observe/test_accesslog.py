"""One line per request, whatever is in it; written without waiting."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import capturedLogs, formatEvent

from tests.support.process import eventually
from txstalecache.http.messages import Fields
from txstalecache.observe.accesslog import AccessLog, Record, combined, json_line


def record(
    *, host: bytes = b"example.com", user_agent: bytes = b"curl/8", referer: bytes | None = None, **changes: Any
) -> Record:
    fields = [(b"Host", host), (b"User-Agent", user_agent)]
    if referer is not None:
        fields.append((b"Referer", referer))
    usual: dict[str, Any] = {
        "time": 1795464000.25,
        "client": "127.0.0.1",
        "method": b"GET",
        "target": b"/a?b=1",
        "version": b"HTTP/1.1",
        "fields": Fields(fields),
        "status": 200,
        "sent": 41,
        "verdict": "stale",
        "why": "swr",
        "role": "hit",
        "age": 7.9,
        "wait": 0.0,
        "duration": 0.0012,
    }
    return Record(**{**usual, **changes})


def test_the_combined_line_says_what_the_cache_did() -> None:
    assert combined(record()) == (
        '127.0.0.1 - - [23/Nov/2026:20:00:00 +0000] "GET /a?b=1 HTTP/1.1" 200 41 "-" "curl/8"'
        " verdict=stale why=swr role=hit age=7 wait=0.000 time=0.001"
    )
    # What is missing is a dash.
    assert combined(record(referer=b"http://a/", why="", fields=Fields([(b"Referer", b"http://a/")]))) == (
        '127.0.0.1 - - [23/Nov/2026:20:00:00 +0000] "GET /a?b=1 HTTP/1.1" 200 41 "http://a/" "-"'
        " verdict=stale why=- role=hit age=7 wait=0.000 time=0.001"
    )


def test_no_line_and_no_record_that_is_printed_tells_a_secret() -> None:
    told = record(fields=Fields([(b"Host", b"a"), (b"Cookie", b"sid=s3cret"), (b"Authorization", b"s3cret")]))
    assert not any("s3cret" in text for text in (repr(told), combined(told), json_line(told)))


def test_a_cut_answer_and_an_unknown_age_are_visible() -> None:
    line = combined(record(age=None, complete=False))
    assert " age=- " in line
    assert line.endswith(" cut")


def test_the_json_line_has_every_field_of_the_record() -> None:
    trace = b"00-%b-%b-01" % (b"1" * 32, b"2" * 16)
    fields = Fields([(b"Host", b"h"), (b"Referer", b"http://a/"), (b"traceparent", trace)])
    whole = record(fields=fields, collapsed=False, wait=0.5, scheme=b"https", complete=False)
    assert json.loads(json_line(whole)) == {
        "time": "2026-11-23T20:00:00.250+00:00",
        "client": "127.0.0.1",
        "method": "GET",
        "host": "h",
        "target": "/a?b=1",
        "version": "HTTP/1.1",
        "status": 200,
        "sent": 41,
        "complete": False,
        "referer": "http://a/",
        "user_agent": None,
        "verdict": "stale",
        "why": "swr",
        "role": "hit",
        "age": 7.9,
        "wait": 0.5,
        "duration": 0.0012,
        "scheme": "https",
        "collapsed": False,
        "trace_id": "1" * 32,
        "span_id": "2" * 16,
    }
    parsed = json.loads(json_line(record(age=None)))
    assert set(parsed) == WRITTEN
    assert {name for name, said in parsed.items() if said is None} == {
        *("referer", "age", "collapsed", "trace_id", "span_id")
    }


#: A record's fields as they are called in JSON.
WRITTEN = {*Record.__dataclass_fields__, "host", "referer", "user_agent", "trace_id", "span_id"} - {"fields", "sent_on"}

HOSTILE = [
    b'x" 200 0 "-" "-" verdict=fresh',
    b"a\r\n127.0.0.1 - - forged",
    b"\x1b[2J\x00\x7f",
    b"\\x22\\",
    "\u2028\u0085".encode(),
    b"\xff\xfe",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_a_client_sends_ends_a_field_or_begins_a_line(text: bytes) -> None:
    hostile = record(target=text, user_agent=text, referer=text, method=text, version=text, host=text)
    line = combined(hostile)
    assert line.isascii()
    assert line.isprintable()
    assert line.count('"') == 6
    written = json_line(hostile)
    assert written.isascii()
    assert written.isprintable()
    assert set(json.loads(written)) == WRITTEN


@given(st.binary(), st.text())
def test_any_bytes_stay_on_their_line(value: bytes, word: str) -> None:
    hostile = record(target=value, user_agent=value, why=word, verdict=word, role=word, client=word)
    assert combined(hostile).isprintable() and combined(hostile).isascii()
    assert combined(hostile).count('"') == 6
    assert json_line(hostile).isprintable()


def test_what_is_written_escaped_can_be_told_from_what_was_sent_so() -> None:
    assert combined(record(target=b"/\xe9")) != combined(record(target=b"/\\xe9"))


def test_a_field_without_end_is_cut_and_marked() -> None:
    line = combined(record(user_agent=b"x" * 100_000))
    assert len(line) < 3000
    assert '..."' in line
    assert len(json_line(record(user_agent=b"\x00" * 100_000))) < 20_000


def test_lines_arrive_in_order_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    for number in range(1000):
        log(record(sent=number))
    log.close()
    lines = path.read_text().splitlines()
    assert lines == [combined(record(sent=number)) for number in range(1000)]
    assert log.dropped == 0


def test_a_log_that_was_moved_away_is_opened_anew(tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    log = AccessLog(str(path))
    path.rename(old)
    log(record())
    log.close()
    assert path.read_text() == combined(record()) + "\n"
    assert old.read_text() == ""


def lines(path: Path) -> int:
    """How many there are."""
    return path.read_text().count("\n") if path.exists() else 0


def test_a_log_that_was_moved_away_and_cannot_be_opened_anew_goes_on_there_until_it_can(tmp_path: Path) -> None:
    place, elsewhere = tmp_path / "log", tmp_path / "old"
    place.mkdir()
    path, old = place / "access.log", elsewhere / "access.log"
    log = AccessLog(str(path))
    place.rename(elsewhere)
    with capturedLogs() as events:
        log(record())
        eventually(lambda: lines(old) == 1)
        log(record())
        eventually(lambda: lines(old) == 2)
        place.mkdir()
        log(record())
        eventually(lambda: lines(path) == 1)
    log.close()
    assert (len(old.read_text().splitlines()), log.dropped) == (2, 0)
    assert [formatEvent(event) for event in events] == [
        f"access log {path}: moved away, and goes on there: no new one can be opened: No such file or directory"
    ]


def test_a_file_that_cannot_be_opened_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        AccessLog(str(tmp_path / "missing" / "access.log"))


def test_a_reader_that_has_stopped_reading_costs_lines_not_time_nor_more_memory_than_is_said(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(str(fifo))
    line = combined(record()).encode() + b"\n"
    in_pipe = 65536
    try:
        log.PENDING = 200_000
        for _ in range(5000):
            log(record())  # would hang here, were it to write
        kept = 5000 - log.dropped
        assert log.PENDING // len(line) <= kept <= (log.PENDING + in_pipe) // len(line)
        # Whoever reads on gets what was kept, and nothing else.
        os.set_blocking(reader, True)
        read = b""
        while len(read) < kept * len(line):
            read += os.read(reader, in_pipe)
        eventually(lambda: log._size == 0)  # there is room for others
        log.close()
        assert os.read(reader, in_pipe) == b""
        assert read == kept * line
    finally:
        os.close(reader)
        log.close()


def test_a_full_disk_costs_lines_and_the_log_goes_on() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    log = AccessLog("/dev/full")
    log(record())
    log.close()
    assert log.dropped == 1


def test_lines_that_a_full_disk_costs_are_told_of_once_and_their_number_when_it_goes_on(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    path = tmp_path / "access.log"
    path.symlink_to("/dev/full")
    with capturedLogs() as events:
        log = AccessLog(str(path))
        log(record())
        eventually(lambda: log.dropped == 1)
        log(record())
        eventually(lambda: log.dropped == 2)
        log(record())
        eventually(lambda: log.dropped == 3)
        path.unlink()
        log(record())
        eventually(lambda: lines(path) == 1)
        path.unlink()
        path.symlink_to("/dev/full")
        log(record())
        eventually(lambda: log.dropped == 4)
        path.unlink()
        log(record())
        log.close()
    assert path.read_text() == combined(record()) + "\n"
    lost = f"access log {path}: lines are being lost: No space left on device"
    assert [formatEvent(event) for event in events] == [
        *(lost, f"access log {path}: 3 lines have been lost"),
        *(lost, f"access log {path}: 1 lines have been lost"),
    ]


def test_what_follows_a_line_that_a_full_disk_has_cut_begins_on_its_own(tmp_path: Path) -> None:
    program = (
        "import resource, sys, time\n"
        "from tests.observe.test_accesslog import record\n"
        "from txstalecache.observe.accesslog import AccessLog\n"
        "log = AccessLog(sys.argv[1])\n"
        "limit = resource.RLIMIT_FSIZE\n"
        "resource.setrlimit(limit, (20, resource.RLIM_INFINITY)); log(record())\n"
        "while not log.dropped: time.sleep(0.01)\n"
        "resource.setrlimit(limit, (resource.RLIM_INFINITY,) * 2); log(record()); log(record()); log.close()\n"
    )
    path = tmp_path / "access.log"
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program, str(path)], cwd=root, timeout=30, check=True)
    line = combined(record())
    assert path.read_text().splitlines() == [line[:20], line, line]


def test_standard_output_is_the_descriptor_not_what_python_calls_so() -> None:
    program = (
        "import sys, io\n"
        "from tests.observe.test_accesslog import record\n"
        "from txstalecache.observe.accesslog import AccessLog\n"
        "sys.stdout = io.StringIO()\n"
        "log = AccessLog('-'); log(record()); log.close()\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, timeout=30, check=True)
    assert done.stdout.decode() == combined(record()) + "\n"


def test_closing_ends_the_writer_and_later_lines_are_counted(tmp_path: Path) -> None:
    before = threading.active_count()
    log = AccessLog(str(tmp_path / "access.log"))
    log.close()
    log.close()
    assert threading.active_count() == before
    log(record())
    assert log.dropped == 1
