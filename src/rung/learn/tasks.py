"""A task: a folder with `task.toml`, which a person writes, and `learned.json`, which rung writes.

prompt = "Extract the invoice.\\n\\n{text}"
schema = "invoice.json"
check = "json"
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from rung import checks
from rung.contract import Contract, Validator, compile_output
from rung.contract.forms import placeholders
from rung.contract.sameness import Same
from rung.errors import ConfigError, ContractError, RungError
from rung.files import named, read_bounded
from rung.learn.examples import ExampleTable, read_examples
from rung.learn.forms import TaskForms
from rung.learn.grading import CheckTable, Grader, grader, same_for
from rung.learn.learned import NAME as LEARNED
from rung.learn.learned import Learned, read_learned
from rung.learn.references import imported, is_reference
from rung.learn.templates import Template
from rung.parsing import parse_json, parse_toml
from rung.settings import SettingsTable, read
from rung.spelling import shortened
from rung.types import OnVoid, Task

FILE = "task.toml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MOST = 1 << 20
"""Bytes of a `task.toml`. One with 150 choices and a page of instructions has ten thousand."""
_MOST_SCHEMA = 16 << 20
_CONTRACTS = ("schema", "choices", "regex", "type")


class TaskTable(SettingsTable):
    """A whole `task.toml`.

    Args:
        about: what the task is, for people.
        prompt: template of the user's turn, with fields in braces. Without one the request's prompt is used as it is.
        system: template of a system turn before it.
        answer_schema: `schema`, the answer's JSON Schema: a file in the folder, or the schema itself.
        choices: the only answers.
        regex: what the answer matches from end to end.
        type: `module:Class`, a pydantic model or another type.
        validators: `module:function`, each a further check of every answer.
        quoted: fields whose values must occur in the prompt.
        check: whether an answer is right, if the right one is known: a check by name, a table, `module:function`.
        same: how two answers are compared, in the same form; by default it follows from check and contract.
        max_tokens: first cap on an answer, in tokens.
        on_void: what happens to a valid answer when what was learnt is void.
        wordings: further ways to tell a tier what the answer must be, for `rung tune` to try. `{options}`, `{lines}`,
            `{schema}`, `{fields}` or `{pattern}` marks where that goes.
    """

    about: str = ""
    prompt: str | None = None
    system: str = ""
    answer_schema: Any = Field(default=None, alias="schema")
    choices: tuple[str, ...] | None = None
    regex: str | None = None
    type: str | None = None
    validators: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()
    check: Any = None
    same: Any = None
    max_tokens: int | None = Field(default=None, ge=1)
    on_void: OnVoid = "escalate"
    wordings: tuple[str, ...] = ()

    @field_validator("check", "same", "answer_schema")
    @classmethod
    def _is_text_or_table(cls, value: Any) -> Any:
        if value is not None and not isinstance(value, str | dict):
            raise ValueError("has to be a text or a table")
        return value


@dataclass(frozen=True, slots=True)
class TaskFolder:
    """A task's folder, read.

    Args:
        path: the folder.
        table: its `task.toml`.
        sha256: of that file's bytes.
        trusted: whether the modules that it names may be imported.
        template: of its prompt; `None` if it has none.
        learned: what was learnt.
    """

    path: Path
    table: TaskTable
    sha256: str
    trusted: bool
    template: Template | None
    learned: Learned = field(repr=False)

    @property
    def name(self) -> str:
        """The task's name."""
        return self.path.name

    @property
    def references(self) -> tuple[str, ...]:
        """Each `module:name` in the task, whose code runs when the task is used."""
        table = self.table
        names = (table.type, *table.validators, *map(_named, (table.check, table.same)))
        return tuple(dict.fromkeys(name for name in names if name is not None and is_reference(name)))

    @property
    def kind(self) -> str:
        """The kind of its contract: `schema`, `choices`, `regex`, `type` or `text`."""
        return next((name for name in _CONTRACTS if getattr(self.table, _field(name)) is not None), "text")

    @property
    def schema_file(self) -> Path | None:
        """The path of its schema, if that is a file."""
        schema = self.table.answer_schema
        return self.path / schema if isinstance(schema, str) else None

    def files(self) -> tuple[tuple[Path, ...], tuple[str, ...]]:
        """The files of the task, and each reference to a module that isn't in its folder.

        Other files in the folder, such as data, aren't part of the task.
        """
        wanted = [self.path / FILE, *((self.schema_file,) if self.schema_file else ()), self.path / LEARNED]
        missing = []
        for reference in self.references:
            module = self.path / reference.partition(":")[0].partition(".")[0]
            code = [module.with_suffix(".py")] if module.with_suffix(".py").is_file() else sorted(module.rglob("*.py"))
            wanted += code
            if not code:
                missing.append(reference)
        return tuple(dict.fromkeys(path for path in wanted if path.is_file())), tuple(missing)

    def output(self) -> Any:
        """The output, as `Ladder.run` takes it; `None` for text.

        Raises:
            ConfigError: a file or module can't be read, or the folder isn't trusted with the module.
            ContractError: it is not a schema, a regular expression or a list of choices.
        """
        table = self.table
        if self.schema_file is not None:
            return _schema(self.schema_file)
        if table.answer_schema is not None:
            return table.answer_schema
        if table.regex is not None:
            try:
                return re.compile(table.regex)
            except re.error as error:
                raise ContractError(f"{self._where}: regex is not a regular expression: {error}") from None
        if table.type is not None:
            return self._imported(table.type, "type")
        return None if table.choices is None else list(table.choices)

    def contract(self) -> Contract[Any]:
        """The contract with its checks.

        Raises:
            ConfigError, ContractError: `output` raises them.
        """
        validators: list[Validator] = [self._imported(name, "validators") for name in self.table.validators]
        if self.table.quoted:
            validators.append(checks.quoted(*self.table.quoted))
        try:
            return compile_output(self.output(), validators)
        except ContractError as error:
            where = "" if error.message.startswith(str(self.path)) else f"{self._where}: "
            raise ContractError(f"{where}{error.message}", hint=error.hint) from None

    def grader(self) -> Grader | None:
        """Decides whether an answer is right; `None` if the task has no check.

        Raises:
            ConfigError: the check is wrong, or the folder isn't trusted with its module.
        """
        check: CheckTable | None = self.table.check
        if check is None:
            return None
        self._demand_trust(_named(check))
        return grader(check, where=f"{self._where}: check", folder=self.path)

    def same(self) -> Same | None:
        """Compares two answers; `None` for free text without `same`.

        Raises:
            ConfigError: `same` or the check is wrong, or the folder isn't trusted with its module.
        """
        self._demand_trust(_named(self.table.same))
        # the output isn't needed if a module would have to be imported for it
        output = dict if self.kind == "type" and not self.trusted else self.output()
        return same_for(output, self.table.same, self.table.check, folder=self.path)

    def examples(self) -> ExampleTable:
        """What its tiers may be shown.

        Raises:
            ConfigError: the file can't be read.
        """
        return read_examples(self.path)

    def void(self) -> dict[str, tuple[str, ...]]:
        """What changed in the folder itself since its tiers were calibrated, by tier; empty if nothing did.

        The tier's own settings and weights are compared with each answer.

        Raises:
            ConfigError, ContractError: `contract` raises them.
        """
        prompt = self.template.sha256 if self.template else ""
        # a look at an untrusted folder doesn't import its module
        runs = not self.trusted and bool(self.table.type or self.table.validators)
        forms = self._forms()
        found = {}
        for tier, learnt in self.learned.tiers.items():
            then = learnt.evidence
            contract = then.contract if runs else self.contract().sha256
            form = forms(tier, prompt, contract)
            changed = {
                "the prompt": then.prompt != prompt,
                "the contract": then.contract != contract,
                "the form": then.form != ("" if form is None else form.sha256),
            }
            found[tier] = tuple(what for what, is_so in changed.items() if is_so)
        return {tier: what for tier, what in found.items() if what}

    def task(self) -> Task:
        """The task in the form that the ladder takes.

        Raises:
            ConfigError, ContractError: `contract` raises them.
        """
        template = self.template
        bare = self.kind == "text" and not self.table.validators and not self.table.quoted
        return Task(
            name=self.name,
            output=None if bare else self.contract(),
            fields=template.fields if template else (),
            fill=template.fill if template else None,
            prompt=template.sha256 if template else "",
            max_tokens=self.table.max_tokens,
            on_void=self.table.on_void,
            standing=self.learned.standing,
            form=self._forms(),
            same=functools.cache(self.same),
        )

    def _forms(self) -> TaskForms:
        return TaskForms(self.learned.forms, self.examples() if self.learned.forms else ExampleTable())

    @property
    def _where(self) -> str:
        return str(self.path / FILE)

    def _imported(self, reference: str, key: str) -> Any:
        self._demand_trust(reference)
        return imported(reference, f"{self._where}: {key}", self.path)

    def _demand_trust(self, reference: str | None) -> None:
        if reference is not None and is_reference(reference) and not self.trusted:
            raise ConfigError(
                f"{self._where} is not trusted, and asks to run {reference}",
                hint=f"look at it and at that module, then run `rung config trust {self._where}`",
            )


