"""Model files: which there are, where they are stored, and how they get there. Only `pull` opens a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rung.lazily import lazily

if TYPE_CHECKING:
    from rung.store.caches import Passed
    from rung.store.entries import Entry, Folder, Hub, Source, Url, Wheels
    from rung.store.files import Listed, WantedModel, adopt, models, verify
    from rung.store.finding import Found, find
    from rung.store.importing import import_file
    from rung.store.layout import Store, user_store
    from rung.store.licences import accept, licence_text
    from rung.store.pulling import Phase, PullProgress, pull
    from rung.store.removing import Removed, remove
    from rung.store.resolving import ModelFile, resolve
    from rung.store.sourcing import Sourcing

_MODULES = {
    "entries": ("Entry", "Folder", "Hub", "Source", "Url", "Wheels"),
    "layout": ("Store", "user_store"),
    "sourcing": ("Sourcing",),
    "files": ("Listed", "WantedModel", "adopt", "models", "verify"),
    "resolving": ("ModelFile", "resolve"),
    "licences": ("accept", "licence_text"),
    "pulling": ("Phase", "PullProgress", "pull"),
    "caches": ("Passed",),
    "finding": ("Found", "find"),
    "importing": ("import_file",),
    "removing": ("Removed", "remove"),
}
"""The modules of this room, each with what it gives to others."""

__all__ = [
    "Entry",
    "Folder",
    "Found",
    "Hub",
    "Listed",
    "ModelFile",
    "Passed",
    "Phase",
    "PullProgress",
    "Removed",
    "Source",
    "Sourcing",
    "Store",
    "Url",
    "WantedModel",
    "Wheels",
    "accept",
    "adopt",
    "find",
    "import_file",
    "licence_text",
    "models",
    "pull",
    "remove",
    "resolve",
    "user_store",
    "verify",
]

if not TYPE_CHECKING:
    # most commands neither pull nor search
    __getattr__ = lazily(__name__, _MODULES)
