"""Where an endpoint is, and how far a prompt travels to reach it. Nothing here resolves a name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from rung.errors import ConfigError
from rung.guard import zone_of
from rung.types import Zone

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*", re.ASCII)
_PATH = re.compile(r"[A-Za-z0-9/._~%@:+,=-]*", re.ASCII)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The parts of a base URL.

    Args:
        scheme: `http` or `https`.
        host: name or address, in lower case, an IPv6 address without its brackets.
        port: always there.
        path: without a slash at its end.
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str, setting: str) -> Endpoint:
        """The endpoint that a URL names.

        Args:
            url: read strictly, since two readers of a lenient URL may see two hosts in it.
            setting: its name, for the error.

        Raises:
            ConfigError: the URL is no plain http(s) URL. It is not repeated, since it may hold a password.
        """
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise ConfigError(f"{setting} is no URL", mend="write it as http://127.0.0.1:8000/v1") from None
        if parts.username is not None or parts.password is not None:
            raise ConfigError(f"{setting} holds a user name or password", mend="give the key as api_key")
        if parts.scheme not in _PORTS or parts.query or parts.fragment or not _PATH.fullmatch(parts.path):
            raise ConfigError(f"{setting} is no plain http or https URL", mend="write it as http://127.0.0.1:8000/v1")
        if zone_of(host) is None and not _NAME.fullmatch(host):
            raise ConfigError(f"{setting} names no host", mend="write it as http://127.0.0.1:8000/v1")
        return cls(parts.scheme, host, port or _PORTS[parts.scheme], parts.path.rstrip("/"))

    @property
    def url(self) -> str:
        """The base URL, put together from the parts that were checked."""
        return f"{self.scheme}://{self}{self.path}"

    @property
    def zone(self) -> Zone:
        """How far a prompt travels to this host.

        A name other than `localhost` is `INTERNET`: where it leads is known only after somebody was asked.
        """
        zone = zone_of(self.host)
        return Zone.INTERNET if zone is None else zone

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of the host where no look-up is needed; empty where one is."""
        if self.host == "localhost":
            return ("127.0.0.1", "::1")
        return () if zone_of(self.host) is None else (self.host,)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def redirect_target(location: str) -> str | None:
    """The host that a redirect points at; `None` where it names none that could be printed."""
    try:
        host = (urlsplit(location).hostname or "").lower()
    except ValueError:
        return None
    return host if _NAME.fullmatch(host) or zone_of(host) is not None else None


def runs_elsewhere(model: str) -> bool:
    """Whether a local server is known to hand this model on: Ollama's cloud models, by the name of their tag."""
    return model.lower().endswith((":cloud", "-cloud"))
