"""A proxy with its admin interface on, which can be stopped and started again at the same place."""

from __future__ import annotations

from pathlib import Path

from tests.fleet.processes import Origin, Proxy

__all__ = ["TOKEN", "Site"]

TOKEN = "a-token-of-some-length"


class Site:
    """A proxy in front of ``origin``."""

    def __init__(self, place: Path, origin: Origin) -> None:
        self.origin = origin
        self._place = place
        (place / "token").write_text(TOKEN)
        self.proxy = self._start(0)
        self.admin = self.proxy.admin

    def _start(self, admin: int) -> Proxy:
        options = ["--admin", f"tcp:{admin}:interface=127.0.0.1", "--admin-token-file", str(self._place / "token")]
        return Proxy(self._place, "--origin", self.origin.url, "--redis", "memory", *options)

    @property
    def port(self) -> int:
        return self.proxy.port

    @property
    def dashboard(self) -> str:
        return f"http://127.0.0.1:{self.admin}/"

    @property
    def signed_in(self) -> str:
        """The dashboard, with the token where only the page sees it."""
        return f"{self.dashboard}#token={TOKEN}"

    def stop(self) -> None:
        assert self.proxy.end() == 0
        assert "Traceback" not in self.proxy.output

    def start_again(self) -> None:
        self.proxy = self._start(self.admin)
        assert self.proxy.admin == self.admin

    def close(self) -> None:
        # Not in order, which a page that is open makes last: a test that stops it sees to that.
        self.proxy.close()
        assert "Traceback" not in self.proxy.output