def is_name(name: str) -> bool:
    """Whether a task's folder can have this name: letters, digits, dots, dashes and underscores."""
    return _NAME.fullmatch(name) is not None


def demand_name(name: str) -> None:
    """Check that a task can have this name. A name is never a path, so it can't lead out of the folder of tasks.

    Raises:
        ConfigError: it can't.
    """
    if not is_name(name):
        raise ConfigError(
            f"a task can't be called {named(name)!r}", hint="use letters, digits, dots, dashes and underscores"
        )


def open_task(folder: Path, *, trusted: bool, recorded: str | None = None) -> TaskFolder:
    """Read the task of a folder. Imports nothing and compiles nothing.

    Args:
        folder: a folder with a `task.toml`.
        trusted: whether to trust it whatever it says.
        recorded: sha256 of the content of `task.toml` that the user trusts; `None` if there is no such record.

    Raises:
        ConfigError: a file can't be read, a key is unknown or wrong, or two kinds of contract are named.
    """
    path = folder / FILE
    content = read_bounded(path, _MOST, "the task")
    table = read(TaskTable, parse_toml(content, str(path)), str(path))
    given = [name for name in _CONTRACTS if getattr(table, _field(name)) is not None]
    if len(given) > 1:
        raise ConfigError(f"{path}: {' and '.join(given)} can't go together", hint="keep one of them")
    _look_at(table, folder, path)
    template = None
    try:
        if table.prompt is not None:
            template = Template(table.prompt, table.system)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", hint=error.hint) from None
    if table.system and table.prompt is None:
        raise ConfigError(f"{path}: system needs a prompt beside it", hint='add prompt = "{text}"')
    sha256 = hashlib.sha256(content).hexdigest()
    return TaskFolder(folder, table, sha256, trusted or sha256 == recorded, template, read_learned(folder))


