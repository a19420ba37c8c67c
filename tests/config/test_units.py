"""Numbers as people write them."""

from __future__ import annotations

import pytest

from txstalecache.config.units import parse_bytes, parse_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("5", 5.0),
        ("0.5", 0.5),
        (" 5 s ", 5.0),
        ("500ms", 0.5),
        ("10m", 600.0),
        ("1h", 3600.0),
        ("7D", 604800.0),
        ("3650d", 315360000.0),
    ],
)
def test_a_duration_is_read_in_its_unit(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1048576", 1048576),
        ("512K", 524288),
        ("512kb", 524288),
        ("64M", 67108864),
        ("64MiB", 67108864),
        ("1.5G", 1610612736),
        ("100b", 100),
        (" 1 KiB ", 1024),
        ("1T", 1 << 40),
    ],
)
def test_a_size_is_read_in_powers_of_1024(text: str, size: int) -> None:
    assert parse_bytes(text) == size


NOT_NUMBERS = [
    "",
    " ",
    "-1",
    "+1",
    "1e3",
    "nan",
    "inf",
    "0x10",
    "1,5",
    "5 5",
    "5x",
    "five",
    "1_000",
    "٣",
    "5\n5",
    "M",
    "ib",
]


@pytest.mark.parametrize("text", [*NOT_NUMBERS, "5M5", "5k", "3651d", "9" * 400])
def test_what_is_no_duration_is_said_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"\Aexpected [^\n]{1,160}\Z"):
        parse_seconds(text)


@pytest.mark.parametrize("text", [*NOT_NUMBERS, "5h", "17T", "9" * 400])
def test_what_is_no_size_is_said_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"\Aexpected [^\n]{1,160}\Z"):
        parse_bytes(text)
