"""Reading an answer's text as a value: one reader for each kind of contract."""

from __future__ import annotations

import inspect
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rung.contract import pydantic_schema
from rung.contract import schema as schemas
from rung.contract.bounds import MOST_ISSUES, Watch, is_deeper
from rung.contract.compiled import compiled
from rung.contract.echo import echoes, left_open
from rung.contract.evaluation import issues
from rung.contract.extraction import trimmed, unfenced
from rung.contract.options import meant, truth_of
from rung.contract.parsing import Rejected, cut, parse
from rung.contract.patterns import Whole
from rung.contract.plain import DEEPEST_SCHEMA, plain
from rung.contract.pydantic_cost import WATCH, Costly, refuse_costly, refuse_unfolding, stoppable
from rung.contract.pydantic_parts import field_names, has_kind, validators_in
from rung.contract.pydantic_values import is_infinite, misused
from rung.contract.spans import show
from rung.contract.text import text_issues
from rung.errors import ContractError
from rung.types import CheckContext, Issue, IssueCode, Place, Shape

_MANY_ERRORS = 2000
"""Errors of pydantic above which they aren't listed. Each takes microseconds and a kilobyte, and all come at once."""

_OPTIONS_LIMIT = 2000
"""Characters of the options, or of the pattern, that an issue repeats. The instructions have all of them."""


class AnswerReader(ABC):
    """One kind of contract.

    `shape` is what decoding should enforce, `instructions` is what the model is told, and `vouches` is what a
    successful reading proves: `schema`, `type`, or nothing. `told` is the shape that the instructions are about, where
    that isn't `shape`: it says the same, and is easier to read. `is_text` says whether the value is a string,
    `calls_functions` whether reading runs the caller's code. `names` are those of all fields that an answer may have,
    in JSON and in the type; `None` if any name is allowed. `notes` tell the trace what the contract leaves open.
    `place` says where the instructions go, `wraps` whether the value is asked for in an object around it, and `reasons`
    whether that object begins with a reason.
    """

    shape: Shape | None = None
    told: Shape | None = None
    instructions: str = ""
    vouches: tuple[str, ...] = ()
    is_text: bool = False
    calls_functions: bool = False
    names: frozenset[str] | None = frozenset()
    notes: tuple[str, ...] = ()
    place: Place = "system"
    wraps: bool = False
    reasons: bool = False

    def written(self, value: Any) -> Any:
        """A value, as JSON has it, as an example of an answer has it."""
        return value

    @abstractmethod
    def read(self, text: str, context: CheckContext) -> Any:
        """The value that `text` means.

        Raises:
            Rejected: it doesn't mean one.
        """


class PlainText(AnswerReader):
    """Any text that has none of the faults of plain text."""

    is_text = True

    def read(self, text: str, context: CheckContext) -> str:
        """The text without the white space around it."""
        turns = context.request.messages
        users = [turn.text for turn in turns if turn.role == "user"]
        if context.request.text_checks and (
            found := text_issues(text, users[-1] if users else "", instructed=len(turns) > 1)
        ):
            raise Rejected(*found)
        return text.strip()


class Choice(AnswerReader):
    """One of several strings."""

    vouches = ("schema",)
    is_text = True

    def __init__(self, options: Sequence[str]) -> None:
        if (
            not options
            or not all(isinstance(o, str) and o.strip() for o in options)
            or len(set(options)) < len(options)
        ):
            raise ContractError("choices must be different strings, and none may be empty")
        self._options = tuple(options)
        self.shape = schemas.choice(self._options)
        self.instructions = f"Answer with exactly one of these, and nothing else: {', '.join(options)}"

    def read(self, text: str, context: CheckContext) -> str:
        """The option that the text names."""
        found = meant(_forms(text), self._options)
        if found is None:
            options = cut(", ".join(self._options), _OPTIONS_LIMIT)
            raise Rejected(Issue("", f"the answer must be one of: {options}", IssueCode.SCHEMA))
        return found


