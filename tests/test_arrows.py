"""Imports run one way: edge → flight → {store, origin} → http. observe imports http alone, and config beside it only
values; edge may import both, flight and store only observe. And what a request goes through says what it must not know.
Read from the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "txstalecache"

#: What each room may import of the others, and each module beside the rooms of rooms and of such modules.
MAY = {
    "http": set(),
    "store": {"http", "observe", "pause"},
    "origin": {"http"},
    "observe": {"http", "generated"},
    "config": {"http", "generated"},
    "flight": {"http", "store", "origin", "observe"},
    # The admin interface stands on top of all: it may look at everything, and nothing looks at it.
    "admin": {"http", "store", "origin", "flight", "edge", "config", "observe"},
    "cli": {"config", "generated"},
    "edge": {"http", "store", "origin", "flight", "config", "observe"},
    "__main__": {"cli"},
    "demo": set(),
    "generated": set(),
    "intercom": set(),
    "listening": set(),
    "nameless": set(),
    "pause": set(),
    "process": {"store"},
    "turns": {"nameless"},
    "upstreams": {"config", "origin"},
    "worker": {"config", "intercom", "process", "service", "turns"},
    "workers": {"config", "intercom", "nameless", "pause", "service", "store", "turns", "worker"},
}

#: What assembles the rooms, and so may name any.
ASSEMBLY = {"__init__", "administration", "embed", "service", "tap"}

#: What settings are made of, and what knows how to read them: ``config`` may name these of rooms it may not import.
BORROWED = {
    "txstalecache.flight.clocks",
    "txstalecache.flight.hooks",
    "txstalecache.flight.limits",
    "txstalecache.origin.address",
    "txstalecache.origin.interfaces",
    "txstalecache.store.address",
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(source: str, package: str) -> set[str]:
    """Every module that ``source`` imports, anywhere in it; a name imported from a package counts as its module."""
    return _named(ast.walk(ast.parse(source)), package)


def at_module_level(source: str, package: str) -> set[str]:
    """What is imported as soon as the module is: not in functions, not for types alone."""
    return _named(ast.parse(source).body, package)


def _named(nodes: Iterable[ast.AST], package: str) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import in {package}"
            base = node.module or ""
            found.update(_module(base, alias.name) for alias in node.names)
            found.update(f"{base}.{alias.name}" for alias in node.names if alias.name == "reactor")
    return found


def _module(base: str, name: str) -> str:
    there = ROOT.joinpath(*base.split("."), name)
    return f"{base}.{name}" if there.with_suffix(".py").exists() or there.is_dir() else base


def room_of(module: str) -> str:
    """The room of ``module``; for what stands beside the rooms, its own name."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def ours(path: Path) -> set[str]:
    return {one for one in imported(path.read_text(), name_of(path)) if one.partition(".")[0] == "txstalecache"}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_follow_the_arrows(path: Path) -> None:
    here = room_of(name_of(path))
    if here in ASSEMBLY:
        return
    borrowed = BORROWED if here == "config" else set()
    against = {
        module
        for module in ours(path)
        if room_of(module) != here
        and room_of(module) not in MAY[here]
        and module not in borrowed
        and module != "txstalecache"
    }
    assert not against


def test_nothing_names_the_edge_or_the_admin_interface_but_what_stands_on_top() -> None:
    assert {room for room, may in MAY.items() if "edge" in may} == {"admin"}
    assert not {room for room, may in MAY.items() if "admin" in may}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_what_a_request_goes_through_says_what_it_must_not_know(path: Path) -> None:
    if path.parent.name not in ("edge", "http", "flight", "store", "origin") or path.name == "__init__.py":
        return
    assert "Must not know" in (ast.get_docstring(ast.parse(path.read_text())) or "")


@pytest.mark.parametrize("path", sorted((PACKAGE / "http").glob("*.py")), ids=name_of)
def test_the_core_is_pure(path: Path) -> None:
    impure = {
        "twisted",
        "time",
        "logging",
        "socket",
        "asyncio",
        "threading",
        "random",
        "secrets",
        "txredisapi",
        "treq",
        "zope",
        "os",
    }
    assert not {module for module in imported(path.read_text(), name_of(path)) if module.partition(".")[0] in impure}
    assert "datetime.now" not in path.read_text()


#: What imports txredisapi, and txredisapi the reactor: to be imported late.
LATE = {f"txstalecache.store.{name}" for name in ("connections", "redis", "tracking", "wire")}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_nothing_imports_the_reactor_by_being_imported(path: Path) -> None:
    loaded = at_module_level(path.read_text(), name_of(path))
    assert "twisted.internet.reactor" not in loaded
    if name_of(path) not in LATE:
        assert not {module for module in loaded if module.partition(".")[0] in ("txredisapi", "pytest_twisted")}
        assert not loaded & LATE


def test_every_room_is_known() -> None:
    assert {room_of(name_of(path)) for path in modules()} == {*MAY, *ASSEMBLY}


def test_an_arrow_against_the_stream_would_be_seen() -> None:
    assert imported("from txstalecache.edge import resource", "x") == {"txstalecache.edge.resource"}
    assert imported("def f():\n    import txstalecache.edge.site", "x") == {"txstalecache.edge.site"}
    assert imported("from txstalecache.http.keys import Key", "x") == {"txstalecache.http.keys"}
    assert "twisted.internet.reactor" in at_module_level("from twisted.internet import defer, reactor", "x")
    assert not at_module_level("def f():\n    from twisted.internet import reactor", "x")
