"""A real master, its replica and three Sentinels, on ports of their own."""

from __future__ import annotations

import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

from tests.support.redis import RedisServer

__all__ = ["Sentinels", "free_port"]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Sentinels:
    """A master and a replica (``servers``), and three Sentinels (``sentinels``: their ports) that watch over them.
    ``stack`` ends them all. With ``password`` the servers take it, and the Sentinels the same with ``-s`` behind it."""

    def __init__(self, binary: str, directory: Path, stack: ExitStack, password: str = "") -> None:
        ports = [free_port() for _ in range(2)]
        self._auth = (password,) if password else ()
        locked = ("--requirepass", password, "--masterauth", password) if password else ()
        self.servers = [RedisServer(binary, "--port", str(port), "--bind", "127.0.0.1", *locked) for port in ports]
        for server in self.servers:
            stack.callback(server.close)
            server.start()
        self.servers[1].command("REPLICAOF", "127.0.0.1", str(ports[0]), auth=self._auth)
        self.sentinels = [free_port() for _ in range(3)]
        for number, port in enumerate(self.sentinels):
            config = directory / f"sentinel{number}.conf"
            config.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {directory}\n"
                f"sentinel monitor main 127.0.0.1 {ports[0]} 2\n"
                "sentinel down-after-milliseconds main 500\n"
                "sentinel failover-timeout main 3000\n"
                + (f"sentinel auth-pass main {password}\nrequirepass {password}-s\n" if password else "")
            )
            process = subprocess.Popen(
                [binary, str(config), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait, 10)
            stack.callback(process.kill)
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        self.url = f"redis+sentinel://{hosts}/main"
        if password:
            self.url = f"redis+sentinel://:{password}@{hosts}/main?sentinel_password={password}-s"

    def answer(self) -> bool:
        """Whether the Sentinels can be asked."""
        for port in self.sentinels:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                return False
        return True

    def knows_the_replica(self) -> bool:
        """Whether the Sentinels can fail over: they have found one another and the replica."""
        for port in self.sentinels:
            try:
                with socket.create_connection(("127.0.0.1", port), 1) as asked:
                    asked.settimeout(1)
                    for word in self._auth:
                        asked.sendall(f"AUTH {word}-s\r\n".encode())
                        assert asked.recv(100) == b"+OK\r\n"
                    asked.sendall(b"SENTINEL master main\r\n")
                    words = asked.recv(65536).split(b"\r\n")
            except OSError:
                return False
            for name, least in ((b"num-slaves", 1), (b"num-other-sentinels", 2)):
                if name not in words or int(words[words.index(name) + 2]) < least:
                    return False
        return b"master_link_status:up" in self.servers[1].command("INFO", "replication", auth=self._auth)
