"""Which proxy is asked, with which token: options before the environment, and nothing that could not be asked."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from txstalecache.cli.connection import ADMIN, TOKEN, USUAL, Connection, _seconds
from txstalecache.cli.exits import BadUsage
from txstalecache.cli.numbers import whole


def connection(
    admin: str | None = None, file: Path | None = None, environment: Mapping[str, str] = MappingProxyType({})
) -> Connection:
    said = Namespace(admin=admin, token_file=None if file is None else str(file), timeout=3.0)
    return Connection.of(said, environment)


@pytest.mark.parametrize(
    ("option", "environment", "url", "path"),
    [
        (None, None, USUAL, None),
        (None, "http://e:1", "http://e:1", None),
        ("http://o/", "http://e:1", "http://o", None),
        ("https://[::1]:8443", None, "https://[::1]:8443", None),
        ("unix:/run/x", None, "http://localhost", "/run/x"),
        ("unix:///run/x", None, "http://localhost", "/run/x"),
        ("unix:run/x", None, "http://localhost", "run/x"),
    ],
)
def test_it_is_where_the_option_or_else_the_environment_says(
    option: str | None, environment: str | None, url: str, path: str | None
) -> None:
    found = connection(option, environment={} if environment is None else {ADMIN: environment})
    assert (found.url, found.path, found.token, found.timeout) == (url, path, "", 3.0)
    assert str(found) == (url if path is None else f"unix:{path}")


@pytest.mark.parametrize(
    "admin",
    [
        *("unix:", "unix:a\0b", "h:1", "ftp://h", "http://", "http://h:0", "http://h:99999", "http://h/x"),
        *("http://h?x", "http://h#x", "http://u@h", "http://:p@h", "http://[::1", "http://bücher", "http://a b"),
    ],
)
def test_where_nobody_could_be_asked_is_said_at_once(admin: str) -> None:
    with pytest.raises(BadUsage, match=r"^--admin: expected"):
        connection(admin)


def test_the_token_is_one_word_from_the_file_or_else_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" of~the!file\r\n")
    found = connection(file=file, environment={TOKEN: "of-the-environment"})
    assert found.token == "of~the!file"
    assert "file" not in repr(found)
    assert connection(environment={TOKEN: " of-the-environment\n"}).token == "of-the-environment"
    for bad in (b"two words", b"\x7f", "grün".encode(), b" \n"):
        file.write_bytes(bad)
        with pytest.raises(BadUsage, match="token"):
            connection(file=file)
    with pytest.raises(BadUsage, match=r"the token of [$]TXSTALECACHE_ADMIN_TOKEN"):
        connection(environment={TOKEN: "two words"})


def test_numbers_are_read_as_they_are_meant() -> None:
    assert [_seconds(text) for text in ("0.5", "3600")] == [0.5, 3600.0]
    assert [whole(text) for text in ("0", "999999999")] == [0, 999_999_999]
    for bad in ("0", "-1", "3600.1", "nan", "inf", "x"):
        with pytest.raises(ArgumentTypeError, match="expected seconds, up to 3600, got"):
            _seconds(bad)
    for bad in ("", "-1", "1.0", "²", "１", "1" * 10):
        with pytest.raises(ArgumentTypeError, match="expected a number, got"):
            whole(bad)