class Pattern(AnswerReader):
    """A string that a regular expression matches from end to end."""

    vouches = ("schema",)
    is_text = True

    def __init__(self, pattern: re.Pattern[str]) -> None:
        if not isinstance(pattern.pattern, str):
            raise ContractError("a pattern of bytes can't be an output", hint="write it as text")
        if pattern.flags & ~re.UNICODE:
            raise ContractError("a pattern can't be enforced with flags", hint="write (?i:...) in the pattern")
        self._matches = Whole(pattern)
        self._pattern = pattern.pattern
        self.shape = schemas.regex(pattern.pattern)
        self.instructions = (
            "Answer with text that matches this regular expression from end to end, and nothing else: "
            + pattern.pattern
        )

    def read(self, text: str, context: CheckContext) -> str:
        """The string that the pattern matches."""
        watch = Watch(context.deadline, context.cancel)
        for form in dict.fromkeys((*_forms(text), trimmed(text).strip("`"))):
            if self._matches(form, watch):
                return form
        raise Rejected(Issue("", f"the answer must match {cut(self._pattern, _OPTIONS_LIMIT)}", IssueCode.SCHEMA))


class JsonSchema(AnswerReader):
    """JSON that fits a raw JSON Schema."""

    vouches = ("schema",)

    def __init__(self, schema: Mapping[str, Any]) -> None:
        schema = plain(schema)
        self._compiled = compiled(schema)
        self.shape, self.wraps = schemas.of(schema)
        self._is_truth = schemas.is_truth(schema)
        self.names = schemas.names_in(schema)
        self.notes = () if self.wraps else left_open(self.shape.schema)
        self.instructions = _json_instructions(self.shape)

    def read(self, text: str, context: CheckContext) -> Any:
        """The parsed JSON."""
        value = _value(text, wrapped=self.wraps, truth=self._is_truth)
        try:
            return self._fitting(value, context)
        except Rejected:
            if not self.wraps or (whole := _rewrapped(text)) is None:
                raise
            with suppress(Rejected):
                return self._fitting(whole, context)
            raise

    def _fitting(self, value: Any, context: CheckContext) -> Any:
        watch = Watch(context.deadline, context.cancel)
        if self.shape is not None and not self.wraps:
            _refuse_echo(self.shape.schema, value, watch)
        found = issues(self._compiled, value, watch)
        if found:
            raise Rejected(*found)
        return value


class PydanticType(AnswerReader):
    """Anything that pydantic's `TypeAdapter` takes."""

    def __init__(self, output: Any) -> None:
        if inspect.isroutine(output):
            raise schemas.undescribable(output, TypeError("it is a function"))
        refuse_unfolding(output)
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(output)
            schema = schemas.closed(pydantic_schema.told(self._adapter))
            held = schemas.closed(pydantic_schema.held(self._adapter))
            self._functions = validators_in(self._adapter.core_schema)
        except Exception as error:  # pydantic's errors here share no base class, and a user's hooks may raise anything
            raise schemas.undescribable(output, error) from error
        if is_deeper(schema, DEEPEST_SCHEMA):
            raise ContractError(f"the type's JSON Schema is nested more than {DEEPEST_SCHEMA} levels deep")
        self._schema = schema
        self.names = schemas.names_in(schema)
        if self.names is not None:
            self.names |= field_names(self._adapter.core_schema)
        self._has_union = has_kind(self._adapter.core_schema, "union")
        self._validate_json = stoppable(self._adapter)
        self.calls_functions = bool(self._functions)
        self.vouches = ("schema", "type") if self._functions else ("schema",)
        self._options = schemas.strings(schema)
        self._plain = PlainText() if schemas.is_plain_string(schema) else None
        self._is_truth = schemas.is_truth(schema)
        self._has_decimals = has_kind(self._adapter.core_schema, "decimal")
        self._has_floats = has_kind(self._adapter.core_schema, "float")
        self.is_text = schemas.is_text(schema)
        if self._plain:
            self.vouches = ("type",) if self._functions else ()
        elif self._options:
            options = Choice(self._options)
            self.shape, self.instructions = options.shape, options.instructions
        else:
            self.told, self.wraps = schemas.of(schema)
            self.shape, _ = schemas.of(held)
            self.instructions = _json_instructions(self.told)

    def read(self, text: str, context: CheckContext) -> Any:
        """The validated value.

        Raises:
            ContractError: the caller's validators returned something that isn't of the type.
        """
        try:
            value = self._validate(text, context)
        except ValidationError as error:
            raise Rejected(*_issues(error)) from None
        except Costly:
            why = "a union in its type has no discriminator, and each level of nesting multiplies the work"
            raise Rejected(Issue("", f"the answer would take too long to check: {why}", IssueCode.SCHEMA)) from None
        if self._has_floats and is_infinite(self._adapter, value, text):
            raise Rejected(Issue("", "the answer holds a number that is infinite or undefined", IssueCode.SCHEMA))
        if self._functions and misused(self._adapter, value):
            names = ", ".join(self._functions)
            raise ContractError(
                f"the validator {names} returned something that isn't of the output's type; "
                "pydantic uses what a validator returns as the value",
                hint=f"return the value, or wrap a predicate: AfterValidator(rung.checks.that({self._functions[0]}))",
            )
        return value

    def _validate(self, text: str, context: CheckContext) -> Any:
        if self._plain:
            return self._adapter.validate_python(self._plain.read(text, context), context=context.context)
        if self._options:
            bare = meant(_forms(text), self._options)
            return self._adapter.validate_python(text if bare is None else bare, context=context.context)
        value = _value(text, wrapped=self.wraps, truth=self._is_truth, exact=self._has_decimals)
        try:
            return self._validated(value, context)
        except ValidationError:
            if not self.wraps or (whole := _rewrapped(text)) is None:
                raise
            with suppress(ValidationError):
                return self._validated(whole, context)
            raise

    def _validated(self, value: Any, context: CheckContext) -> Any:
        watch = Watch(context.deadline, context.cancel)
        if not self.wraps:
            _refuse_echo(self._schema, value, watch)
        # back to JSON: in strict types pydantic accepts more from JSON (dates, tuples, bytes) than from Python
        written = json.dumps(value)
        if self._has_union:
            refuse_costly(self._adapter.core_schema, value, written.count(",") + written.count("["))
        watch.look()
        token = WATCH.set(watch)
        try:
            return self._validate_json(written, context=context.context)
        except ValidationError as error:
            if error.error_count() > _MANY_ERRORS:
                raise self._some(value, error.error_count(), watch) from None
            raise
        finally:
            WATCH.reset(token)

    def _some(self, value: Any, count: int, watch: Watch) -> Rejected:
        """Some of the issues of an answer with so many that pydantic would take seconds to list them."""
        try:
            found = issues(compiled(plain(self._schema)), value, watch)
        except ContractError:
            found = ()
        return Rejected(*(found or (Issue("", f"{count:,} values in the answer don't fit", IssueCode.SCHEMA),)))


