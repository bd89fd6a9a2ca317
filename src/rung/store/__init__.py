"""Model files: which there are, where they lie, and how they get there. Only `pull` opens a connection."""

from rung.store.entries import Entry, Folder, Hub, Source, Url, Wheels
from rung.store.files import Listed, ModelFile, Wanted, adopt, models, readable, resolve, verify
from rung.store.layout import Store, user_store
from rung.store.licences import accept
from rung.store.pulling import Phase, Progress, pull
from rung.store.sourcing import Sourcing

__all__ = [
    "Entry",
    "Folder",
    "Hub",
    "Listed",
    "ModelFile",
    "Phase",
    "Progress",
    "Source",
    "Sourcing",
    "Store",
    "Url",
    "Wanted",
    "Wheels",
    "accept",
    "adopt",
    "models",
    "pull",
    "readable",
    "resolve",
    "user_store",
    "verify",
]
