"""Whether an answer is right, if the right one is known, and whether two answers are the same.

A check is a name, a table with a name and options, or a function of the user's as `module:function`. The function takes
the answer and the expected answer, and returns whether the answer is right.

| name | the answer is right if | options |
|---|---|---|
| `exact` | it equals what is expected, ignoring white space around a text | `case = false` |
| `number` | its last number is the expected one | `within` (0) |
| `choice` | it is the expected option, ignoring case and the signs around it: `(B).` is `b` | |
| `json` | it is the expected JSON, with numbers compared by value | `how`, `fields`, `loose` |
| `regex` | what is expected, a regular expression, matches it from end to end | |
| `contains` | it contains what is expected, a text or a list of texts, ignoring case and white space | |

`how` is `exact`, `subset` or `allowed`. With `subset` the answer may have more fields than are expected. With `allowed`
the expected object has a list of allowed values for each field, including `""` if the field may be left out. `fields`
names the only fields that count. `loose = true` compares texts without case, spaces and the signs `,./-_*^`, and reads
`'` as `"`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic_core import to_jsonable_python

from rung.contract.bounds import CheckOverdue, Watch
from rung.contract.patterns import Whole
from rung.contract.sameness import NotComparable, Same, equal, same_option, same_text, squeezed
from rung.errors import ConfigError, ContractError, RungError
from rung.learn.references import imported, is_reference
from rung.limits import Cancel, Deadline
from rung.settings import SettingsTable, read
from rung.spelling import nearest, shortened
from rung.threads import Abandoned

Grader = Callable[[Any, Any], bool]
"""Takes an answer and the expected one."""
CheckTable = str | Mapping[str, Any]
"""A check as it is written in a task's file."""

LONGEST_REGEX = 5.0
"""Seconds that a regular expression may take for one answer. A reasonable one takes some microseconds."""
_NUMBER = re.compile(r"[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?")
_DEEPEST = 100
"""Levels of an answer that are compared, as many as a contract's schema may have."""


class NotGradable(NotComparable):
    """A check can't decide. The message is a clause that repeats nothing of the answer."""


@dataclass(frozen=True, slots=True)
class Grade:
    """A check's verdict on an answer.

    Args:
        right: whether it is right; `None` if that can't be decided.
        reason: why it can't.
    """

    right: bool | None
    reason: str = ""


class _Exact(SettingsTable):
    case: bool = True

    def right(self, value: Any, expected: Any) -> bool:
        if isinstance(value, str) and isinstance(expected, str):
            return same_text(*((value, expected) if self.case else (value.casefold(), expected.casefold())))
        return equal(value, _as_json(expected, value), loose=False)


class _Number(SettingsTable):
    within: float = Field(default=0.0, ge=0)

    def right(self, value: Any, expected: Any) -> bool:
        wanted, found = _number(expected), _number(value)
        if wanted is None:
            raise NotGradable("what is expected holds no number")
        return found is not None and abs(found - wanted) <= Decimal(str(self.within))


class _Choice(SettingsTable):
    def right(self, value: Any, expected: Any) -> bool:
        if not isinstance(expected, str):
            raise NotGradable("what is expected is not a text")
        return same_option(value, expected)


class _Json(SettingsTable):
    how: Literal["exact", "subset", "allowed"] = "exact"
    fields: tuple[str, ...] = ()
    loose: bool = False

    def right(self, value: Any, expected: Any) -> bool:
        value, expected = _as_json(value, None), _as_json(expected, value)
        if self.fields:
            if not isinstance(expected, dict):
                raise NotGradable("what is expected is not an object")
            if not isinstance(value, dict):
                return False
            value, expected = ({k: v for k, v in it.items() if k in self.fields} for it in (value, expected))
        if self.how == "allowed":
            if not isinstance(expected, dict):
                raise NotGradable("what is expected is not an object with a list of allowed values for each field")
            return isinstance(value, dict) and _allowed_fields(value, expected, self.loose)
        return equal(value, expected, loose=self.loose, subset=self.how == "subset")


class _Regex(SettingsTable):
    def right(self, value: Any, expected: Any) -> bool:
        if not isinstance(expected, str):
            raise NotGradable("what is expected is not a regular expression")
        try:
            matches = Whole(re.compile(expected))
            return isinstance(value, str) and matches(value.strip(), Watch(Deadline.after(LONGEST_REGEX), Cancel()))
        except (re.error, ContractError):
            raise NotGradable("what is expected is not a regular expression") from None
        except (CheckOverdue, Abandoned):
            raise NotGradable("the regular expression takes too long") from None


class _Contains(SettingsTable):
    def right(self, value: Any, expected: Any) -> bool:
        wanted = expected if isinstance(expected, list) else [expected]
        if not wanted or not all(isinstance(text, str) and text.strip() for text in wanted):
            raise NotGradable("what is expected is neither a text nor a list of texts")
        return isinstance(value, str) and all(squeezed(text) in squeezed(value) for text in wanted)


_CHECKS: dict[str, type[_Exact | _Number | _Choice | _Json | _Regex | _Contains]] = {
    "exact": _Exact,
    "number": _Number,
    "choice": _Choice,
    "json": _Json,
    "regex": _Regex,
    "contains": _Contains,
}
_SYMMETRIC = ("exact", "number", "choice", "json")
"""Checks that can also compare two answers: what they expect has the form of an answer."""


