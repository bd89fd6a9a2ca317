"""Names that people give to models of their own, and which names are allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rung.errors import StoreError
from rung.limits import Cancel
from rung.locking import locked
from rung.store.gguf import Header
from rung.store.layout import Named, Store, is_name
from rung.writing import private_folder

_LONGEST = 54
"""Characters of a name that is made from another name. A dash and eight characters of the hash may follow."""


def slug(text: str) -> str:
    """A name like those of the catalogue, made from a file's name or another program's name for a model."""
    words = re.sub(r"[^a-z0-9._-]+", "-", text.lower().removesuffix(".gguf"))
    short = re.sub(r"^[^a-z0-9]+", "", words)[:_LONGEST].rstrip("-._")
    return short if is_name(short) else f"{short.removesuffix('.gguf')}-model".lstrip("-")


def demand_name(name: str, sha256: str | None, store: Store) -> None:
    """Refuse a name that may not be given to these bytes.

    Args:
        name: name as the person wrote it.
        sha256: hash of the bytes; `None` if it isn't known yet.
        store: store whose names are taken.

    Raises:
        StoreError: the name is not valid, or stands for other bytes.
    """
    if not is_name(name):
        raise StoreError(
            f"{name!r} can't be the name of a model",
            hint="use up to 63 small letters, digits, dots, dashes and underscores, a letter or digit first, "
            f"for example {slug(name)}",
        )
    taken = _taken(name, store)
    if sha256 is not None and taken is not None and taken != sha256:
        what = "a model of the catalogue" if name in store.catalogue else "another file"
        raise StoreError(f"{name!r} is {what}", hint="choose another with --name")


def name_for(text: str, sha256: str, store: Store) -> str:
    """A name for a file that nobody named: the one that it has already, or else a new one.

    Args:
        text: name that the file or another program suggests.
        sha256: hash of the file's bytes.
        store: store whose names are taken.
    """
    names = names_of(sha256, store)
    if names:
        return names[0]
    wish = slug(text)
    return wish if _taken(wish, store) is None else f"{wish}-{sha256[:8]}"


def names_of(sha256: str, store: Store) -> tuple[str, ...]:
    """Every name that these bytes have, in the catalogue, of your own, or of the hub."""
    pulled = ((hub.spec, store.pulled(hub)) for hub in store.recorded())
    return (
        *(entry.name for entry in store.catalogue.values() if entry.sha256 == sha256),
        *(name for name, named in store.own_names() if named.sha256 == sha256),
        *(spec for spec, it in pulled if it is not None and it.sha256 == sha256),
    )


def give(name: str, sha256: str, header: Header, origin: str, store: Store) -> None:
    """Let a name stand for bytes that are in the store. A name of the catalogue does so by itself.

    Args:
        name: a name that may be given to them.
        sha256: hash of the bytes.
        header: header of the file.
        origin: where it came from, in words.
        store: the store that holds them.
    """
    if name not in store.catalogue:
        store.give_name(
            name,
            Named(
                sha256=sha256,
                size=header.file_size,
                origin=origin,
                licence=header.licence,
                context=header.context_length,
            ),
        )


@contextmanager
def alone(store: Store, *keys: str, cancel: Cancel, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the locks of the names and bytes that a change touches, one after another.

    Args:
        store: the store that is to be changed.
        keys: a name first, then the hash of its bytes. Everybody takes them in this order.
        cancel: ends the wait.
        waiting: called if somebody else holds one of them.

    Raises:
        Cancelled: `cancel` was set while waiting.
        OSError: the store can't be written.
    """
    if not keys:
        yield
        return
    path: Path = store.lock(keys[0])
    private_folder(path.parent)
    with locked(path, cancel=cancel, waiting=waiting), alone(store, *keys[1:], cancel=cancel, waiting=waiting):
        yield


def _taken(name: str, store: Store) -> str | None:
    """The hash of the bytes that a name stands for."""
    if name in store.catalogue:
        return store.catalogue[name].sha256
    named = store.named(name)
    return None if named is None else named.sha256