def _look_at(table: TaskTable, folder: Path, path: Path) -> None:
    """Check what needs no import: names of checks, forms of references, the schema's place."""
    for key, names in (("type", (table.type,)), ("validators", table.validators)):
        for name in names:
            if name is not None and not is_reference(name):
                raise ConfigError(f"{path}: {key}: {name[:80]!r} names nothing", hint="write module:name")
    for key in ("check", "same"):
        check = getattr(table, key)
        if check is not None and not is_reference(_named(check) or ""):
            grader(check, where=f"{path}: {key}")
    _look_at_wordings(table, path)
    schema = table.answer_schema
    if isinstance(schema, str) and not (folder / schema).resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{path}: the schema {schema[:80]!r} is outside the task's folder", hint="copy it there")


_ROOM = {
    "schema": ("schema", "fields", "options", "lines"),
    "type": ("schema", "fields", "options", "lines"),
    "choices": ("options", "lines"),
    "regex": ("pattern",),
}
"""What a wording may leave room for, by kind of contract. A schema or a type may be nothing but a list of options."""


def _look_at_wordings(table: TaskTable, path: Path) -> None:
    """See that each wording tells a tier what its answers must be: one that doesn't breaks the prompt."""
    kind = next((name for name in _CONTRACTS if getattr(table, _field(name)) is not None), "text")
    room = _ROOM.get(kind, ())
    for wording in table.wordings:
        if not room:
            raise ConfigError(f"{path}: wordings need a contract to tell of, and this task answers in text")
        found = placeholders(wording)
        if not found or not found <= set(room):
            shown = " or ".join(f"{{{name}}}" for name in room)
            raise ConfigError(
                f"{path}: the wording {shortened(wording)!r} doesn't say what the answer must be",
                hint=f"write {shown} where that is to stand",
            )


def _schema(path: Path) -> dict[str, Any]:
    try:
        schema = parse_json(read_bounded(path, _MOST_SCHEMA, "the schema"), str(path))
    except RungError as error:
        raise ContractError(error.message, hint=error.hint) from None
    if not isinstance(schema, dict):
        raise ContractError(f"{path} is not a JSON Schema: its top level is not an object")
    return schema


def _named(check: CheckTable | None) -> str | None:
    """The name of a check."""
    name = check.get("name") if isinstance(check, Mapping) else check
    return name if isinstance(name, str) else None


def _field(key: str) -> str:
    """The attribute of `TaskTable` that holds a key of the file: pydantic has a `schema` of its own."""
    return "answer_schema" if key == "schema" else key