def _refuse_echo(schema: Mapping[str, Any], value: Any, watch: Watch) -> None:
    found = islice(echoes(schema, value, watch), MOST_ISSUES)
    issues_ = [Issue(cut(path), message, IssueCode.SCHEMA) for path, message in found]
    if issues_:
        raise Rejected(*issues_)


def _issues(error: ValidationError) -> list[Issue]:
    found = []
    for e in error.errors(include_url=False, include_input=False):
        message = e["msg"].removeprefix("Value error, ")
        code = IssueCode.TYPE if e["type"] in ("value_error", "assertion_error") else IssueCode.SCHEMA
        found.append(Issue(cut(show(e["loc"])), cut(message), code))
    return found


def _unwrap(value: Any) -> Any:
    """The wrapped value, or a bare one, which comes if nothing enforced the wrapping."""
    if isinstance(value, dict) and set(value) == {schemas.VALUE}:
        return value[schemas.VALUE]
    return value


def _wrapped(text: str) -> Any:
    try:
        return _unwrap(parse(text))
    except Rejected:
        return None


def _rewrapped(text: str) -> Any:
    """A bare object whose only field has the name of the wrapping; `None` for anything else. A union may allow one."""
    try:
        value = parse(text)
    except Rejected:
        return None
    return value if isinstance(value, dict) and set(value) == {schemas.VALUE} else None


def _forms(text: str) -> list[str]:
    """A text as it is, and with decoration removed."""
    return [
        form for form in (text, text.strip(), trimmed(text), unfenced(text), _wrapped(text)) if isinstance(form, str)
    ]


def _value(text: str, *, wrapped: bool, truth: bool, exact: bool = False) -> Any:
    """The JSON of an answer, unwrapped.

    Args:
        text: the answer.
        wrapped: whether the model was asked for an object around the value.
        truth: whether the value is true or false, which people also write in other words.
        exact: as for `parse`.
    """
    try:
        value = parse(text, objects=not wrapped, exact=exact)
    except Rejected:
        found = truth_of(trimmed(text)) if truth else None
        if found is None:
            raise
        return found
    value = _unwrap(value) if wrapped else value
    found = truth_of(value) if truth and isinstance(value, str) else None
    return value if found is None else found


def _json_instructions(shape: Shape) -> str:
    return f"Answer with one JSON object that fits this JSON Schema, and nothing else:\n{schemas.compact(shape.schema)}"
