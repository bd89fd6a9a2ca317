"""What errors say of a key that is missing or that nobody knows: the nearest right one, and no more of a long text than
helps.

Importing this doesn't import pydantic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rung.errors import ConfigError

_SHOWN = 100
"""Characters of a name or key that a message repeats: more than any valid one has, and two lines of a terminal."""


def shortened(text: str) -> str:
    """A text from a configuration, shortened for a message."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def nearest(word: str, known: Iterable[str], *, listing: str = "") -> str:
    """A clause that points at the right spelling.

    Args:
        word: what was written.
        known: what could have been written.
        listing: a clause that says where everything valid is listed, if it is too much for a sentence.
    """
    import difflib

    options = sorted(known)
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    if listing:
        return listing
    return f"known: {', '.join(options)}" if options else ""


def unknown(noun: str, path: Sequence[object], known: Iterable[str], where: str) -> ConfigError:
    """The error about a key or setting that there is not. It may be an API key in the wrong place, which is not
    repeated.

    Args:
        noun: what it was taken for.
        path: where it stands, and at last what was written.
        known: what could have been written there.
        where: whose settings they are.
    """
    from rung.hiding import hide  # whose patterns take longer to compile than settings to check

    last = str(path[-1])
    return ConfigError(f"{where}: unknown {noun} {spelled(path)!r}", hint=nearest(last, known), unknown_key=hide(last))


def missing(path: Sequence[object], where: str) -> ConfigError:
    """The error about a key or setting that must be there.

    Args:
        path: where it must stand, and at last its name.
        where: whose settings they are.
    """
    key = spelled(path)
    return ConfigError(f"{where}: {key!r} is missing", hint=f"add {key} = ...")


def spelled(path: Sequence[object]) -> str:
    """A key and the tables that hold it, for a message.

    Args:
        path: the names of the tables, and at last the key.
    """
    from rung.hiding import hide

    return shortened(".".join(hide(str(part)) for part in path))