def grader(check: CheckTable, *, where: str = "check", folder: Path | None = None) -> Grader:
    """The check with a name, or of a table.

        grader({"name": "number", "within": 0.01})("It is 3.14.", 3.14159)  # -> True

    Args:
        check: a name, a table with `name` and options, or `module:function`.
        where: what names the check, for errors.
        folder: where to look for a module first.

    Raises:
        ConfigError: there is no such check, option, module or function. The nearest check is named.
    """
    name, options = _parsed(check, where)
    if is_reference(name):
        if options:
            raise ConfigError(f"{where}: {name!r} takes no options", hint="put them into the function")
        function = imported(name, where, folder)
        if not callable(function):
            raise ConfigError(f"{where}: {name!r} is not a function", hint="write module:function")
        return _own(function, name)
    if name not in _CHECKS:
        hint = nearest(name, _CHECKS)
        raise ConfigError(f"{where}: there is no check {shortened(name)!r}", hint=f"{hint} or write module:function")
    table = read(_CHECKS[name], options, where)
    return lambda value, expected: table.right(_plain(value), expected)


def same_for(
    output: Any, same: CheckTable | None = None, check: CheckTable | None = None, *, folder: Path | None = None
) -> Same | None:
    """How to compare two answers; `None` for free text, where only the user can say what being the same means.

    Args:
        output: what the answer must be, as `Ladder.run` takes it, not compiled.
        same: the task's own `same`: a check by name, table or `module:function`.
        check: the task's check. If it can compare answers, it is used when there is no `same`.
        folder: where to look for a module first.

    Raises:
        ConfigError: one of them is wrong, or `same` is a check that can't compare two answers.
    """
    if same is not None:
        name, options = _parsed(same, "same")
        if not is_reference(name) and name in _CHECKS and (name not in _SYMMETRIC or options.get("how") == "allowed"):
            raise ConfigError(f"same: {name!r} can't compare two answers", hint=f"known: {', '.join(_SYMMETRIC)}")
        return grader(same, where="same", folder=folder)
    if check is not None:
        name, options = _parsed(check, "check")
        if name == "json":
            # two answers are compared with each other as they are, whatever form the label has
            return grader({**options, "name": "json", "how": "exact"})
        if name in _SYMMETRIC:
            return grader(check)
    if output is None or output is str:
        return None
    if isinstance(output, list | tuple | set | frozenset):
        return grader("choice")
    return grader("exact" if isinstance(output, re.Pattern) else "json")


def grade(check: Grader, value: Any, expected: Any) -> Grade:
    """A check's verdict on an answer. Never raises: an exception of the check is the reason why it can't be graded.

    Args:
        check: from `grader`.
        value: the answer, as validation read it or as JSON.
        expected: the right one.
    """
    try:
        return Grade(check(value, expected))
    except NotComparable as error:
        return Grade(None, str(error))
    except RungError as error:
        return Grade(None, error.message)
    except Exception as error:  # noqa: BLE001  a user's check, or an answer of a form that it doesn't expect
        return Grade(None, f"the check raised {type(error).__name__}")


def _parsed(check: CheckTable, where: str) -> tuple[str, dict[str, Any]]:
    if isinstance(check, str):
        return check, {}
    name = check.get("name")
    if not isinstance(name, str):
        raise ConfigError(f"{where} has no name", hint=f"write name = ..., one of: {', '.join(_CHECKS)}")
    return name, {key: value for key, value in check.items() if key != "name"}


def _own(function: Callable[..., Any], name: str) -> Grader:
    def check(value: Any, expected: Any) -> bool:
        verdict = function(value, expected)
        if not isinstance(verdict, bool):
            raise NotGradable(f"{name} returned a {type(verdict).__name__}, not whether the answer is right")
        return verdict

    return check


def _plain(value: Any) -> Any:
    """An answer as a JSON value, with models and dates taken apart."""
    return to_jsonable_python(value, by_alias=True)


def _as_json(value: Any, other: Any) -> Any:
    """Parse a text that is JSON, such as a CSV's cell. If the other value is a text, too, it stays a text."""
    if not isinstance(value, str) or isinstance(other, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _number(value: Any) -> Decimal | None:
    """A number, or the last one in a text."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float | Decimal):
        text = str(value)
    elif isinstance(value, str):
        found = _NUMBER.findall(value)
        text = found[-1] if found else ""
    else:
        return None
    try:
        number = Decimal(text.replace(",", "").replace("\u2212", "-"))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _allowed_fields(value: dict[str, Any], allowed: dict[str, Any], loose: bool, depth: int = 0) -> bool:
    """Whether each field has one of its allowed values. An object among them has lists of its own."""
    if depth > _DEEPEST:
        raise NotGradable(f"it is nested more than {_DEEPEST} levels deep")
    if value.keys() - allowed.keys():
        return False
    for name, options in allowed.items():
        if not isinstance(options, list):
            raise NotGradable(f"what is expected has no list of allowed values for the field {shortened(name)!r}")
        if name not in value:
            if "" not in options:
                return False
            continue
        found = value[name]
        if not any(_allowed(found, option, loose, depth + 1) for option in options):
            return False
    return True


def _allowed(value: Any, option: Any, loose: bool, depth: int) -> bool:
    """Whether a value is an allowed one."""
    if isinstance(value, list) and isinstance(option, list):
        return len(value) == len(option) and all(
            _allowed(x, y, loose, depth + 1) for x, y in zip(value, option, strict=True)
        )
    if isinstance(value, dict) and isinstance(option, dict):
        return _allowed_fields(value, option, loose, depth + 1)
    return equal(value, option, loose=loose, depth=depth)
