"""What ``contrib/`` asks Prometheus for is there, can be read, and is explained."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.command import TOKEN
from tests.fleet.processes import Origin, Proxy, ask
from tests.support.debian import program

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "contrib/prometheus/alerts.yaml"
BOARD = ROOT / "contrib/grafana/txstalecache.json"

#: What Prometheus adds to every sample.
ADDED = {"job", "instance"}


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(BOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    """What the dashboard asks, its variables filled in."""
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [one.replace("$__rate_interval", "5m").replace("$job", "txstalecache") for one in asked]


def scraped(place: Path, origin: str, redis: str) -> str:
    """The metrics of a proxy that was asked for the same thing twice."""
    place.mkdir()
    (place / "token").write_text(TOKEN)
    admin = ("--admin", "tcp:0:interface=127.0.0.1", "--admin-token-file", str(place / "token"))
    proxy = Proxy(place, "--origin", origin, "--redis", redis, *admin)
    try:
        if redis == "embedded":
            proxy.wait_for("Redis at .* is connected")
        ask(proxy.port)
        ask(proxy.port)
        return ask(proxy.admin, "/metrics", Authorization=f"Bearer {TOKEN}")[2]
    finally:
        assert proxy.end() == 0


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The names of all samples, and their labels as far as there are samples, of two proxies: one with an origin and a
    Redis, one with neither."""
    place = tmp_path_factory.mktemp("proxies")
    origin = Origin()
    texts = [scraped(place / "good", origin.url, "embedded"), scraped(place / "bad", "http://127.0.0.1:9", "memory")]
    origin.close()
    found: dict[str, set[str]] = {}
    for family in (family for text in texts for family in text_string_to_metric_families(text)):
        kinds = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        for name in [*(family.name + kind for kind in kinds), *(sample.name for sample in family.samples)]:
            found.setdefault(name, set())
        for sample in family.samples:
            found[sample.name] |= set(sample.labels)
    return found


def asked(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric in it, with the labels that are asked for."""
    for name, matchers in re.findall(r"\b(txstalecache_\w+)(?:\{([^}]*)\})?", expression):
        yield name, set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\s*\"", matchers))


def grouped(expression: str) -> set[str]:
    return {label.strip() for labels in re.findall(r"\bby \(([^)]*)\)", expression) for label in labels.split(",")}


@pytest.mark.parametrize("expression", [*(rule["expr"] for rule in alerts()), *expressions()])
def test_every_metric_and_label_is_there(expression: str, metrics: dict[str, set[str]]) -> None:
    known = set().union(*metrics.values()) | ADDED
    names = list(asked(expression))
    assert names
    for name, labels in names:
        assert name in metrics
        assert labels <= (metrics[name] or known) | ADDED
    assert grouped(expression) <= known


def test_a_name_that_is_not_there_would_be_seen(metrics: dict[str, set[str]]) -> None:
    ((name, labels),) = asked('rate(txstalecache_no_such_total{colour="red"}[5m])')
    assert name not in metrics
    assert labels == {"colour"}
    assert metrics["txstalecache_requests_total"] == {"verdict", "why", "role", "status"}
    assert metrics["txstalecache_origin_faults_total"] == {"fault"}


def test_every_alert_is_explained_where_it_says() -> None:
    explained = re.findall(
        r"^\.\. rubric:: (Txstalecache\w+)$", (ROOT / "docs/operations.rst").read_text(), re.MULTILINE
    )
    assert sorted(explained) == sorted(rule["alert"] for rule in alerts())
    for rule in alerts():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]


def test_the_dashboard_loads_anywhere() -> None:
    board = json.loads(BOARD.read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    # No data source of somebody's, no place taken twice.
    assert {panel["datasource"]["uid"] for panel in panels()} == {"${source}"}
    assert {variable["name"] for variable in board["templating"]["list"]} == {"source", "job"}
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        squares = {
            (place["x"] + across, place["y"] + down) for across in range(place["w"]) for down in range(place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not squares & taken
        taken |= squares


def checked(*arguments: str | Path) -> str:
    done = subprocess.run(
        [program("promtool", "prometheus"), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_prometheus_takes_the_rules_and_they_fire_when_they_should(tmp_path: Path) -> None:
    assert f"{len(alerts())} rules found" in checked("check", "rules", ALERTS)
    (tmp_path / "alerts.yaml").write_text(ALERTS.read_text())
    (tmp_path / "stories.yaml").write_text((Path(__file__).parent / "stories.yaml").read_text())
    assert "SUCCESS" in checked("test", "rules", tmp_path / "stories.yaml")


@pytest.mark.slow
def test_prometheus_can_read_what_grafana_asks(tmp_path: Path) -> None:
    rules = [{"record": f"asked:{number}", "expr": one} for number, one in enumerate(expressions())]
    (tmp_path / "asked.yaml").write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    assert f"{len(rules)} rules found" in checked("check", "rules", tmp_path / "asked.yaml")
