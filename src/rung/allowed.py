"""What a setting may be, said once, in the annotation of its field:

    context: Annotated[int, Integer(1, 2**24, "tokens")] | None = None

From it come the check of what code gives, the check of what a file holds, and the setting's row in the reference.
Importing this doesn't import pydantic, so that values of the ground can use it, too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_type_hints

from rung import checking
from rung.errors import ConfigError
from rung.spelling import missing, unknown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Allowed", "Converted", "Flag", "Integer", "Name", "Real", "Word"]

D = TypeVar("D", bound="DataclassInstance")
_SHOWN = 40
"""Characters of a word that an error repeats: more than any setting's word has."""


class Disallowed(ValueError):
    """What pydantic is told of a value that isn't allowed. Only who called pydantic knows the setting's whole name, so
    the check is made again then, and raises the `ConfigError`."""

    def __init__(self, allowed: Allowed, value: object) -> None:
        super().__init__("is not allowed")
        self._allowed = allowed
        self._value = value

    def again(self, what: str) -> None:
        """Make the check again, under the setting's whole name.

        Raises:
            ConfigError: what the check says.
        """
        self._allowed.check(what, self._value)


class Allowed(ABC):
    """What a setting may be; the base of all in this module."""

    @property
    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """The same as a JSON Schema, with the `unit` where there is one."""

    @abstractmethod
    def check(self, what: str, value: Any) -> Any:
        """The value as it is used.

        Args:
            what: name of the setting, for the error.
            value: as it was given.

        Raises:
            ConfigError: it is not allowed.
        """

    def validate(self, value: Any) -> Any:
        """The same for pydantic, which knows the name later.

        Raises:
            Disallowed: it is not allowed.
        """
        try:
            return self.check("", value)
        except ConfigError:
            raise Disallowed(self, value) from None

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        return self.schema


@dataclass(frozen=True, slots=True)
class Integer(Allowed):
    """A whole number.

    Args:
        least: that it may be.
        most: that it may be.
        unit: of the number.
    """

    least: int
    most: int = checking.LARGEST
    unit: str = ""

    @property
    def schema(self) -> dict[str, Any]:
        """The range."""
        most = {} if self.most == checking.LARGEST else {"maximum": self.most}
        return {"type": "integer", "minimum": self.least, **most, "unit": self.unit}

    def check(self, what: str, value: Any) -> int:
        """The number, as Python's own kind."""
        return checking.whole(what, value, self.least, self.most)


@dataclass(frozen=True, slots=True)
class Real(Allowed):
    """A finite number.

    Args:
        low: least that it may be.
        high: most that it may be.
        unit: of the number.
        above: whether it has to lie above `low`.
        below: whether it has to lie below `high`.
    """

    low: float
    high: float
    unit: str = ""
    above: bool = False
    below: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """The range."""
        least, most = ("exclusiveMinimum" if self.above else "minimum", "exclusiveMaximum" if self.below else "maximum")
        return {"type": "number", least: self.low, most: self.high, "unit": self.unit}

    def check(self, what: str, value: Any) -> float:
        """The number, as Python's own kind."""
        return float(checking.real(what, value, self.low, self.high, above=self.above, below=self.below))


@dataclass(frozen=True, slots=True)
class Word(Allowed):
    """One of some words.

    Args:
        words: all of them.
    """

    words: tuple[str, ...]

    @property
    def schema(self) -> dict[str, Any]:
        """The words."""
        return {"type": "string", "enum": [*self.words]}

    def check(self, what: str, value: Any) -> str:
        """The word."""
        word = checking.text(what, value)
        if word not in self.words:
            from rung.hiding import hide

            said = f"{', '.join(self.words[:-1])} or {self.words[-1]}"
            raise ConfigError(f"{what} = {hide(word[:_SHOWN])!r} is not a valid choice", hint=f"say {said}")
        return word


@dataclass(frozen=True, slots=True, eq=False)
class Converted(Allowed):
    """Whatever a function takes.

    Args:
        make: from the setting's name and what was given to the value that is used; raises `ConfigError`.
        written: what may be written, as a JSON Schema.
    """

    make: Callable[[str, Any], Any]
    written: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})

    @property
    def schema(self) -> dict[str, Any]:
        """What may be written."""
        return dict(self.written)

    def check(self, what: str, value: Any) -> Any:
        """What the function makes of it."""
        return self.make(what, value)


def given(settings: type[D], values: Mapping[str, Any], where: str) -> D:
    """The settings that code gives to a constructor, as a dataclass. `rung.settings.given` makes tables of them.

    Args:
        settings: the dataclass. The annotation of each field has what it may be, and none has a `default_factory`.
        values: as they were given.
        where: whose settings they are, for the error.

    Raises:
        ConfigError: a setting is unknown or missing, or a value is not allowed. What may be an API key is not repeated.
    """
    hints = get_type_hints(settings, include_extras=True)
    for name in values:
        if name not in hints:
            raise unknown("setting", (name,), hints, where)
    found = {}
    for it in fields(settings):
        if it.name in values:
            found[it.name] = _given(hints[it.name], values[it.name], f"{where}: {it.name}")
        elif it.default is MISSING:
            raise missing((it.name,), where)
    return settings(**found)


def _given(hint: Any, value: Any, what: str) -> Any:
    """The value of a setting.

    Args:
        hint: the setting's annotation: `Annotated[..., an Allowed]`, alone or with `| None`.
        value: as it was given.
        what: name of the setting, for the error.
    """
    choices = (hint,) if hasattr(hint, "__metadata__") else get_args(hint)
    if value is None and type(None) in choices:
        return None
    (allowed,) = (it for choice in choices for it in getattr(choice, "__metadata__", ()) if isinstance(it, Allowed))
    return allowed.check(what, value)


Flag = Annotated[bool, Converted(checking.flag, {"type": "boolean"})]
Name = Annotated[str, Converted(checking.text)]
