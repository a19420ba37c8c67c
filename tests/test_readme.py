"""What the README shows works as shown."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import docutils.core
import docutils.nodes
import pytest

from tests.support.async_test import async_test
from tests.support.client import fetch
from tests.support.origin import Answer, ScriptedOrigin
from txstalecache.config.options import Options

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.rst").read_text()


def document(text: str = README) -> docutils.nodes.document:
    """``text`` as plain docutils reads it, which is what a package index does; any complaint is a failure."""
    settings = {"report_level": 1, "halt_level": 1, "file_insertion_enabled": False}
    return docutils.core.publish_doctree(text, settings_overrides=settings)


def examples() -> list[str]:
    """The Python in the README, in its order."""
    blocks = document().findall(docutils.nodes.literal_block)
    return [block.astext() for block in blocks if "python" in block["classes"]]


def run(example: str, origin: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(example.replace("http://127.0.0.1:8000", origin), "README.rst", "exec"), names)
    return names


def test_there_are_two_examples_and_the_long_one_ends_in_a_site() -> None:
    assert len(examples()) == 2


@pytest.mark.parametrize("number", [0, 1])
@async_test
async def test_the_embedding_examples_cache(number: int, origin: ScriptedOrigin) -> None:
    from twisted.internet import reactor as installed

    reactor: Any = installed
    made = 0

    def answers(_: object) -> Answer:
        nonlocal made
        made += 1
        return Answer(200, [("Cache-Control", "max-age=60")], b"answer %d" % made)

    origin.handler = answers
    names = run(examples()[number], origin.url)
    site: Any = names["site"]
    if "store" in names:
        await names["store"].ready()
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    try:
        path = "/api/x" if number else "/x"
        first = await fetch(port.getHost().port, "GET", path)
        second = await fetch(port.getHost().port, "GET", path)
        assert (first.status, first.body) == (200, b"answer 1")
        assert (second.status, second.body) == (200, b"answer 1")
        assert b"hit" in (second.field("cache-status") or b"")
        assert origin.hits(path) == 1
    finally:
        await port.stopListening()
        await names.get("cache", site.resource).close()
        if "store" in names:
            await names["store"].stopService()


def test_the_seeds_synopsis_in_one_line_is_understood() -> None:
    line = re.search(
        r"^    (twistd -n txstalecache --origin http://127\.0\.0\.1:9999(?:.*\\\n)*.*)$", README, re.MULTILINE
    )
    assert line is not None
    arguments = shlex.split(line[1].replace("\\\n", " "))[3:]
    options = Options()
    options.parseOptions(arguments)
    settings = options.settings
    assert (settings.ttl, settings.stale, settings.wait_deadline) == (5.0, 100.0, 3.0)
    assert settings.key.text == "$http_user_agent|$uri"


@pytest.mark.parametrize("path", ["README.rst", "docs/configuration.rst"])
def test_the_table_of_options_is_the_options(path: str) -> None:
    text = (ROOT / path).read_text()
    rows = dict(re.findall(r"^``(--[a-z-]+)(?: [A-Z]+)?``\s+(\S.*?)(?:\s{2,}.*)?$", text, re.MULTILINE))
    wanted = {f"--{parameter[0]}": parameter[2] for parameter in Options.optParameters} | {"--demo": None}
    assert set(rows) == set(wanted)
    for name, default in wanted.items():
        if default is not None:
            assert rows[name].startswith(f"``{default}``"), name


def test_every_target_the_readme_names_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)``|^    make ([a-z]+)$", README, re.MULTILINE)) <= {
        pair for target in targets for pair in ((target, ""), ("", target))
    }
    assert {"run", "test"} <= targets


def test_the_changelog_and_the_readme_are_plain_docutils() -> None:
    document()
    document((ROOT / "CHANGELOG.rst").read_text())
