"""Tables of settings: unknown keys and wrong values become a `ConfigError` that names the nearest right one.

A tier's settings, the ladder's and those of files are models of the same kind. `given` checks what code gives to a
constructor, `read` what a file holds, and `rung.config.reference` describes them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from rung.allowed import Allowed, Disallowed
from rung.errors import ConfigError
from rung.hiding import hide

M = TypeVar("M", bound="SettingsTable")
_SHOWN = 100
"""Characters of a name or key that a message repeats: more than any valid one has, and two lines of a terminal."""


class SettingsTable(BaseModel):
    """Base class of every table of settings: frozen, without unknown keys, without NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    @classmethod
    def all_keys(cls) -> list[str]:
        """The keys that a file may hold."""
        return [field.alias or name for name, field in cls.model_fields.items()]


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
    """The settings that a file holds.

    Args:
        model: class with the known settings.
        values: values as they were written.
        where: file and table, for the error.

    Raises:
        ConfigError: a key is unknown or missing, or a value is not allowed. What may be an API key is not repeated.
    """
    return _validated(model, values, where, written=True)


def given(model: type[M], values: Mapping[str, Any], where: str) -> M:
    """The settings that code gives to a constructor. They go by the names of the model's fields.

    Args:
        model: which settings there are.
        values: as they were given.
        where: whose settings they are, for the error.

    Raises:
        ConfigError: a setting is unknown or missing, or a value is not allowed. What may be an API key is not repeated.
    """
    return _validated(model, values, where, written=False)


def is_written(info: ValidationInfo) -> bool:
    """Whether a validator looks at what stands in a file, and not at what code gives."""
    return bool(info.context)


def _validated(model: type[M], values: Mapping[str, Any], where: str, *, written: bool) -> M:
    try:
        return model.model_validate(dict(values), context=written, by_alias=written, by_name=not written)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        # A misspelt required key is both unknown and missing. The first of these helps.
        first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
        # the value may be a key in the wrong place, or a whole file between two quotes
        key = shortened(".".join(hide(str(part)) for part in first["loc"]))
        if first["type"] == "extra_forbidden":
            inner = _table_at(model, first["loc"][:-1])
            keys = inner.all_keys() if written else [*inner.model_fields]
            last = str(first["loc"][-1])
            noun = "key" if written else "setting"
            raise ConfigError(
                f"{where}: unknown {noun} {key!r}", hint=nearest(last, keys), unknown_key=hide(last)
            ) from None
        if first["type"] == "missing":
            raise ConfigError(f"{where}: {key!r} is missing", hint=f"add {key} = ...") from None
        refused = first.get("ctx", {}).get("error")
        if isinstance(refused, Disallowed):
            try:
                refused.again(f"{where}: {key}")
            except ConfigError as told:
                raise told from None
        raise ConfigError(f"{where}: {key!r}: {shortened(hide(first['msg']))}") from None


@dataclass(frozen=True, slots=True)
class Written:
    """How a value is written as a table in a file, where code gives the value itself. Stands in an annotation.

    Args:
        table: its keys.
        value: what may be given, a table that was read included, and what is made of it.
    """

    table: type[SettingsTable]
    value: Allowed

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._validate, handler.generate_schema(self.table))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [handler(core), self.value.schema]}

    def _validate(self, value: Any, table: Callable[[Any], Any]) -> Any:
        if value is None:
            return None
        return self.value.validate(table(value) if isinstance(value, Mapping) else value)


def _table_at(model: type[SettingsTable], path: tuple[int | str, ...]) -> type[SettingsTable]:
    """The table that lies at `path` below `model`."""
    for part in path:
        field = model.model_fields.get(str(part))
        model = model if field is None else (_table(field.annotation, field.metadata) or model)
    return model


def _table(annotation: Any, metadata: Iterable[Any]) -> type[SettingsTable] | None:
    """The table that a field holds; `None` where it holds none."""
    for item in metadata:
        if isinstance(item, Written):
            return item.table
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, SettingsTable):
            return kind
        if inner := getattr(kind, "__metadata__", ()):
            return _table(None, inner)
    return None
