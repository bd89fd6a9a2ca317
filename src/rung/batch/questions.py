"""The question of a row, and its id. The prompt comes from a column, a template over columns, a task, or OpenAI's
batch format.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rung.batch import openai_form
from rung.contract.bounds import is_text
from rung.errors import ConfigError, RungError
from rung.learn.data import row_of
from rung.learn.rows import Row
from rung.learn.tables import BadRow, InputRow, UnusableRow, kind_of
from rung.learn.templates import Template
from rung.spelling import nearest, shortened
from rung.types import Message, Sampling

IDS = ("custom_id", "id")
"""Columns that are tried for a row's id if `--id` names none."""
_LONGEST_ID = 200
"""Most characters of an id: more than real ids have, and few enough for an index."""
_MOST_KEYS = 20
"""Most columns that are listed, or compared with a misspelt name. A table may have thousands."""


@dataclass(frozen=True, slots=True)
class RowQuestion:
    """What a row asks.

    Args:
        messages: the conversation.
        schema: JSON Schema of the answer, if the row has its own.
        max_tokens: first cap on the answer, if the row has its own.
        sampling: how tokens are chosen, if the row has its own settings.
        id: of the row; `None` if it has none.
    """

    messages: tuple[Message, ...] = field(repr=False)
    schema: Mapping[str, Any] | None = field(default=None, repr=False)
    max_tokens: int | None = None
    sampling: Sampling | None = None
    id: str | None = None

    @property
    def key(self) -> bytes:
        """A hash of what is asked, the same in every input and run."""
        asked = [
            [[turn.role, turn.text] for turn in self.messages],
            self.schema,
            self.max_tokens,
            None
            if self.sampling is None
            else [
                self.sampling.temperature,
                self.sampling.top_p,
                self.sampling.min_p,
                self.sampling.seed,
                self.sampling.stop,
            ],
        ]
        return hashlib.sha256(json.dumps(asked).encode()).digest()[:16]


class Asks(Protocol):
    """Makes a question from the values of a row."""

    def sees(self, columns: tuple[str, ...]) -> None:
        """Raise `ConfigError` if the columns of the input don't fit."""

    def __call__(self, record: InputRow, *, cells: bool) -> RowQuestion:
        """What a row asks. Raises `UnusableRow` or `RungError`."""


@dataclass(frozen=True, slots=True)
class Questions:
    """Makes the question of a row, and finds its id.

    Args:
        asks: makes the question.
        id: the column of ids; `None` takes `custom_id` or `id`, if there is one.
    """

    asks: Asks
    id: str | None = None

    def sees(self, columns: tuple[str, ...]) -> None:
        """Report what is wrong with the whole input once, and not for each row.

        Raises:
            ConfigError: a column is missing.
        """
        if self.id is not None and self.id not in columns:
            raise ConfigError(f"there is no column {shortened(self.id)!r} for --id", hint=nearest(self.id, columns))
        self.asks.sees(columns)

    def of(self, record: InputRow, *, cells: bool) -> RowQuestion | BadRow:
        """What a row asks, or why it can't be used.

        Args:
            record: the row.
            cells: whether all values are texts, as in the cells of a CSV file.
        """
        try:
            asked = self.asks(record, cells=cells)
            if any("\0" in turn.text or not is_text(turn.text) for turn in asked.messages):
                raise UnusableRow("it holds a NUL or half of a surrogate pair, so it is not text")
            found = self._id(record.values)
        except (UnusableRow, RungError) as error:
            return record.bad(error)
        return RowQuestion(asked.messages, asked.schema, asked.max_tokens, asked.sampling, found)

    def known_id(self, record: InputRow) -> str:
        """The id of a row that can't be used; empty if it has none."""
        try:
            return self._id(record.values) or ""
        except UnusableRow:
            return ""

    def _id(self, values: Mapping[str, Any]) -> str | None:
        names = IDS if self.id is None else (self.id,)
        name = next((name for name in names if values.get(name) not in (None, "")), None)
        if name is None:
            if self.id is not None:
                raise UnusableRow(f"it has no {self.id!r}, and --id says that its id stands there")
            return None
        value = values[name]
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise UnusableRow(f"its id is {kind_of(value)} and not a text")
        found = str(value)
        if len(found) > _LONGEST_ID or not is_text(found):
            raise UnusableRow(f"its id is longer than {_LONGEST_ID} characters, or isn't text")
        return found


