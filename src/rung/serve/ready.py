"""The ready file: it tells the program that started the server its address and token."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rung.errors import ConfigError
from rung.writing import write_whole


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """The contents of the ready file.

    Args:
        url: base URL for clients.
        port: the port that it listens on; `None` for a Unix socket.
        socket: path of the Unix socket; `None` for a port.
        pid: of the server.
        token: API key for clients.
        version: of rung.
        page: URL to open in a browser, including the token; `None` for a Unix socket.
    """

    url: str
    port: int | None
    socket: str | None
    pid: int
    token: str = field(repr=False)
    version: str
    page: str | None = field(default=None, repr=False)


class ReadyFile:
    """A file that exists while the server runs, and is never seen half-written. Only this user can read it.

    Args:
        path: of the file. A file that an earlier server left is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._is_ours = False

    def write(self, ready: ServerAddress) -> None:
        """Write the file, which says that the server is ready.

        Raises:
            ConfigError: the file can't be written.
        """
        try:
            write_whole(self.path, json.dumps(asdict(ready)).encode() + b"\n")
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ConfigError(f"the ready file {self.path} can't be written: {why}") from None
        self._is_ours = True

    def remove(self) -> None:
        """Remove this server's file, unless another server has replaced it since."""
        if not self._is_ours:
            return
        try:
            if json.loads(self.path.read_bytes()).get("pid") == os.getpid():
                self.path.unlink(missing_ok=True)
        except (OSError, ValueError):
            pass
