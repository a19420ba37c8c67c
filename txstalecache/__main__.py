"""``python -m txstalecache``."""

from txstalecache.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
