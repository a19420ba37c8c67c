"""A configuration file is usable as it stands, or every problem in it is told at once, each with its place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.tls import Authority
from txstalecache.cli.main import main
from txstalecache.config.routes import Route, Routes
from txstalecache.config.schema import HOOKS, MATCH, ROUTE, TABLES, Item, read_table
from txstalecache.config.settings import Settings, SettingsError
from txstalecache.config.toml import ConfigError, Configuration, make_route
from txstalecache.flight.clocks import Late
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.rules import Cookies, Ranges

UPSTREAM = '[upstream.www]\nservers = ["http://127.0.0.1:9999"]\n'


def picked(routes: str, target: bytes, method: bytes = b"GET", host: bytes = b"example.com") -> str:
    configuration = Configuration.parse(UPSTREAM + routes)
    return Routes(configuration.routes).pick(RequestHead(method, target, Fields(), b"http", host)).name


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Configuration.parse(text)
    return caught.value.problems


def test_every_problem_is_told_at_once_with_its_place_and_a_suggestion() -> None:
    found = problems(
        "[proxi]\n[proxy]\nmemori = 3\nworkers = 0\n[limits]\nhead = '-1'\nstal = 1\n[redis]\nwhen_down = 'x'\n"
        "[admin]\nlisten = 'tcp'\n[upstream.www]\nservers = ['x']\n[[route]]\nmatch.path = '/'\n[[route]]\n"
        "stale = '10x'\nsttale = 4\nmethods = ['FOO']\nupstream = 'ww'\nrefresh = 'X-A'\n"
        "match = { regex = '(' }\nhooks = { key = 'no.such' }\nstatuses = { 99 = 1 }\n"
    )
    assert [problem.partition(": ")[0] for problem in found] == [
        "proxi",
        "proxy.memori",
        "proxy.workers",
        "redis.when_down",
        "limits.stal",
        "limits.head",
        "admin.listen",
        "upstream.www.servers",
        "route[2].sttale",
        "route[2].stale",
        "route[2].methods",
        "route[2].statuses",
        "route[2].match.regex",
        "route[2].upstream",
        "route[2].trusted",
        "route[2].hooks.key",
    ]
    assert "did you mean stall?" in found[4] and "did you mean stale?" in found[8]
    assert found[9] == "route[2].stale: expected seconds >= 0 (like 5, 0.5, 500ms, 10m, 1h), got '10x'"
    assert all(problem.isprintable() for problem in found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=",
        "[upstream]",
        "upstream = 3",
        UPSTREAM + "route = 3",
        UPSTREAM + "defaults = 3",
        UPSTREAM + "proxy = 3",
        UPSTREAM + "route = [3]",
        UPSTREAM + "[[route]]\nttl = true",
        UPSTREAM + "[[route]]\nttl = -1",
        UPSTREAM + "[[route]]\nttl = []",
        UPSTREAM + "[[route]]\nmatch = 3",
        UPSTREAM + "[[route]]\nhooks = { key = 'os.environ' }",
        UPSTREAM + '[[route]]\nrespond_with = { X = "a\\nb" }',
        UPSTREAM + "[[route]]\nmin_uses = 0",
        UPSTREAM + "[[route]]\nkey = 3",
        "[upstream.a]\nservers = ['http://h']\nca_file = 'x'",
        "[upstream.a]",
        "[upstream.a]\nservers = []",
        "[upstream.a]\nservers = [{ url = 'http://h', weight = 0 }]",
    ],
)
def test_what_makes_no_sense_is_never_a_traceback(text: str) -> None:
    assert all(0 < len(problem) < 300 for problem in problems(text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[route]]\nhooks = 'x.y'\n", "route[1].hooks: expected a table, got 'x.y'"),
        ("[defaults]\nhooks = { key = 'os.getcwd' }\n[[route]]\nhooks = 3\n", "route[1].hooks: expected a table"),
        ("[[route]]\nmatch.regex = 'a{99999999999999999999}'\n", "route[1].match.regex: expected a regular expression"),
        (
            f"[[route]]\nmatch.regex = '{'(' * 3000}{')' * 3000}'\n",
            "route[1].match.regex: expected a regular expression",
        ),
        (f"[[route]]\nttl = 0x{'f' * 5000}\n", "route[1].ttl: expected seconds"),
        (f"[[route]]\nmatch = 0x{'f' * 5000}\n", "route[1].match: expected a table"),
        (f"[[route]]\n[route.ttl{'.a' * 900}]\na{'.a' * 900} = 1\n", "route[1].ttl: expected seconds"),
    ],
    ids=range(7),
)
def test_a_problem_of_any_kind_hides_no_other(text: str, says: str) -> None:
    first, *rest, last = problems(UPSTREAM + "[proxy]\nworkers = 0\n" + text + "[[route]]\nttl = 'x'\n")
    assert (first.partition(":")[0], last.partition(":")[0]) == ("proxy.workers", "route[2].ttl")
    assert rest[0].startswith(says)
    assert all(len(problem) < 300 for problem in rest)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[route]]\nmatch = { path = '/a', prefix = '/b' }\n", "route[1].match: nothing meets it"),
        ("[[route]]\nmatch = { path = '/a', glob = '/b*' }\n", "route[1].match: nothing meets it"),
        ("[[route]]\n[[route]]\nmatch.path = '/a'\n", "route[2]: nothing comes to it: route[1], without match"),
        ("[[route]]\nmin_size = '2K'\nmax_object = '1K'\n", "route[1].min_size: more than max_object"),
        ("[defaults]\nmin_size = '9M'\n[[route]]\n", "defaults.min_size: more than max_object"),
        ("[[route]]\nmethods = 'GET,HEAD'\nmatch.methods = ['POST']\n", "route[1].methods: none of match.methods"),
        ("[defaults]\nmatch.prefix = '/a'\n", "defaults.match: belongs into each [[route]]"),
        ("[[route]]\nbypass = 'X-A'\n", "route[1].trusted: required with bypass and refresh"),
    ],
)
def test_a_route_that_could_do_nothing_is_refused(text: str, says: str) -> None:
    (problem,) = problems(UPSTREAM + text)
    assert problem.startswith(says)


@pytest.mark.parametrize(
    "text",
    [
        "[[route]]\nmatch = { path = '/a/b', prefix = '/a', glob = '*b', regex = '/b$' }\n",
        "[[route]]\nmatch.path = '/a'\n[[route]]\n",
        "[defaults]\nmin_size = '1K'\n[[route]]\nmax_object = 0\n",
        "[[route]]\nmin_size = '1K'\nmax_object = '1K'\n",
        "[[route]]\nmethods = 'GET,HEAD'\nmatch.methods = ['HEAD', 'POST']\n",
        "[defaults]\nmethods = 'GET,HEAD'\n[[route]]\nmatch.methods = ['POST']\nupstream = 'www'\n",
    ],
)
def test_a_route_that_does_little_is_not(text: str) -> None:
    Configuration.parse(UPSTREAM + text)


@pytest.mark.parametrize(
    ("servers", "says"),
    [
        ("['http://a', { weight = 2 }]", "server 2: expected a table with url, and perhaps weight, got"),
        ("['http://a', { url = 'http://b', weight = 0 }]", "server 2: weight: expected a whole number from 1 to 1000"),
        ("['http://a', 'http://b', 3]", "server 3: expected a text, got 3"),
        ("{ url = 'http://b', weight = 0 }", "weight: expected a whole number from 1 to 1000"),
    ],
)
def test_which_server_is_wrong_and_in_what_is_told(servers: str, says: str) -> None:
    (problem,) = problems(f"[upstream.x]\nservers = {servers}\n")
    assert problem.startswith(f"upstream.x.servers: {says}")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("servers = ['ftp://a', 'http://b', 'nonsense']", ["server 1: ", "server 3: "]),
        ("servers = 'http://a'\nfail_statuses = [200, 500, 700]", ["got 200", "got 700"]),
        ("servers = 'http://a'\n[proxy]\nhosts = ['a', 'b:80', 'c d']", ["got 'b:80'", "got 'c d'"]),
        ("servers = 'http://a'\n[proxy]\ntrusted_proxies = ['::1', 'x', 7]", ["got 'x'", "got 7"]),
        ("servers = 'http://a'\n[defaults]\nhide = ['A', 'b c', 'd:']", ["got 'b c'", "got 'd:'"]),
        (
            "servers = 'http://a'\n[defaults]\nrespond_with = { 'a b' = 'x', X-A = 1, X-B = 'x', Connection = 'x' }",
            ["got 'a b'", "X-A: expected a text", "Connection: is about the connection"],
        ),
        (
            "servers = 'http://a'\n[defaults]\nstatuses = { 99 = 1, 404 = 'x', 200 = 1, 500 = -1 }",
            ["got '99'", "404: expected seconds", "500: expected seconds"],
        ),
    ],
)
def test_all_that_is_wrong_in_a_list_or_a_table_is_told_at_once(text: str, wrong: list[str]) -> None:
    (problem,) = problems(f"[upstream.x]\n{text}\n")
    told = problem.split("; ")
    assert len(told) == len(wrong)
    assert all(expected in one for one, expected in zip(told, wrong, strict=True))


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p@ss/hunter2:rd@host",
        "redis://:p@ss?hunter2=1@host",
        "redis://:p@ss#hunter2@host",
        "redis+sentinel://:p@ss/hunter2@host/main",
        "redis+sentinel://:p@ss/hunter2@host",
        "redis+sentinel://:p@ss?hunter2=rd@host:1/main",
    ],
)
def test_nothing_of_a_password_is_told_where_it_makes_no_url(url: str) -> None:
    (problem,) = problems(f"{UPSTREAM}[redis]\nurl = '{url}'\n")
    assert "hunter2" not in problem
    assert "%2F" in problem


def test_what_each_connection_may_fill_the_memory_with_is_told_with_its_bounds() -> None:
    found = problems(UPSTREAM + "[limits]\nhead = '1T'\npipeline = '2M'\n")
    assert found == [
        "limits.head: expected 256 to 1048576 bytes, got '1T'",
        "limits.pipeline: expected 0 to 1048576 bytes, got '2M'",
    ]


def test_an_integer_of_more_digits_than_can_be_read_is_told_with_its_line() -> None:
    found = problems(UPSTREAM + "[[route]]\nttl = " + "1" * 5000 + "\n")
    assert found == ["not TOML: an integer of more than 4300 digits (at line 4)"]


def test_what_is_no_toml_or_not_even_text_is_told_with_its_place(tmp_path: Path) -> None:
    (problem,) = problems(UPSTREAM + "ttl =\n")
    assert problem.startswith("not TOML: ") and "at line 3" in problem
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="expected UTF-8"):
        Configuration.load(str(path))
    with pytest.raises(ConfigError, match="No such file or directory"):
        Configuration.load(str(tmp_path / "missing.toml"))


def test_what_is_within_bounds_is_good_and_what_is_beyond_them_is_not() -> None:
    good = Configuration.parse(
        "[proxy]\nworkers = 256\n[limits]\nhead = 256\npipeline = 0\nwindow = '64M'\n[admin]\nlisten = 'tcp:65535'\n"
        "[upstream.a]\nservers = { url = 'http://h', weight = 1000 }\nhost = 'a:65535'\nhealth_interval = '10ms'\n"
        "fail_statuses = [500, 599]\n[defaults]\nconnect = '1ms'\nmethods = 'GET, HEAD, post'\n"
        "respond_with = { X-A = ' b ' }\nstatuses = { 200 = 0, 599 = 1 }\n"
    )
    (route,) = good.routes
    assert route.rules.methods == frozenset({b"GET", b"HEAD", b"POST"})
    assert route.respond_with == ((b"X-A", b"b"),)
    found = problems(
        "[proxy]\nworkers = 257\nhosts = []\n[limits]\nhead = 255\nconnections = true\n[admin]\nlisten = 'tcp:65536'\n"
        "[upstream.a]\nservers = { url = 'http://h', weight = 1001 }\nhost = 'a:65536'\nhealth_interval = '9ms'\n"
        'fail_statuses = [499, 600]\nretry = 3\nserver_name = "a\\nb"\n[defaults]\nconnect = 0\n'
        "methods = 'GET, PUT'\nstrip = 3\nask_with = { 'é' = 'x' }\nbypass = ''\n"
    )
    assert {problem.partition(": ")[0] for problem in found} == {
        *("proxy.workers", "proxy.hosts", "limits.head", "limits.connections", "admin.listen"),
        *(f"upstream.a.{name}" for name in ("servers", "host", "health_interval", "fail_statuses", "retry")),
        *("upstream.a.server_name", "defaults.connect", "defaults.methods", "defaults.strip", "defaults.ask_with"),
        "defaults.bypass",
    }


#: One value, or more, of every kind that TOML knows.
VALUES: tuple[object, ...] = (True, False, -1, 0, 3, 10**30, 2.5, float("nan"), date(2026, 1, 1), "", " ", "é", "x")
VALUES += ("3s", "/x", "$uri", "GET", "127.0.0.1", [], [3], ["x"], [[]])
VALUES += ({}, {"a b": "x"}, {"X-A": "x"}, {"X-A": 3}, {"404": 3}, {"404": {}})
VALUES += tuple(one.value for kind in (Cookies, Ranges, Late) for one in kind)


def test_whatever_a_setting_is_given_it_is_taken_or_refused_in_one_line() -> None:
    for item in (item for table in (*TABLES, MATCH, HOOKS) for item in table.items):
        for value in VALUES:
            try:
                item.read(value)
            except ValueError as error:
                assert str(error).isprintable() and len(str(error)) < 300


def test_every_setting_of_a_route_makes_a_difference_to_it() -> None:
    def routes(item: Item) -> Iterator[Route]:
        for value in VALUES:
            problems: list[str] = []
            said = read_table(ROUTE, {item.name: value}, "route", problems)
            if not problems:
                yield make_route(said)

    usual = make_route(read_table(ROUTE, {}, "route", []))
    assert [item.name for item in ROUTE.items if all(route == usual for route in routes(item))] == []


def test_a_name_with_a_line_break_in_it_is_told_on_one_line() -> None:
    found = problems(
        '"a\\nb" = 5\n[upstream."o\\u2028\\u007fd"]\nservers = "x"\n[[route]]\n"tt\\nl" = 5\nupstream = "x"\n'
    )
    assert [problem.partition(": ")[0] for problem in found] == [
        '"a\\nb"',
        'upstream."o\\U00002028\\U0000007fd".servers',
        'route[1]."tt\\nl"',
        "route[1].upstream",
    ]
    assert all(problem.isprintable() for problem in found)


def test_what_defaults_say_wrong_is_said_once() -> None:
    assert len(problems(UPSTREAM + "[defaults]\nttl = 'x'\n[[route]]\n[[route]]")) == 1


@pytest.mark.parametrize(
    ("match", "fits", "others"),
    [
        ('path = "/a"', [b"/a", b"/a?q"], [b"/a/", b"/ab", b"/"]),
        ('prefix = "/a"', [b"/a", b"/a/b", b"/ab"], [b"/b/a"]),
        ('glob = "/img/*.jpg"', [b"/img/x.jpg", b"/img/x/y.jpg?z"], [b"/img/x.png", b"/x.jpg"]),
        ('glob = "*.jpg"', [b"/x.jpg"], [b"/x.png"]),
        ('glob = "[/][ab]"', [b"/a", b"/b"], [b"/c"]),
        ('glob = "?a"', [b"/a"], [b"/b"]),
        ("regex = '^/v[0-9]+/'", [b"/v1/x"], [b"/vx/", b"/a/v1/"]),
        ('prefix = "/a", glob = "*.js"', [b"/a/x.js"], [b"/b/x.js", b"/a/x.css"]),
    ],
)
def test_a_path_is_matched(match: str, fits: list[bytes], others: list[bytes]) -> None:
    routes = f'[[route]]\nname = "it"\nmatch = {{ {match} }}\n'
    assert [picked(routes, target) for target in fits] == ["it"] * len(fits)
    assert "it" not in [picked(routes, target) for target in others]


def test_host_and_method_are_matched() -> None:
    routes = '[[route]]\nname = "it"\nmatch = { host = ["*.shop.example", "a.example"], methods = ["GET"] }\n'
    assert picked(routes, b"/", host=b"www.SHOP.example:8080") == "it"
    assert picked(routes, b"/", host=b"a.example") == "it"
    assert picked(routes, b"/", host=b"b.example") == "default"
    assert picked(routes, b"/", b"POST", b"a.example") == "default"


def test_the_first_match_wins_and_defaults_are_inherited() -> None:
    text = (
        UPSTREAM + "[defaults]\nstale = 7\nttl = 1\n[[route]]\nmatch = { prefix = '/a' }\nttl = 2\n"
        "[[route]]\nmatch = { prefix = '/' }\nttl = 3\n"
    )
    first, second, last = Configuration.parse(text).routes
    assert [route.rules.ttl for route in (first, second, last)] == [2, 3, 1]
    assert {route.rules.stale for route in (first, second, last)} == {7}
    # So is each hook by itself.
    (route, _) = Configuration.parse(
        UPSTREAM + "[defaults.hooks]\nkey = 'os.fsencode'\ntags = 'os.getcwd'\n[[route]]\nhooks.tags = 'os.getpid'\n"
    ).routes
    assert route.hooks is not None
    assert [getattr(route.hooks, name) for name in ("key", "tags")] == [os.fsencode, os.getpid]
    assert picked(text.removeprefix(UPSTREAM), b"/a") == "route[1]"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[proxy]\nlisten = 'nope:80'", "proxy.listen"),
        ("[proxy]\nlisten = 'haproxy:nope:80'", "proxy.listen"),
        ("[proxy]\nlisten = 'tcp:99999'", "proxy.listen"),
        ("[proxy]\nlisten = 'haproxy:tcp:interface=127.0.0.1:port=99999'", "proxy.listen"),
        ("[admin]\nlisten = 'tcp6:http'", "admin.listen"),
        ("[upstream.a]\nservers = 'http://h'\nhost = 'a..b'", "upstream.a.host"),
        ("[upstream.a]\nservers = 'http://h'\nhost = 'a b'", "upstream.a.host"),
        ("[upstream.a]\nservers = 'http://h'\nhost = 'a/b@c'", "upstream.a.host"),
        ("[upstream.a]\nservers = 'http://h'\nhost = 'a:99999'", "upstream.a.host"),
        ("[upstream.a]\nservers = 'http://h'\nhost = '[::g]'", "upstream.a.host"),
        ("[upstream.a]\nservers = 'http://h'\nadd_prefix = '/a b'", "upstream.a.add_prefix"),
        ("[upstream.a]\nservers = 'http://h'\nadd_prefix = '/a?b'", "upstream.a.add_prefix"),
        ("[upstream.a]\nservers = 'http://h'\nadd_prefix = '/é'", "upstream.a.add_prefix"),
        ("[upstream.a]\nservers = 'http://h'\nstrip_prefix = '/日本'", "upstream.a.strip_prefix"),
        ("[upstream.a]\nservers = 'http://h'\nhealth_path = '/a b'", "upstream.a.health_path"),
        ("[upstream.a]\nservers = 'http://h'\nhealth_interval = '1ms'", "upstream.a.health_interval"),
        ("[upstream.a]\nservers = 'http://h'\nhealth_interval = 0", "upstream.a.health_interval"),
        ("[limits]\nwindow = 0", "limits.window"),
        ("[limits]\nwindow = '1T'", "limits.window"),
        ("[limits]\nbody_rate = '0K'", "limits.body_rate"),
        ("[limits]\nhead = 0", "limits.head"),
        ("[limits]\ntarget = 0", "limits.target"),
        ("[limits]\nhead = '1T'", "limits.head"),
        ("[limits]\nhead = 16", "limits.head"),
        ("[limits]\ntarget = '1T'", "limits.target"),
        ("[limits]\npipeline = '2M'", "limits.pipeline"),
        ("[[route]]\nmatch.path = '/a b'", "route[1].match.path"),
        ("[[route]]\nmatch.prefix = '/日本'", "route[1].match.prefix"),
        ("[[route]]\nmatch.glob = 'img/*.jpg'", "route[1].match.glob"),
        ("[[route]]\nmatch.glob = '/bücher/*'", "route[1].match.glob"),
        ("[[route]]\nmatch.host = 'p.example:8080'", "route[1].match.host"),
        ("[[route]]\nmatch.host = 'http://p.example'", "route[1].match.host"),
        ("[[route]]\nrespond_with = { Content-Length = '2' }", "route[1].respond_with"),
        ("[[route]]\nrespond_with = { transfer-encoding = 'chunked' }", "route[1].respond_with"),
        ("[[route]]\nrespond_with = { Connection = 'close' }", "route[1].respond_with"),
        ("[[route]]\nask_with = { Connection = 'X-A' }", "route[1].ask_with"),
    ],
)
def test_what_would_break_every_request_is_refused_before_there_is_one(text: str, place: str) -> None:
    (problem,) = problems(UPSTREAM + text)
    assert problem.startswith(f"{place}: ")
    assert problem.isprintable()


@pytest.mark.parametrize(
    "listen",
    [
        "tcp:0",
        "tcp:65535:interface=127.0.0.1",
        "tcp:interface=127.0.0.1:port=80",
        "tcp6:80:interface=\\:\\:1",
        "ssl:443:privateKey=/there/is/none.pem",
        "unix:/run/proxy.sock",
        "haproxy:tcp:80",
        "systemd:domain=INET:index=0",
    ],
)
def test_what_only_the_process_can_find_out_about_an_endpoint_is_left_to_it(listen: str) -> None:
    Configuration.parse(f"{UPSTREAM}[proxy]\nlisten = '{listen}'\n")


@pytest.mark.parametrize(
    ("host", "sent"),
    [
        ("Example.com", b"Example.com"),
        ("a_b.example:8080", b"a_b.example:8080"),
        ("bücher.example:8080", b"xn--bcher-kva.example:8080"),
        ("127.0.0.1:80", b"127.0.0.1:80"),
        ("[::1]:80", b"[::1]:80"),
    ],
)
def test_a_host_is_sent_as_the_dns_has_it(host: str, sent: bytes) -> None:
    (upstream,) = Configuration.parse(f"{UPSTREAM}host = '{host}'\n").upstreams
    assert upstream.values["host"] == sent


def test_an_ipv6_address_is_a_host_as_any_other() -> None:
    routes = '[[route]]\nname = "it"\nmatch.host = "[::1]"\n'
    assert picked(routes, b"/", host=b"[::1]") == "it"
    assert picked(routes, b"/", host=b"[::1]:8080") == "it"
    assert picked(routes, b"/", host=b"1") == "default"


def test_certificates_that_cannot_be_used_are_told_with_their_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority, path = Authority(tmp_path), tmp_path / "x.toml"
    mine, key = authority.issue("proxy.example")
    (tmp_path / "nonsense").write_text("nonsense")

    def said(ca_file: str, certificate: str) -> list[str]:
        path.write_text(
            f'[upstream.a]\nservers = "https://h"\nca_file = "{tmp_path}/{ca_file}"\n'
            f'[upstream.b]\nservers = "https://h"\nclient_certificate = "{tmp_path}/{certificate}"\n'
        )
        status, lines = main(["check", str(path)]), capsys.readouterr().err.splitlines()
        assert status == (2 if lines else 0)
        return [line.removeprefix(f"{path}: ") for line in lines]

    assert said(authority.path.name, mine.name) == []
    assert said("none", "none") == [
        f"upstream.a.ca_file: No such file or directory: {tmp_path}/none",
        f"upstream.b.client_certificate: No such file or directory: {tmp_path}/none",
    ]
    assert said(key.name, authority.path.name) == [
        f"upstream.a.ca_file: expected certificates in PEM: {key}",
        f"upstream.b.client_certificate: expected a certificate and its key in PEM: {authority.path}",
    ]
    assert len(said("nonsense", "nonsense")) == 2
    # Beside whatever else is wrong.
    path.write_text(f'[upstream.a]\nservers = "https://h"\nca_file = "{tmp_path}/none"\nqueue = -1\n')
    assert main(["check", str(path)]) == 2
    places = [line.removeprefix(f"{path}: ").partition(":")[0] for line in capsys.readouterr().err.splitlines()]
    assert places == ["upstream.a.queue", "upstream.a.ca_file"]


def test_certificates_in_use_need_not_be_readable_when_the_file_is_read_again(tmp_path: Path) -> None:
    authority, path = Authority(tmp_path), tmp_path / "x.toml"
    path.write_text(f'[upstream.a]\nservers = "https://h"\nca_file = "{authority.path}"\n')
    settings = Settings.parse({}, config=str(path))
    authority.path.unlink()
    assert settings.reread().upstreams == settings.upstreams


def test_keyed_cookies_count_as_keyed() -> None:
    (route, _) = Configuration.parse(UPSTREAM + "[[route]]\nkey = '$uri|$cookie_lang'\ncookies = 'keyed'\n").routes
    assert route.rules.cookies is Cookies.KEYED
    assert route.rules.keyed_fields == {b"cookie"}


def test_check_prints_what_is_in_force_and_that_means_the_same_again(tmp_path: object, capsys: object) -> None:
    path = f"{tmp_path}/x.toml"
    text = (
        UPSTREAM + "[redis]\nurl = 'redis://:hunter2@h:1/0'\n[defaults]\nstale = '1m'\n[[route]]\n"
        "match = { prefix = '/api' }\nstatuses = { 404 = '10s' }\nrespond_with = { X-A = 'b' }\n"
    )
    with open(path, "w") as file:
        file.write(text)
    assert main(["check", path]) == 0
    said: str = capsys.readouterr().out  # type: ignore[attr-defined]
    assert "hunter2" not in said
    assert 'key = "${scheme}${host}${request_uri}"' in said
    again = Configuration.parse(said.replace("…@", ""))
    assert again.routes[:1] == Configuration.parse(text).routes[:1]


@pytest.mark.parametrize(
    ("routes", "headed"),
    [
        ("", ["# whatever no other route is for"]),
        (
            "[defaults]\nstale = '1m'\nttl = 3\n[[route]]\nmatch = { prefix = '/a' }\nttl = 0.5\n",
            ["# route[1]", "# whatever no other route is for"],
        ),
        # Nothing is left for the defaults alone.
        (
            "[defaults]\nttl = '1m'\n[[route]]\nmatch = { prefix = '/a' }\n[[route]]\nstale = '1m'\n",
            ["# route[1]", "# route[2]"],
        ),
    ],
)
def test_what_check_prints_is_a_file_under_which_the_same_is_served(routes: str, headed: list[str]) -> None:
    known = Configuration.parse(UPSTREAM + routes)
    again = Configuration.parse(known.effective())
    lines = known.effective().splitlines()
    assert [before for before, line in pairwise(lines) if line == "[[route]]"] == headed
    assert (again.said, again.upstreams) == (known.said, known.upstreams)
    for target in (b"/a", b"/b"):
        asked = RequestHead(b"GET", target, Fields(), b"http", b"example.com")
        one, other = (replace(Routes(of.routes).pick(asked), name="") for of in (known, again))
        assert one == other


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@h/0",
        "redis://:pass@hunter2@h/0",
        "redis://user:@hunter2@@h/0",
        "redis+sentinel://user:hunter2@hunter2@h:1,h2:2/master?sentinel_user=x&sentinel_password=hunter2@hunter2",
        "unix://:hunter2@/run/redis.sock",
    ],
)
def test_nothing_of_a_password_is_printed(url: str) -> None:
    said = Configuration.parse(f"{UPSTREAM}[redis]\nurl = '{url}'\n").effective()
    assert "hunter2" not in said
    assert "…@" in said


def test_what_is_no_table_where_one_belongs_is_said() -> None:
    said = "defaults = 3\nroute = [3, {}]\nlimits = 3\n" + UPSTREAM
    assert problems(said) == [
        "limits: expected a table, got 3",
        "defaults: expected a table",
        "route[1]: expected a table",
    ]
    assert problems("route = 3\n" + UPSTREAM) == ["route: expected tables, each headed [[route]]"]
    assert problems("upstream = 3\n") == ["upstream: expected at least one table [upstream.NAME] with servers"]


def test_check_tells_every_problem_and_fails(tmp_path: object, capsys: object) -> None:
    path = f"{tmp_path}/x.toml"
    with open(path, "w") as file:
        file.write("[[route]]\nttl = 'x'\nstail = 3\n")
    assert main(["check", path]) == 2
    errors: str = capsys.readouterr().err  # type: ignore[attr-defined]
    assert len(errors.splitlines()) == 3
    assert main(["check", f"{tmp_path}/missing.toml"]) == 2


TOKEN = "a-token-of-some-length"
PROCESS = """
[proxy]
workers = 2
hosts = "a.example"
[redis]
url = "redis://127.0.0.1:1"
when_down = "protect"
[limits]
stall = "3s"
connections = 7
waiters_per_key = 5
[admin]
listen = "tcp:0:interface=127.0.0.1"
token_file = "{token}"
"""


def test_the_file_says_what_options_say_and_options_come_first(tmp_path: Path) -> None:
    token, path = tmp_path / "token", tmp_path / "x.toml"
    token.write_text(TOKEN)
    path.write_text(UPSTREAM + PROCESS.format(token=token))
    settings = Settings.parse({}, config=str(path))
    fleet = settings.fleet
    assert (fleet.workers, fleet.redis_down, fleet.token) == (2, "protect", TOKEN.encode())
    assert fleet.admin == "tcp:0:interface=127.0.0.1"
    assert settings.hosts == frozenset({b"a.example"})
    assert (settings.of_clients["stall"], settings.of_clients["connections"]) == (3.0, 7)
    assert settings.of_flights.waiters_per_key == 5
    # Also where an option says what holds anyway.
    over = Settings.parse({"workers": "1", "redis-down": "local", "hosts": "b.example"}, config=str(path))
    assert (over.fleet.workers, over.fleet.redis_down, over.hosts) == (1, "local", frozenset({b"b.example"}))
    assert over.fleet.token == TOKEN.encode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[proxy]\nworkers = 2\n[redis]\nurl = 'memory'", "proxy.workers: several processes need a Redis"),
        ("[redis]\nurl = 'memory'\nwhen_down = 'protect'", "redis.when_down: without a Redis"),
        ("[admin]\nlisten = 'tcp:0'", "admin.listen: needs admin.token_file"),
        ("[admin]\ntoken_file = 'x'", "admin.token_file: is for admin.listen"),
        ("[redis]\nurl = 'memory'\n[proxy]\nmemory = 0", "proxy.memory: without a Redis"),
        (
            "[proxy]\nlisten = 'tcp:80'\n[admin]\nlisten = 'tcp:80'\ntoken_file = '/x'",
            "admin.listen: is the public endpoint too (proxy.listen)",
        ),
    ],
)
def test_settings_that_contradict_one_another_are_told_by_their_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    path = tmp_path / "x.toml"
    path.write_text(UPSTREAM + text)
    assert main(["check", str(path)]) == 2
    (problem,) = capsys.readouterr().err.splitlines()
    assert problem.startswith(f"{path}: {says}")


@pytest.mark.parametrize(
    ("text", "beside"),
    [
        ("[admin]\nlisten = 'tcp:0'", {"admin-token-file": "token"}),
        ("[admin]\nlisten = 'tcp:0'\ntoken_file = '/nowhere'", {"admin-token-file": "token"}),
        ("[admin]\ntoken_file = 'token'", {"admin": "tcp:0"}),
        ("[proxy]\nworkers = 2\n[redis]\nurl = 'memory'", {"redis": "redis://127.0.0.1:1"}),
        ("[proxy]\nworkers = 2\n[redis]\nurl = 'memory'", {"workers": "1"}),
        ("[redis]\nurl = 'memory'\nwhen_down = 'protect'", {"redis": "redis://127.0.0.1:1"}),
        ("[redis]\nurl = 'memory'\n[proxy]\nmemory = 0", {"memory": "1M"}),
    ],
)
def test_what_options_beside_the_file_make_good_is_good_at_the_start_and_when_it_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, beside: dict[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "x.toml").write_text(UPSTREAM + text)
    settings = Settings.parse(beside, config="x.toml")
    assert settings.reread().fleet == settings.fleet


def test_the_token_is_read_when_the_proxy_starts_and_never_again(tmp_path: Path) -> None:
    token, path = tmp_path / "token", tmp_path / "x.toml"
    path.write_text(UPSTREAM + PROCESS.format(token=token))
    with pytest.raises(SettingsError) as caught:
        Settings.parse({}, config=str(path))
    assert caught.value.problems == [f"{path}: admin.token_file: No such file or directory: {token}"]
    token.write_text(TOKEN)
    settings = Settings.parse({}, config=str(path))
    token.unlink()
    path.write_text(UPSTREAM + PROCESS.format(token=token) + "[[route]]\nname = 'another'\n")
    again = settings.reread()
    assert [route.name for route in again.of_file] == ["another", "default"]
    assert again.fleet == settings.fleet and again.fleet.token == TOKEN.encode()
    assert settings.reread(path.read_text()).of_file == again.of_file
    # Nor by a worker, which has no use for it.
    assert Settings.parse({}, config=str(path), text=path.read_text()).fleet.token == b""


@pytest.mark.parametrize(
    ("written", "good"),
    [
        (b"t" * 16, True),
        (b" " + b"t" * 16 + b"\r\n", True),
        (b"!" * 1023 + b"~", True),
        (b"t" * 15, False),
        (b"t" * 15 + b"\n", False),
        (b"t" * 1025, False),
        (b"t" * 16 + b" two", False),
        (b"t" * 16 + b"\x7f", False),
        (b"t" * 16 + "é".encode(), False),
    ],
)
@pytest.mark.parametrize("file", [True, False])
def test_a_token_is_one_word_of_16_to_1024_visible_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bytes, good: bool, file: bool
) -> None:
    path = tmp_path / "token"
    path.write_bytes(written)
    monkeypatch.setenv("TXSTALECACHE_ADMIN_TOKEN", os.fsdecode(written.strip()))
    options = {"origin": "http://127.0.0.1:9", "admin": "tcp:0"}
    option, where = "--admin", "$TXSTALECACHE_ADMIN_TOKEN"
    if file:
        options["admin-token-file"] = where = str(path)
        option = "--admin-token-file"
    if good:
        assert Settings.parse(options).fleet.token == written.strip()
        return
    with pytest.raises(SettingsError) as caught:
        Settings.parse(options)
    assert caught.value.problems == [f"{option}: expected one token of 16 to 1024 visible ASCII characters in {where}"]


def test_an_option_that_contradicts_the_file_is_told_by_the_options_name(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(UPSTREAM + "[proxy]\nworkers = 2\n")
    with pytest.raises(SettingsError) as caught:
        Settings.parse({"redis": "memory", "ttl": "5"}, config=str(path))
    assert caught.value.problems == ["--ttl: belongs into the file that --config names"]
    with pytest.raises(SettingsError) as caught:
        Settings.parse({"redis": "memory"}, config=str(path))
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: proxy.workers: several processes need a Redis")
    with pytest.raises(SettingsError, match=r"^--workers: several processes need a Redis"):
        Settings.parse({"redis": "memory", "workers": "3"}, config=str(path))


def test_check_shows_limits_and_admin_in_what_is_in_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token, path = tmp_path / "token", tmp_path / "x.toml"
    token.write_text(TOKEN)
    path.write_text(UPSTREAM + PROCESS.format(token=token))
    assert main(["check", str(path)]) == 0
    said = capsys.readouterr().out
    for line in ("workers = 2", 'when_down = "protect"', 'stall = "3s"', 'idle = "15s"', f'token_file = "{token}"'):
        assert line in said.splitlines()
    assert TOKEN not in said
    path.write_text(said)
    assert main(["check", str(path)]) == 0
    once, again = (one.partition("[upstream.www]")[0] for one in (said, capsys.readouterr().out))
    assert again == once


def test_a_process_in_the_place_of_another_has_todays_routes_and_all_else_as_it_was_at_the_start() -> None:
    started = UPSTREAM + "[proxy]\nname = 'old'\n[redis]\nprefix = 'old:'\n[[route]]\nname = 'first'\n"
    today = (
        UPSTREAM.replace("9999", "9998")
        + "[proxy]\nname = 'new'\nmemory = '1M'\n[limits]\nstall = '3s'\n[[route]]\nname = 'second'\n"
    )
    settings = Settings.parse({}, config="x.toml", text=today, started=started)
    assert (settings.name, settings.prefix, settings.memory) == ("old", "old:", 64 << 20)
    assert settings.of_clients["stall"] == 30.0
    assert [route.name for route in settings.of_file] == ["second", "default"]
    assert (settings.origin, settings.text) == ("http://127.0.0.1:9998", today)
    again = settings.reread(today.replace("9998", "9997"))
    assert (again.origin, again.text) == ("http://127.0.0.1:9997", today.replace("9998", "9997"))
    assert set(again.waiting) == {"proxy.name", "proxy.memory", "redis.prefix", "limits.stall"}
