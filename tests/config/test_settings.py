"""The command line's texts become settings that are usable as they stand, or every problem at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from txstalecache.config.options import Options
from txstalecache.config.settings import DEFAULTS, Settings, SettingsError
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.rules import Cookies, Rules

ORIGIN = {"origin": "http://127.0.0.1:8000"}


def head(**fields: bytes) -> RequestHead:
    named = [(name.replace("_", "-").encode(), value) for name, value in fields.items()]
    return RequestHead(b"GET", b"/a?b=1", Fields([(b"Host", b"example.com"), *named]), b"http", b"example.com")


def test_nothing_but_an_origin_leaves_every_decision_to_it() -> None:
    settings = Settings.parse(ORIGIN)
    assert settings.route().rules == Rules()
    assert settings.redis == "embedded"
    assert settings.listen == "tcp:8080:interface=127.0.0.1"
    assert settings.memory == 64 * 1024 * 1024
    assert settings.access_log == "-"
    clocks = settings.routes().pick(head()).clocks
    assert (clocks.wait_stale, clocks.leader_age, clocks.wait_deadline) == (1.0, 5.0, 15.0)


@pytest.mark.parametrize(
    ("name", "text", "attribute", "value"),
    [
        ("listen", "unix:/run/x.sock", "listen", "unix:/run/x.sock"),
        ("origin", "https://example.com/", "origin", "https://example.com"),
        ("origin", "http://[::1]:8000", "origin", "http://[::1]:8000"),
        ("origin", "unix:/run/app.sock", "origin", "unix:/run/app.sock"),
        ("redis", "memory", "redis", "memory"),
        ("redis", "redis://:secret@10.0.0.1:6380/3", "redis", "redis://:secret@10.0.0.1:6380/3"),
        ("redis", "rediss://cache.example", "redis", "rediss://cache.example"),
        ("redis", "unix:///run/redis.sock", "redis", "unix:///run/redis.sock"),
        ("prefix", "shop-1:", "prefix", "shop-1:"),
        ("ttl", "5", "ttl", 5.0),
        ("ttl", "0", "ttl", 0.0),
        ("stale", "100", "stale", 100.0),
        ("stale-if-error", "1h", "stale_if_error", 3600.0),
        ("methods", "get", "methods", frozenset({b"GET"})),
        ("methods", "GET, HEAD", "methods", frozenset({b"GET", b"HEAD"})),
        ("max-object", "1M", "max_object", 1048576),
        ("max-upload", "100M", "max_upload", 104857600),
        ("hosts", "Example.com, *.example.org,[::1]", "hosts", frozenset({b"example.com", b"*.example.org", b"[::1]"})),
        ("name", "edge-1", "name", "edge-1"),
        ("wait-deadline", "3", "wait_deadline", 3.0),
        ("memory", "0", "memory", 0),
        ("access-log", "/var/log/x.log", "access_log", "/var/log/x.log"),
        ("access-log", "none", "access_log", None),
        ("access-log-format", "json", "access_log_format", "json"),
    ],
)
def test_each_option_is_understood(name: str, text: str, attribute: str, value: Any) -> None:
    assert getattr(Settings.parse({**ORIGIN, name: text}), attribute) == value


BAD = [
    ("listen", "8080"),
    ("listen", ""),
    ("origin", ""),
    ("origin", "example.com"),
    ("origin", "ftp://example.com"),
    ("origin", "http://"),
    ("origin", "http://example.com:x"),
    ("origin", "http://example.com:0"),
    ("origin", "http://example.com:99999"),
    ("origin", "http://example.com/base"),
    ("origin", "http://example.com?x"),
    ("origin", "http://u:p@example.com"),
    ("origin", "http://exa mple.com"),
    ("origin", "http://example.com\nX: y"),
    ("redis", "yes"),
    ("redis", "http://example.com"),
    ("redis", "redis://"),
    ("redis", "redis://h:x"),
    ("redis", "redis://h/x"),
    ("redis", "unix://"),
    ("prefix", ""),
    ("prefix", "a b"),
    ("prefix", "{x}"),
    ("prefix", "a*"),
    ("prefix", "x" * 65),
    ("name", ""),
    ("name", "two words"),
    ("name", "x" * 65),
    ("ttl", "-1"),
    ("ttl", "10x"),
    ("stale", "soon"),
    ("stale-if-error", ""),
    ("key", ""),
    ("key", "constant"),
    ("key", "$"),
    ("key", "$nonsense"),
    ("methods", ""),
    ("methods", "POST"),
    ("methods", "HEAD"),
    ("methods", "G\xcbT"),
    ("max-object", "big"),
    ("hosts", ""),
    ("hosts", "example.com:80"),
    ("hosts", "http://example.com"),
    ("hosts", "*"),
    ("hosts", "a,,b"),
    ("hosts", "exam*.com"),
    ("wait-deadline", "0"),
    ("wait-deadline", "later"),
    ("memory", "-5"),
    ("access-log", ""),
    ("access-log-format", "xml"),
]


@pytest.mark.parametrize(("name", "text"), BAD)
def test_a_bad_value_is_one_line_that_names_its_option(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.parse({**ORIGIN, name: text})
    (problem,) = caught.value.problems
    assert problem.startswith(f"--{name}: ")
    assert problem.isprintable()
    assert 0 < len(problem) < 300


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.parse({"ttl": "x", "memory": "y"})
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["--ttl", "--memory", "--origin"]


def test_a_password_for_redis_is_in_no_message() -> None:
    for text in ("redis://:hunter2@h:x", "redis://:hunter2@h/x", "redi://:hunter2@h", "redis://u:hunter2@h?what=1"):
        with pytest.raises(SettingsError) as caught:
            Settings.parse({**ORIGIN, "redis": text})
        assert "hunter2" not in str(caught.value)


def test_an_origin_is_required_but_for_the_demo_which_brings_its_own() -> None:
    assert Settings.parse({}, demo=True).origin is None
    with pytest.raises(SettingsError, match="--origin"):
        Settings.parse({})
    with pytest.raises(SettingsError, match="--demo"):
        Settings.parse(ORIGIN, demo=True)
    with pytest.raises(SettingsError, match="--demo: brings its own origin; leave out --config"):
        Settings.parse({}, demo=True, config="x.toml", text="[upstream.w]\nservers = 'http://h'\n")
    assert Settings.parse({"workers": "1"}, demo=True).fleet.workers == 1
    with pytest.raises(SettingsError, match="--demo runs in one process"):
        Settings.parse({"workers": "2"}, demo=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ttl", "5"),
        ("stale", "5"),
        ("stale-if-error", "5"),
        ("key", "$uri"),
        ("methods", "GET"),
        ("max-object", "1M"),
        ("wait-deadline", "3"),
    ],
)
def test_what_an_option_says_of_routes_holds_for_the_one_there_is(name: str, text: str) -> None:
    file = f"[upstream.w]\nservers = 'http://h'\n[defaults]\n{name.replace('-', '_')} = '{text}'\n"
    (route,) = Settings.parse({**ORIGIN, name: text}).routes().routes
    (same,) = Settings.parse({}, config="x.toml", text=file).routes().routes
    assert route == same != Settings.parse(ORIGIN).route()


def test_who_may_use_the_admin_interface_has_to_be_said() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.parse({**ORIGIN, "admin": "tcp:8081"})
    assert caught.value.problems == [
        "--admin: needs --admin-token-file (or $TXSTALECACHE_ADMIN_TOKEN), whoever reaches it must know the token"
    ]


def test_memory_alone_needs_some() -> None:
    with pytest.raises(SettingsError, match="--memory"):
        Settings.parse({**ORIGIN, "redis": "memory", "memory": "0"})


def test_the_seeds_key_is_writable() -> None:
    route = Settings.parse({**ORIGIN, "key": "$http_user_agent|$uri"}).routes().pick(head())
    ours, other = head(User_Agent=b"a"), head(User_Agent=b"b")
    assert route.template.key(ours) != route.template.key(other)
    assert route.template.key(ours) == route.template.key(RequestHead(b"GET", b"/a?c=2", ours.fields))
    assert route.rules.keyed_fields == {b"user-agent"}


def test_only_the_whole_cookie_field_in_the_key_lets_requests_with_a_cookie_share() -> None:
    def cookies(key: str) -> Cookies:
        return Settings.parse({**ORIGIN, "key": key, "ttl": "5"}).route().rules.cookies

    assert cookies("$uri") is Cookies.PASS
    assert cookies("$uri|$cookie_lang") is Cookies.PASS
    assert cookies("$uri|$http_cookie") is Cookies.KEYED


def test_a_short_wait_shortens_the_clocks_before_it() -> None:
    clocks = Settings.parse({**ORIGIN, "wait-deadline": "0.5"}).routes().pick(head()).clocks
    assert (clocks.wait_stale, clocks.leader_age, clocks.wait_deadline) == (0.5, 0.5, 0.5)


def test_the_defaults_that_are_printed_are_the_defaults_in_force() -> None:
    printed = {parameter[0]: parameter[2] for parameter in Options.optParameters}
    assert dict(DEFAULTS) == {name: printed[name] for name in DEFAULTS}


def read(*arguments: str, **texts: str) -> Options:
    options = Options(**texts)
    options.parseOptions(list(arguments))
    return options


def test_what_no_option_says_is_for_the_file_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "[proxy]\nname = 'a'\nmemory = '1M'\n[redis]\nurl = 'memory'\n[upstream.w]\nservers = 'http://h'\n"
    Path("x.toml").write_text(text)
    options = read("--config", "x.toml", "--name", "b")
    settings = options.settings
    assert (settings.name, settings.memory, settings.redis) == ("b", 1 << 20, "memory")
    # For the processes that are started with them, and for the directory that twistd goes to.
    assert options.given == ["--config", "x.toml", "--name", "b"]
    assert settings.config == str(tmp_path / "x.toml")
    # A worker reads nothing any more.
    Path("x.toml").unlink()
    worker = read("--config", "x.toml", text=text.replace("'a'", "'c'"), started=text).settings
    assert (worker.name, worker.waiting) == ("a", ())


def test_several_origins_are_servers_of_one() -> None:
    (plan,) = read("--origin", "http://a", "-o", "http://b").settings.upstreams
    assert plan.servers == (("http://a", 1), ("http://b", 1))
    assert read("--demo").settings.demo and not read("--origin", "http://a").settings.demo
