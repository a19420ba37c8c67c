"""The files of the dashboard, as they are served: no token, a strict policy, nothing from elsewhere."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from tests.dashboard.site import Site
from tests.fleet.processes import ask
from txstalecache.admin.dashboard import page

NAMES = sorted(file.name for file in (files("txstalecache.admin") / "dashboard").iterdir())


def test_every_file_is_served_without_a_token_under_the_policy(site: Site) -> None:
    for name in NAMES:
        path = "/" if name == "index.html" else f"/dashboard.{name}"
        status, fields, body = ask(site.admin, path)
        assert status == 200
        assert body
        policy = dict(part.strip().split(" ", 1) for part in fields["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["require-trusted-types-for"] == "'script'"
        assert "unsafe" not in fields["content-security-policy"]
        assert fields["x-content-type-options"] == "nosniff"
        assert fields["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in fields
        assert ask(site.admin, path, "HEAD")[1]["content-length"] == fields["content-length"]
        assert ask(site.admin, path, "POST", "{}")[0] in (401, 404, 405)


@pytest.mark.parametrize("path", [b"/index.html", b"/dashboard.", b"/dashboard.index.html", b"/dashboard.../x", b"//"])
def test_there_is_nothing_else(path: bytes) -> None:
    assert page(path) is None


@pytest.mark.parametrize("name", NAMES)
def test_no_file_names_another_place_or_makes_markup_of_text(name: str) -> None:
    text = (files("txstalecache.admin") / "dashboard" / name).read_text("utf-8")
    places = set(re.findall(r"https?://[\w.-]+", text))
    # Names of namespaces, and examples in forms: nothing that is loaded.
    assert places <= {"http://www.w3.org", "http://example.org"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text)
    if name.endswith(".html"):
        assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]* src=)", text)
