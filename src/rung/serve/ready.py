"""The ready file: where the server is and how to be let in, for whoever started it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rung.errors import ConfigError
from rung.writing import write_whole


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """What the ready file holds.

    Args:
        url: what clients take for their base URL.
        port: on which it listens; `None` for a Unix socket.
        socket: path of that; `None` for a port.
        pid: of the server.
        token: what clients take for their key.
        version: of rung.
        page: what a browser opens, the token included; `None` for a Unix socket.
    """

    url: str
    port: int | None
    socket: str | None
    pid: int
    token: str = field(repr=False)
    version: str
    page: str | None = field(default=None, repr=False)


class ReadyFile:
    """A file that is there, whole, as long as the server is. Only this user can read it.

    Args:
        path: where it lies. One that an earlier server left is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._is_ours = False

    def write(self, ready: ServerAddress) -> None:
        """Say that the server is ready.

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
        """Remove what this server wrote, unless another has written there since."""
        if not self._is_ours:
            return
        try:
            if json.loads(self.path.read_bytes()).get("pid") == os.getpid():
                self.path.unlink(missing_ok=True)
        except (OSError, ValueError):
            pass
