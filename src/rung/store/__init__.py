"""Model files: which there are, where they lie, and how they get there. Only `pull` opens a connection."""

from rung.store.entries import Entry, Hub, Source, Wheels
from rung.store.files import Listed, ModelFile, Wanted, adopt, models, readable, resolve, verify
from rung.store.layout import Store, user_store
from rung.store.pulling import Phase, Progress, pull

__all__ = [
    "Entry",
    "Hub",
    "Listed",
    "ModelFile",
    "Phase",
    "Progress",
    "Source",
    "Store",
    "Wanted",
    "Wheels",
    "adopt",
    "models",
    "pull",
    "readable",
    "resolve",
    "user_store",
    "verify",
]
