"""JSON Schemas of pydantic types: one that a model is told, and one that an answer is held to.

Pydantic's own schema says less than pydantic checks, or something else. A `date-time` in JSON Schema has a time zone,
but a `NaiveDatetime` must not have one. Of a `Decimal` it says only that it is a number or a text.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from rung.contract.patterns import for_schema

_MOST_DIGITS = 40
"""Most digits of a decimal whose patterns are written out, one for each number of places."""

_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"  # Python's years begin with 1
_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_MONTH_AND_DAY = "(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
_DATE = f"(?:{_YEAR}-{_MONTH_AND_DAY}|{_LEAP}-02-29)"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
_ZONE = r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_CLOCK = [rf"[0-9]{{1,2}}{unit}" for unit in "HM"] + [r"[0-9]{1,2}(?:\.[0-9]{1,6})?S"]
_CALENDAR = [rf"[0-9]{{1,3}}{unit}" for unit in "YMD"]
_ZONES = {"naive": "", "aware": _ZONE}
_TOLD_ZONES = {"naive": "without a time zone", "aware": "with a time zone"}


def _some(parts: list[str]) -> str:
    """A pattern for at least one of several parts, in order."""
    first, *others = parts
    return f"(?:{first}{''.join(f'(?:{o})?' for o in others)}{'|' + _some(others) if others else ''})"


_DURATION = f"-?P(?:[0-9]{{1,4}}W|{_some(_CALENDAR)}(?:T{_some(_CLOCK)})?|T{_some(_CLOCK)})"
_KEYS = {"int": r"^(?:0|-?[1-9][0-9]*)$", "bool": "^(?:true|false)$"}
"""Patterns for the keys of a dict that aren't strings in Python, in the form that JSON gives them."""


def told(adapter: TypeAdapter[Any]) -> dict[str, Any]:
    """The schema for a model's instructions: short, and limited to JSON Schema's own keywords."""
    return adapter.json_schema(mode="validation", schema_generator=_Told)


def held(adapter: TypeAdapter[Any]) -> dict[str, Any]:
    """The schema for decoding. Pydantic accepts whatever fits it, as far as a schema can express that."""
    return adapter.json_schema(mode="validation", schema_generator=_Held)


class _Told(GenerateJsonSchema):
    _unique: JsonSchemaValue = {}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """A number or a text. Pydantic adds patterns that differ by its version, and a model needn't read them."""
        return {"anyOf": [self._number(schema), {"type": "string"}]}

    def set_schema(self, schema: core_schema.SetSchema) -> JsonSchemaValue:
        """A list without `uniqueItems`: pydantic removes duplicates itself, and the keyword misleads small models."""
        return self._several(super().set_schema(schema))

    def frozenset_schema(self, schema: core_schema.FrozenSetSchema) -> JsonSchemaValue:
        """The same as for `set_schema`."""
        return self._several(super().frozenset_schema(schema))

    def _several(self, found: JsonSchemaValue) -> JsonSchemaValue:
        return {**{key: value for key, value in found.items() if key != "uniqueItems"}, **self._unique}

    def _number(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        bounds = {key: schema.get(key) for key in ("multiple_of", "le", "ge", "lt", "gt")}
        number: Any = {key: float(bound) for key, bound in bounds.items() if isinstance(bound, Decimal | int | float)}
        return self.float_schema(core_schema.float_schema(**number))

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        """A date with a time. JSON Schema's always has a time zone, so the description says whether this one has."""
        found = super().datetime_schema(schema)
        zone = _TOLD_ZONES.get(str(schema.get("tz_constraint")))
        return {**found, "description": zone} if zone else found


class _Held(_Told):
    _unique: JsonSchemaValue = {"uniqueItems": True}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """A number within the digits, or also a text if a pattern can express the bounds."""
        digits, places = schema.get("max_digits"), schema.get("decimal_places")
        number = self._number(schema)
        bounded = len(number) > 1
        if places is not None:
            number.setdefault("multipleOf", 10.0**-places)
        whole = None if digits is None else digits - (places or 0)
        if whole is not None and 0 <= whole <= _MOST_DIGITS:
            if not {"maximum", "exclusiveMaximum"} & number.keys():
                number["exclusiveMaximum"] = 10**whole
            if not {"minimum", "exclusiveMinimum"} & number.keys():
                number["exclusiveMinimum"] = -(10**whole)
        text = {"type": "string", "pattern": _decimals(digits, places)}
        if bounded:
            return number  # a pattern can't express them
        # a number's value alone doesn't say how many digits it was written with
        return {"anyOf": [number, text]} if digits is None or places is not None else text

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        """A text with a pattern that means the same here as to pydantic."""
        found = super().str_schema(schema)
        if isinstance(found.get("pattern"), str):
            engine = schema.get("regex_engine") or self._config.regex_engine
            python = engine == "python-re" or isinstance(schema.get("pattern"), re.Pattern)
            found["pattern"] = for_schema(found["pattern"], python=python)
        return found

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        """With a time zone, without, or either, as pydantic requires. Never with more digits than pydantic keeps."""
        return _text(super().datetime_schema(schema), f"{_DATE}T{_TIME}{_zone(schema)}")

    def time_schema(self, schema: core_schema.TimeSchema) -> JsonSchemaValue:
        """The same as for `datetime_schema`."""
        return _text(super().time_schema(schema), _TIME + _zone(schema))

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> JsonSchemaValue:
        """An ISO 8601 duration whose numbers fit Python's."""
        return _text(super().timedelta_schema(schema), _DURATION)

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Keys that are numbers or truth values in Python are strings in JSON."""
        found = super().dict_schema(schema)
        if "patternProperties" in found:
            return {"additionalProperties": False, **found}
        pattern = _KEYS.get(str((schema.get("keys_schema") or {}).get("type")))
        if pattern is None or "propertyNames" in found:
            return found
        values = found.pop("additionalProperties", {})
        return {**found, "patternProperties": {pattern: values}, "additionalProperties": False}


def _text(found: JsonSchemaValue, pattern: str) -> JsonSchemaValue:
    """A text with a pattern, unless the type is configured to be a number."""
    return {"type": "string", "pattern": f"^{pattern}$"} if found.get("type") == "string" else found


def _zone(schema: Any) -> str:
    """The pattern of the time zone that pydantic accepts. If it requires one offset, only validation checks which."""
    constraint = schema.get("tz_constraint")
    if constraint is None:
        return f"{_ZONE}?"
    return _ZONES.get(str(constraint), _ZONE)


def _decimals(digits: int | None, places: int | None) -> str:
    """A pattern for a decimal with at most this many digits, and this many of them after the point.

    Leading zeros don't count, except for a lone zero before the point.
    """
    if digits is None or digits > _MOST_DIGITS:
        after = r"(?:\.[0-9]+)?" if places is None else rf"(?:\.[0-9]{{1,{places}}})?" if places else ""
        return f"^-?[0-9]+{after}$"
    most = digits if places is None else min(places, digits)
    forms = [f"[1-9][0-9]{{0,{whole - 1}}}", "0"] if (whole := digits if places is None else digits - most) > 0 else []
    if places is None:
        forms += [rf"[1-9][0-9]{{0,{digits - k - 1}}}\.[0-9]{{{k}}}" for k in range(1, digits)]
    elif most and whole > 0:
        forms.append(rf"[1-9][0-9]{{0,{whole - 1}}}\.[0-9]{{1,{most}}}")
    if most:
        forms.append(rf"0\.[0-9]{{1,{most}}}")
    return f"^-?(?:{'|'.join(forms)})$"
