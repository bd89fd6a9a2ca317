"""Tables of settings: unknown keys and wrong values become a `ConfigError` that names the nearest right one.

The settings of tiers, of the ladder and of files are models of the same kind. `given` checks what code gives to a
constructor, `read` what a file holds, and `rung.config.reference` describes them. Where a constructor must not wait for
pydantic, its settings are a dataclass, which `rung.allowed.given` checks, and `table_of` makes a table of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass
from dataclasses import fields as dataclass_fields
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    create_model,
)
from pydantic_core import CoreSchema, core_schema

from rung.allowed import Allowed, Disallowed
from rung.errors import ConfigError
from rung.hiding import hide
from rung.spelling import missing, shortened, spelled, unknown

M = TypeVar("M", bound="SettingsTable")


class SettingsTable(BaseModel):
    """Base class of every table of settings: frozen, without unknown keys, without NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    @classmethod
    def all_keys(cls) -> list[str]:
        """The keys that a file may hold."""
        return [field.alias or name for name, field in cls.model_fields.items()]


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


def table_of(settings: type[Any]) -> type[SettingsTable]:
    """The table in which a file holds the settings of a dataclass.

    Args:
        settings: the dataclass. The annotation of each field has what it may be (`rung.allowed`), and none has a
            `default_factory`. Its docstring says what each does.
    """
    hints = get_type_hints(settings, include_extras=True)
    # pydantic's mark of a field without a default is `...`
    fields: dict[str, Any] = {
        it.name: (hints[it.name], ... if it.default is MISSING else it.default) for it in dataclass_fields(settings)
    }
    return create_model(
        settings.__name__, __base__=SettingsTable, __module__=settings.__module__, __doc__=settings.__doc__, **fields
    )


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
        path = first["loc"]
        if first["type"] == "extra_forbidden":
            inner = _table_at(model, path[:-1])
            keys = inner.all_keys() if written else [*inner.model_fields]
            raise unknown("key" if written else "setting", path, keys, where) from None
        if first["type"] == "missing":
            raise missing(path, where) from None
        # the value may be a key in the wrong place, or a whole file between two quotes
        key = spelled(path)
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
