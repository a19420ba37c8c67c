"""What is installed is what there is, and Twisted finds it."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import txstalecache
from tests.support.process import PROXY, finished

ROOT = Path(__file__).parents[1]


def setup_arguments() -> dict[str, ast.expr]:
    (call,) = [
        node
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setup"
    ]
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


def test_the_list_of_packages_is_complete() -> None:
    listed = ast.literal_eval(setup_arguments()["packages"])
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "txstalecache").rglob("__init__.py")}
    assert set(listed) == there | {"twisted.plugins"}
    assert len(listed) == len(set(listed))


def test_the_source_distribution_has_all_that_its_documents_and_commands_name() -> None:
    packed: set[Path] = set()
    for line in (ROOT / "MANIFEST.in").read_text().splitlines():
        command, *words = line.split()
        assert command in ("include", "recursive-include")
        room, patterns = (ROOT, words) if command == "include" else (ROOT / words[0], words[1:])
        for pattern in patterns:
            packed.update(room.glob(pattern) if room == ROOT else room.rglob(pattern))
    named = {ROOT / one for one in ("CHANGELOG.rst", "LICENSE", "Makefile", "README.rst", "SECURITY.rst", ".ci/run")}
    for tree in ("bench", "contrib", "docs", "examples", "newsfragments", "tests", "twisted"):
        named.update(path for path in (ROOT / tree).rglob("[!.]*") if path.is_file())
    made = {path for path in named if path.suffix == ".cache" or {"__pycache__", "_build"}.intersection(path.parts)}
    assert named - made - packed == set()


def test_twisteds_own_package_is_not_shadowed() -> None:
    assert not list((ROOT / "twisted").rglob("__init__.py"))


def test_the_plugin_is_a_name_and_nothing_else() -> None:
    tree = ast.parse((ROOT / "twisted/plugins/txstalecache_plugin.py").read_text())
    modules = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert modules == {"__future__", "twisted.application.service"}


@pytest.mark.parametrize("runner", sorted(PROXY))
def test_the_runner_lists_the_plugin(runner: str, tmp_path: Path) -> None:
    done = finished([PROXY[runner][0], "--help"], tmp_path)
    assert done.returncode == 0
    assert re.search(r"^\s+txstalecache\s+\w", done.stdout, re.MULTILINE)


def test_the_version_is_written_once() -> None:
    assert version("txstalecache") == txstalecache.__version__


def test_every_public_name_is_there() -> None:
    for name in txstalecache.__all__:
        assert getattr(txstalecache, name) is not None
    assert set(dir(txstalecache)) == set(txstalecache.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = txstalecache.nonsense


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    reasons = (ROOT / "docs/dependencies.rst").read_text()
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    for requirement in asked:
        name = re.split(r"[\[<>=;\s]", requirement)[0]
        if name != "txstalecache":
            assert f"``{name}" in reasons, name


def test_what_is_packaged_says_that_it_is_typed() -> None:
    assert (ROOT / "txstalecache/py.typed").exists()
    assert "py.typed" in ast.unparse(setup_arguments()["package_data"])
