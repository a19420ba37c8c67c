"""Sphinx: built with warnings as errors by ``make docs``."""

from __future__ import annotations

from txstalecache import __version__

project = "txstalecache"
author = "The txstalecache authors"
project_copyright = f"2026, {author}"
release = version = __version__

extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Stale at once, fetched once"}
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
