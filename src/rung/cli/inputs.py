"""What the user gives `rung ask`: the prompt, the shape of the answer, and checks."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rung import checks
from rung.cli.reading import PROMPT_MOST, Patience, read_file, read_small, read_stdin, text_of
from rung.console import is_terminal
from rung.contract import Validator
from rung.errors import ConfigError, ContractError
from rung.files import demand_size
from rung.learn.references import imported, is_reference
from rung.parsing import parse_json
from rung.spelling import nearest

if TYPE_CHECKING:
    from rung.config import Config

_BLANK = "\n\n"
_STDIN = "-"
_SCHEMA_MOST = 16 << 20
"""Bytes of a JSON Schema. The largest published ones have a few million."""


def prompt(argument: str | None, files: Sequence[str], patience: Patience) -> str:
    """The prompt. An argument is the instruction. Files, or else piped input, are the material after it.

    Args:
        argument: from the command line.
        files: paths, or `-` for stdin. If there is a file, stdin is not read.
        patience: limits the wait for piped input.

    Raises:
        ConfigError: there is no prompt, a file can't be read, or something is not UTF-8.
    """
    if files.count(_STDIN) > 1:
        raise ConfigError("--file - is given twice, but stdin can be read only once", hint="leave one of them out")
    parts = [_argument(argument)] if argument is not None else []
    for name in files or ([] if is_terminal(sys.stdin) else [_STDIN]):
        content = read_stdin(patience) if name == _STDIN else read_file(name, patience)
        parts.append(text_of(content, "stdin" if name == _STDIN else name))
        demand_size("all parts", sum(map(len, parts)), PROMPT_MOST, "the prompt of")
    text = _BLANK.join(part for part in parts if part.strip())
    if not text:
        raise ConfigError("the prompt is empty", hint="give it as an argument, with --file FILE, or on stdin")
    return text


def fields(texts: Sequence[str], files: Sequence[str], patience: Patience) -> dict[str, str]:
    """The fields of `--field` and `--field-file`.

    Args:
        texts: each `NAME=TEXT`.
        files: each `NAME=FILE`.
        patience: limits the wait for a file.

    Raises:
        ConfigError: one has no name, two have the same name, or a file can't be read.
    """
    found: dict[str, str] = {}
    for option, what, given in (("--field", "TEXT", texts), ("--field-file", "FILE", files)):
        for word in given:
            name, equals, value = word.partition("=")
            if not equals or not name.isidentifier():
                raise ConfigError(f"{option} needs a name and an equals sign", hint=f"write {option} NAME={what}")
            if name in found:
                raise ConfigError(f"the field {name!r} is given twice", hint="leave one of them out")
            found[name] = _argument(value) if what == "TEXT" else text_of(read_file(value, patience), value)
    return found


def fields_of(config: Config, task: str | None) -> tuple[str, ...] | None:
    """The fields of a task's template; `None` if there is no such task, or it has no template.

    Raises:
        ConfigError: the task's files are wrong.
    """
    found = None if task is None else config.tasks.find(task)
    return None if found is None or found.template is None else found.template.fields


def asked(
    argument: str | None,
    files: Sequence[str],
    given: dict[str, str],
    names: tuple[str, ...] | None,
    patience: Patience,
) -> str | dict[str, str]:
    """The prompt, or a text for each field of the task's template. The field without a text gets what `prompt` reads.

    Args:
        argument: from the command line.
        files: paths, or `-` for stdin.
        given: the fields that have a text.
        names: of the template's fields; `None` if there is no template.
        patience: limits the wait for piped input.

    Raises:
        ConfigError: a field is unknown, missing or one too many, or `prompt` raises it.
    """
    if names is None:
        if given:
            raise ConfigError("--field needs --task with a task that has a template", hint="see `rung task list`")
        return prompt(argument, files, patience)
    for name in given:
        if name not in names:
            raise ConfigError(f"the task's template has no field {name!r}", hint=nearest(name, names))
    left = [name for name in names if name not in given]
    if not left:
        if argument is not None or files:
            raise ConfigError("every field of the task has a text already", hint="leave out the prompt or a --field")
        return given
    if len(left) > 1:
        raise ConfigError(
            f"the task's template needs {len(left)} more fields: {', '.join(left)}",
            hint="give all but one with --field NAME=TEXT or --field-file NAME=FILE",
        )
    return {**given, left[0]: prompt(argument, files, patience)}


def output(schema: Path | None, type_: str | None, choices: str | None, regex: str | None, patience: Patience) -> Any:
    """The shape of the answer; `None` is plain text.

    Args:
        schema: the file of a JSON Schema.
        type_: `module:name`.
        choices: separated by commas.
        regex: a pattern.
        patience: told what is being read.

    Raises:
        ConfigError: more than one of them is given, or a file or module can't be read.
        ContractError: it is not a valid schema, or not a valid regular expression.
    """
    one_contract(schema, type_, choices, regex)
    if schema is not None:
        return _schema(schema, patience)
    if type_ is not None:
        patience.doing(f"importing {type_}")
        return imported(type_, "--type")
    if choices is not None:
        return [choice.strip() for choice in choices.split(",")]
    if regex is not None:
        try:
            return re.compile(regex)
        except re.error as error:
            raise ContractError(f"--regex is not a valid regular expression: {error}") from None
    return None


def one_contract(schema: Path | None, type_: str | None, choices: str | None, regex: str | None) -> None:
    """Check that at most one option gives the shape of the answer. Takes the arguments of `output`.

    Raises:
        ConfigError: several do.
    """
    given = [
        f"--{name}"
        for name, value in (("schema", schema), ("type", type_), ("choices", choices), ("regex", regex))
        if value is not None
    ]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} can't go together", hint="give one of them")


def refuse_beside(option: str, others: Mapping[str, bool]) -> None:
    """Check that nothing was given that makes no sense beside an option.

    Args:
        option: the option that was given.
        others: what can't go together with it, and whether it was given.

    Raises:
        ConfigError: one of them was.
    """
    for other, given in others.items():
        if given:
            raise ConfigError(f"{option} and {other} can't go together", hint="give one of them")


def validators(lines: Sequence[str], quoted: Sequence[str]) -> list[Validator]:
    """The checks of `--check` and `--quoted`.

    Args:
        lines: each a `module:function`, or a command that gets the answer on its stdin.
        quoted: fields whose value must occur in the prompt.

    Raises:
        ConfigError: there is no such module, function or program.
    """
    found: list[Validator] = [
        imported(line, "--check") if is_reference(line) else checks.command(line) for line in lines
    ]
    return [*found, checks.quoted(*quoted)] if quoted else found


def _argument(argument: str) -> str:
    try:
        argument.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"the prompt is not valid UTF-8: character {error.start}", hint="check the terminal's locale"
        ) from None
    return argument


def _schema(path: Path, patience: Patience) -> dict[str, Any]:
    content = read_small(path, _SCHEMA_MOST, "the schema", patience)
    try:
        schema = parse_json(content, str(path))
    except ConfigError as error:
        raise ContractError(error.message, hint=error.hint) from None
    if not isinstance(schema, dict):
        raise ContractError(f"{path} is not a JSON Schema: its top level is not an object")
    return schema
