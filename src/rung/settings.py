"""Reading tables of settings. Unknown keys and wrong values become a `ConfigError` that names the nearest right one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rung.errors import ConfigError
from rung.hiding import hide

M = TypeVar("M", bound="SettingsTable")
_SHOWN = 100
"""Characters of a name or key that a message repeats: more than any valid one has, and two lines of a terminal."""


class SettingsTable(BaseModel):
    """Base class of every table of settings: frozen, without unknown keys, without NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


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
    options = sorted(known)
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    if listing:
        return listing
    return f"known: {', '.join(options)}" if options else ""


def read(model: type[M], values: Mapping[str, Any], where: str) -> M:
    """The settings in `values`.

    Args:
        model: class with the known settings.
        values: values as they were written.
        where: file and table, for the error.

    Raises:
        ConfigError: a key is unknown or missing, or a value has the wrong type. The value itself is not repeated.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        # A misspelt required key is both unknown and missing. The first of these helps.
        first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
        # the value may be a key in the wrong place, or a whole file between two quotes
        key = shortened(".".join(hide(str(part)) for part in first["loc"]))
        if first["type"] == "extra_forbidden":
            keys = _keys(model, first["loc"][:-1])
            written = str(first["loc"][-1])
            raise ConfigError(
                f"{where}: unknown key {key!r}", hint=nearest(written, keys), unknown_key=hide(written)
            ) from None
        if first["type"] == "missing":
            raise ConfigError(f"{where}: {key!r} is missing", hint=f"add {key} = ...") from None
        raise ConfigError(f"{where}: {key!r}: {shortened(hide(first['msg']))}") from None


def _keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The keys of the table at `path` below `model`."""
    for part in path:
        field = model.model_fields.get(str(part))
        inner = getattr(field, "annotation", None)
        found = next(
            (t for t in (inner, *getattr(inner, "__args__", ())) if isinstance(t, type) and issubclass(t, BaseModel)),
            None,
        )
        if found is None:
            continue
        model = found
    return [field.alias or name for name, field in model.model_fields.items()]
