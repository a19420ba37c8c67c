"""What ``pyproject.toml`` cannot say: ``twisted.plugins`` is a package here without being one (no ``__init__.py``).

The packages are listed by hand because discovery skips such a directory, and ``package_dir`` is spelled out so that an
editable install puts this directory itself on the path: Twisted then finds the plugin in it as well.
"""

from setuptools import setup

setup(
    package_dir={"": "."},
    packages=[
        "txstalecache",
        "txstalecache.admin",
        "txstalecache.cli",
        "txstalecache.config",
        "txstalecache.edge",
        "txstalecache.flight",
        "txstalecache.http",
        "txstalecache.observe",
        "txstalecache.origin",
        "txstalecache.store",
        "twisted.plugins",
    ],
    package_data={"txstalecache": ["py.typed"], "txstalecache.admin": ["dashboard/*"]},
)
