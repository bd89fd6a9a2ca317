"""Where an endpoint is, and how far a prompt travels to reach it. Nothing here resolves a name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from rung.errors import ConfigError
from rung.hosts import addresses, canonical, place, zone_of
from rung.types import Zone

_PATH = re.compile(r"[A-Za-z0-9/._~%@:+,=-]*", re.ASCII)
_PORTS = {"http": 80, "https": 443}
_EXAMPLE = "write it as http://127.0.0.1:8000/v1"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The parts of a base URL.

    Args:
        scheme: `http` or `https`.
        host: host in its canonical form (`rung.hosts`).
        port: the port, which is always given.
        path: path without a slash at its end.
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str, setting: str) -> Endpoint:
        """The endpoint that a URL names.

        Args:
            url: the URL. It is read strictly, since two readers of a lenient URL may see two hosts in it.
            setting: name of the setting, for the error.

        Raises:
            ConfigError: the URL is not a plain http(s) URL. It is not repeated, since it may hold a password.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ConfigError(f"{setting} is not a URL", hint=_EXAMPLE) from None
        if "@" in parts.netloc:
            raise ConfigError(f"{setting} holds a user name or password", hint="give the key as api_key")
        # `urlsplit` silently drops white space and control characters
        clean = url.isascii() and url.isprintable() and not set(url) & {" ", "\\"}
        if not clean or parts.scheme not in _PORTS or parts.query or parts.fragment or not _PATH.fullmatch(parts.path):
            raise ConfigError(f"{setting} is not a plain http or https URL", hint=_EXAMPLE)
        found = place(parts.netloc)
        if found is None:
            raise ConfigError(f"{setting} names no host", hint=_EXAMPLE)
        host, port = found[0], _PORTS[parts.scheme] if found[1] is None else found[1]
        if not 0 < port < 65_536:
            raise ConfigError(f"{setting} has a port out of range", hint=_EXAMPLE)
        return cls(parts.scheme, host, port, parts.path.rstrip("/"))

    @property
    def url(self) -> str:
        """The base URL, put together from the parts that were checked."""
        return f"{self.scheme}://{self}{self.path}"

    @property
    def zone(self) -> Zone:
        """How far a prompt travels to this host.

        A name other than `localhost` is `INTERNET`, because only a look-up would tell where it leads.
        """
        zone = zone_of(self.host)
        return Zone.INTERNET if zone is None else zone

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of the host, if no look-up is needed; empty if one is."""
        return addresses(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def redirect_target(location: str) -> str | None:
    """The host that a redirect points to; `None` if it has no host that could be printed."""
    try:
        return canonical(urlsplit(location).hostname or "")
    except ValueError:
        return None


def runs_elsewhere(model: str) -> bool:
    """Whether the name alone shows that a local server passes this model on: the tag of Ollama's cloud models."""
    return model.lower().endswith((":cloud", "-cloud"))