@dataclass(frozen=True, slots=True)
class Usual:
    """A row in the form that `rung eval` reads (`prompt`, `messages`, or the fields of a task's template), or in
    OpenAI's batch format.

    Args:
        template: of the task; `None` without one.
        folder: whether the rows are the files of a folder.
    """

    template: Template | None = None
    folder: bool = False

    def sees(self, columns: tuple[str, ...]) -> None:
        """Report once what is missing."""
        fields = self.template.fields if self.template is not None else ()
        for name in fields:
            if name not in columns and not (self.folder and len(fields) == 1):
                raise ConfigError(f"there is no column for the template's field {name!r}", hint=nearest(name, columns))
        if not fields and not self.folder and not ({"prompt", "messages", "body"} & set(columns)):
            raise ConfigError(
                "there is no column that says what to ask",
                hint=f"name one with --prompt, or write a --template over these: {', '.join(columns[:_MOST_KEYS])}",
            )

    def __call__(self, record: InputRow, *, cells: bool) -> RowQuestion:
        """What a row asks."""
        values = record.values
        if self.template is None and openai_form.fits(values):
            return _of_openai(values)
        fields = self.template.fields if self.template is not None else ()
        if self.folder:
            values = {(fields[0] if len(fields) == 1 else "prompt"): values["text"], "file": values["file"]}
        wanted = {"prompt", "messages", "schema", *fields}
        kept = {name: value for name, value in values.items() if name in wanted}
        if not kept and values:
            close = nearest("prompt", [shortened(name) for name in list(values)[:_MOST_KEYS]])
            raise UnusableRow(f"it has neither a prompt nor messages; {close}")
        row = row_of(InputRow(record.number, record.place, kept, 1), self.template, cells=cells and not self.folder)
        if isinstance(row, Row):
            return RowQuestion(row.messages, row.schema)
        raise UnusableRow(row.reason)


@dataclass(frozen=True, slots=True)
class Column:
    """Takes the prompt from a column.

    Args:
        name: of the column.
    """

    name: str

    def sees(self, columns: tuple[str, ...]) -> None:
        """Report once that the column is missing."""
        if self.name not in columns:
            raise ConfigError(
                f"there is no column {shortened(self.name)!r} for --prompt", hint=nearest(self.name, columns)
            )

    def __call__(self, record: InputRow, *, cells: bool) -> RowQuestion:
        """What a row asks."""
        value = record.values.get(self.name)
        if self.name not in record.values:
            near = nearest(self.name, [shortened(name) for name in list(record.values)[:_MOST_KEYS]])
            raise UnusableRow(f"it has no {self.name!r}{f'; {near}' if near else ''}")
        if not isinstance(value, str):
            raise UnusableRow(f"its {self.name!r} is {kind_of(value)} and not a text")
        if not value.strip():
            raise UnusableRow(f"its {self.name!r} is empty")
        return RowQuestion((Message("user", value),))


class Templated:
    """Fills a template with the columns to make the prompt, in Jinja's sandbox.

    Args:
        text: of the template.

    Raises:
        ConfigError: the text is not a valid template.
    """

    def __init__(self, text: str) -> None:
        from jinja2 import StrictUndefined, TemplateError, meta
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        self.text = text
        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
        try:
            self.names = frozenset(meta.find_undeclared_variables(environment.parse(text)))
            self._render: Callable[..., str] = environment.from_string(text).render
        except TemplateError as error:
            raise ConfigError(f"--template is not a template: {error}", hint="write {{ column }}") from None
        self._error = TemplateError

    def sees(self, columns: tuple[str, ...]) -> None:
        """Report once that a column is missing."""
        for name in sorted(self.names):
            if name not in columns:
                raise ConfigError(
                    f"there is no column {shortened(name)!r}, which the template names", hint=nearest(name, columns)
                )

    def __call__(self, record: InputRow, *, cells: bool) -> RowQuestion:
        """What a row asks."""
        for name in sorted(self.names):
            if name not in record.values:
                near = nearest(name, [shortened(key) for key in list(record.values)[:_MOST_KEYS]])
                raise UnusableRow(f"it has no {name!r}, which the template names{f'; {near}' if near else ''}")
        try:
            prompt = self._render({name: record.values[name] for name in self.names})
        except (self._error, TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
            # without the error's message, which may quote the row
            raise UnusableRow(f"the template can't be filled: {type(error).__name__}") from None
        if not prompt.strip():
            raise UnusableRow("the template makes an empty prompt of it")
        return RowQuestion((Message("user", prompt),))


def _of_openai(values: Mapping[str, Any]) -> RowQuestion:
    asked = openai_form.asked(values)
    return RowQuestion(asked.messages, asked.schema, asked.max_tokens, asked.sampling)
