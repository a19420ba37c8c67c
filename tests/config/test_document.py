"""The documentation of the settings is made from the settings."""

from __future__ import annotations

import re
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any

from txstalecache.config.document import SOURCE, document
from txstalecache.config.routes import Route
from txstalecache.config.schema import OF_CLIENTS, OF_FLIGHTS, TABLES
from txstalecache.config.settings import DEFAULTS, SAME, Settings
from txstalecache.edge.limits import EdgeLimits
from txstalecache.flight.limits import Limits
from txstalecache.generated import replaced
from txstalecache.origin.http import HttpOrigin
from txstalecache.origin.limits import PoolLimits

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_definitions_make() -> None:
    text = (ROOT / "docs/configuration.rst").read_text()
    assert replaced(text, SOURCE, document()) == text, (
        "run python -m txstalecache.config.document docs/configuration.rst"
    )


def test_every_default_can_be_read_and_every_setting_is_explained() -> None:
    for table in TABLES:
        for item in table.items:
            assert item.meaning
            if item.default is None:
                assert item.without, item.name
            else:
                item.read(item.default)


def test_an_option_means_what_its_setting_means() -> None:
    settings = Settings.parse({"origin": "http://127.0.0.1:1 http://127.0.0.1:2"})
    for name, item in SAME.items():
        if name != "origin" and item.default is not None:
            field = name.replace("-", "_")
            found = getattr(settings.fleet if hasattr(settings.fleet, field) else settings, field)
            assert found == item.read(item.default), name
            assert item.read(DEFAULTS[name]) == item.read(item.default)
    assert [url for url, _ in settings.upstreams[0].servers] == ["http://127.0.0.1:1", "http://127.0.0.1:2"]


def test_every_limit_of_clients_and_flights_can_be_said_and_has_the_default_of_its_class() -> None:
    settings = Settings.parse({"origin": "http://127.0.0.1:1"})
    body_and_hosts: dict[str, Any] = {"body": settings.max_upload, "hosts": settings.hosts}
    assert EdgeLimits(**settings.of_clients, **body_and_hosts) == EdgeLimits()
    assert settings.of_flights == Limits()
    assert {item.name for item in OF_CLIENTS} | set(body_and_hosts) == {one.name for one in fields(EdgeLimits)}
    assert {item.name for item in OF_FLIGHTS} == {one.name for one in fields(Limits)}


def test_a_route_and_the_pool_of_an_upstream_have_the_defaults_of_their_classes() -> None:
    settings = Settings.parse({"origin": "http://127.0.0.1:1"})
    assert settings.route() == Route()
    said, origin = settings.upstreams[0].values, signature(HttpOrigin).parameters
    for limit in fields(PoolLimits):
        assert origin[limit.name].default == limit.default == said.get(limit.name, limit.default), limit.name


def test_every_test_that_the_page_on_migrating_names_is_there() -> None:
    page = (ROOT / "docs/migrating.rst").read_text()
    tests = set(re.findall(r"async def test_(\w+)", (ROOT / "tests/config/test_seed.py").read_text()))
    table = page.partition("``test_…``")[2].partition("From Varnish")[0]
    rows = [row.rsplit("     - ", 1)[1] for row in table.split("   * - ")[1:]]
    named = [name for row in rows for name in re.findall(r"``(\w+)…?``", row)]
    assert len(named) > 20
    for name in named:
        assert any(test == name or (name.endswith("_") and test.startswith(name)) for test in tests), name
