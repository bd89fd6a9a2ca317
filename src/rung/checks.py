"""Ready-made validators. They take what every validator takes, and work beside your own."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Generic, TypeVar

from pydantic_core import SchemaSerializer, core_schema, to_jsonable_python

from rung import checking
from rung.contract.absent import names_null
from rung.contract.extraction import only_block
from rung.contract.quoting import Source
from rung.errors import Cancelled, ConfigError, ContractError
from rung.limits import LONGEST, Deadline
from rung.schemas import property_names
from rung.spelling import nearest
from rung.types import CheckContext, Issue, Shape

__all__ = [
    "command",
    "quoted",
    "that",
]

T = TypeVar("T")

_SAID_LIMIT = 2000
"""Characters of a program's output that a model is told. A dozen findings fit, and a small context isn't filled."""
_FILE = re.compile(r"\{file(\.\w{1,10})?\}")
_SHOWN_LIMIT = 200
"""Characters of a value that an issue repeats."""
_MOST_ISSUES = 50
"""Values of one answer that are reported. A repair is told ten."""


class that(Generic[T]):  # noqa: N801  reads as a word: AfterValidator(that(is_upper))
    """A predicate as a validator, for `validators=` and for pydantic's `AfterValidator` alike.

        capitals = that(str.isupper, "write it in capitals")
        Capitals = Annotated[str, AfterValidator(capitals)]
        capitals("DUNE")  # DUNE

    Args:
        predicate: returns whether a value is right.
        message: what a model is told if it isn't; by default this names the predicate.
    """

    returns_value = True

    def __init__(self, predicate: Callable[[T], bool], message: str = "") -> None:
        self.name = getattr(predicate, "__name__", type(predicate).__name__)
        self._predicate = predicate
        self._message = message or f"{self.name} doesn't hold"

    def __call__(self, value: T) -> T:
        """Return the value itself.

        Raises:
            ValueError: the predicate doesn't hold.
            ContractError: the predicate is async, and so would hold for every value.
        """
        holds: Any = self._predicate(value)
        if inspect.isawaitable(holds):
            if inspect.iscoroutine(holds):
                holds.close()
            raise ContractError(
                f"the predicate {self.name} is async", hint="give the async function to validators= by itself"
            )
        if not holds:
            raise ValueError(self._message)
        return value


class quoted:  # noqa: N801  reads as a word: validators=[quoted("vendor")]
    """The values of these fields occur in the source. This is the cheapest check that catches well-formed mistakes.

    Texts are compared as a person would compare them: without regard to case, white space, typography and forms of
    Unicode. In scripts that separate words, only whole words count. Numbers are compared by value, so `1,234.50` in the
    source vouches for 1234.5. A date counts as text, in the form 2024-03-05. A field that is absent, `None` or empty
    passes.

        ladder.run(mail, Invoice, validators=[quoted("vendor", "total", aliases={"currency": {"EUR": ["€"]}})])

    Where such a field may be left out, and there is no other kind of check, the model has to write null for what isn't
    there: what it may leave out it makes up. The null is in the answer's text and not in its value.

    Args:
        fields: names or dotted paths, as the type or JSON calls them. A list on the way stands for each of its items.
            By default every text and number counts.
        source: where to look; by default the text of the user's turns.
        aliases: other spellings of a field's values. Any of them vouches for the value. A field with aliases is looked
            up even if `fields` doesn't name it.
    """

    def __init__(
        self,
        *fields: str,
        source: str | None = None,
        aliases: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
    ) -> None:
        self._aliases = {name: dict(spellings) for name, spellings in (aliases or {}).items()}
        if fields:
            fields = (*fields, *(name for name in self._aliases if name not in fields))
        self.name = f"quoted({', '.join(fields)})"
        self._fields = fields
        self._source = source
        # takes values apart like `to_jsonable_python`, but leaves a `Decimal` as a number
        self._taken_apart = SchemaSerializer(core_schema.any_schema()).to_python

    def suits(self, names: frozenset[str] | None) -> None:
        """Called before anything is asked.

        Args:
            names: names of all fields that an answer may have; `None` if it may have any.

        Raises:
            ContractError: an answer can't have such a field.
        """
        for path in (*self._fields, *self._aliases):
            for name in path.split(".") if names is not None else ():
                if name not in (names or ()):
                    hint = nearest(name, names or ()) if names else "leave the field out, or ask for an object"
                    raise ContractError(f"{self.name}: the answer has no field {name!r}", hint=hint)

    def copied(self, names: frozenset[str]) -> frozenset[str]:
        """Those of some fields that it looks up, or that are on the way there.

        Args:
            names: of the fields, in JSON.
        """
        return names & {name for path in self._fields for name in path.split(".")} if self._fields else names

    def __call__(self, value: Any, context: CheckContext) -> list[Issue]:
        """An issue for each value that doesn't occur.

        Raises:
            ContractError: the contract has no such field, or the field holds something that can't be looked up in a
                text.
        """
        source = context.request.source if self._source is None else self._source
        known = property_names(context.shape.schema) if context.shape else None
        within = Source(source, context)
        issues = []
        for path in [f.split(".") for f in self._fields] or [[]]:
            for at, leaf in _leaves(value, path, "", self.name, known):
                plain = self._taken_apart(leaf, by_alias=True)
                if isinstance(plain, bool) and path:
                    raise ContractError(f"{self.name}: {at!r} is true or false, which no source quotes")
                spellings = self._aliases.get(re.sub(r"\[\d+\]", "", at), {})
                if not _occurs(plain, within, spellings.get(str(to_jsonable_python(plain)), ())):
                    shown = plain if isinstance(plain, str) else json.dumps(to_jsonable_python(plain))
                    if len(shown) > _SHOWN_LIMIT:
                        shown = shown[:_SHOWN_LIMIT] + "…"
                    said = f"{shown!r} does not occur in the source; copy it from there{_if_absent(at, context.shape)}"
                    issues.append(Issue(at, said, "", quotes=repr(shown)))
                    if len(issues) == _MOST_ISSUES:
                        return issues
        return issues


def _if_absent(field: str, shape: Shape | None) -> str:
    """What to do with a field that the source doesn't mention, in the words of an issue. Told only to copy a value, a
    small model copies something. Nothing is said of fields within fields.
    """
    schema = {} if shape is None else shape.schema
    known = schema.get("properties", {}).get(field)
    if not isinstance(known, dict):
        return ""
    if field not in schema.get("required", ()):
        return ", or leave the field out if it isn't there"
    return ", or write null if it isn't there" if names_null(known) else ""


class command:  # noqa: N801  reads as a word: validators=[command("ruff check -")]
    """Any program as a validator. It gets the answer on stdin. Exit code 0 accepts, otherwise its output is the issue.

        is_json = command("python -m json.tool")
        ladder.run("Is water wet?", list[str], validators=[is_json])

    If the answer is a text with one fenced block, the program gets the code in it. It gets other text as it is, and
    anything else as the JSON that the model wrote. For a program that needs a file, write `{file}` or `{file.py}` in
    the line. This becomes the path of a file with the answer.

    The program runs without a shell, in a process group of its own, and without the variables whose names end like the
    name of a secret (`OPENAI_API_KEY`). Its exit is the verdict. Children that it leaves behind are stopped then. The
    whole group is stopped at the time limit, at the deadline, on cancel, and when the output doesn't end. Of a long
    output the beginning and the end are kept.

    Args:
        line: the program and its arguments, as a list, or as one string that is split the way a shell would.
        seconds: time limit, unless the deadline is earlier.
        environment: all variables of the program, if it needs other ones, or a secret.

    Raises:
        ConfigError: the line is empty, there is no such program, or the time limit is out of range.
    """

    def __init__(
        self, line: str | Sequence[str], *, seconds: float = 30.0, environment: Mapping[str, str] | None = None
    ) -> None:
        import shlex
        import shutil

        if not isinstance(line, str):
            line = checking.several("a check", line, str, "texts")
        try:
            self._argv = shlex.split(line) if isinstance(line, str) else [*line]
        except ValueError as error:
            raise ConfigError(f"the check {line!r} is not a valid command line: {str(error).lower()}") from None
        if not self._argv:
            raise ConfigError("the check has no program", hint='name one, for example "ruff check -"')
        if any("\0" in word for word in self._argv):
            raise ConfigError("the check holds a NUL, which no command line can")
        if shutil.which(self._argv[0]) is None:
            raise ConfigError(f"there is no program {self._argv[0]!r}", hint="install it, or give its path")
        checking.real("a check's time limit", seconds, 0.0, LONGEST, above=True)
        self.name = self._argv[0].replace("\\", "/").rsplit("/", 1)[-1]
        self._seconds = seconds
        self._environment = environment

    def __call__(self, value: Any, context: CheckContext) -> list[Issue]:
        """What the program finds wrong with the answer.

        Raises:
            ConfigError: the program can't be started.
            Cancelled: the caller cancelled.
        """
        left = context.deadline.remaining()
        seconds = self._seconds if left is None else min(self._seconds, left)
        block = only_block(value) if isinstance(value, str) else None
        text = block[0] if block else value if isinstance(value, str) else context.text
        try:
            given = text.encode()
        except UnicodeEncodeError:
            return [Issue("", "the answer holds half of a surrogate pair, which is not valid text", "")]
        with _filed(self._argv, given) as argv:
            return self._said(argv, given, seconds, context)

    def _said(self, argv: Sequence[str], given: bytes, seconds: float, context: CheckContext) -> list[Issue]:
        from rung import programs

        try:
            ended = programs.run(
                argv,
                given,
                deadline=Deadline.after(seconds),
                cancel=context.cancel,
                environment=self._environment,
            )
        except OSError as error:
            raise ConfigError(
                f"the program {self._argv[0]!r} can't be started: {(error.strerror or str(error)).lower()}",
                hint="see that it is a program for this machine",
            ) from None
        if context.cancel.is_set():
            raise Cancelled("the caller cancelled")
        if ended.how == "timeout":
            return [Issue("", f"{self.name} did not finish within {seconds:g} s", "")]
        if ended.how == "flood":
            return [Issue("", f"{self.name} wrote without an end and was stopped", "")]
        if ended.code == 0:
            return []
        # most linters report on stdout, compilers on stderr
        said = "\n".join(part for part in (ended.errors.strip(), ended.output.strip()) if part)
        return [Issue("", _shortened(said) or f"{self.name} ended with exit code {ended.code}", "")]


@contextmanager
def _filed(argv: Sequence[str], given: bytes) -> Iterator[Sequence[str]]:
    """A command line with `{file}` replaced by the path of a file. The file exists as long as the context."""
    suffix = next((found[1] or "" for word in argv for found in _FILE.finditer(word)), None)
    if suffix is None:
        yield argv
        return
    import tempfile
    from pathlib import Path

    # files that a program leaves beside it, as compilers do, are removed with it; what can't be removed is left
    with tempfile.TemporaryDirectory(prefix="rung-check-", ignore_cleanup_errors=True) as folder:
        path = Path(folder, f"answer{suffix}")
        path.write_bytes(given)
        yield [_FILE.sub(lambda _: str(path), word) for word in argv]


def _shortened(said: str) -> str:
    """Beginning and end of a long output, with a line between them that says that something is missing."""
    if len(said) <= _SAID_LIMIT:
        return said
    half = _SAID_LIMIT // 2 - 20
    return f"{said[:half]}\n[… cut short …]\n{said[-half:]}"


def _occurs(value: Any, source: Source, spellings: Sequence[str]) -> bool:
    if value is None or value == "" or isinstance(value, bool):
        return True
    if isinstance(value, int | float | Decimal) and source.has_number(value):
        return True
    if not isinstance(value, int | float | Decimal) and source.has_text(str(to_jsonable_python(value))):
        return True
    return any(source.has_text(spelling) for spelling in spellings)


def _leaves(
    value: Any, path: Sequence[str], at: str, name: str, known: frozenset[str] | None
) -> Iterator[tuple[str, Any]]:
    """The scalars at `path` below `value`, each with its position."""
    fields = _fields_of(value)
    if isinstance(value, list | tuple | set | frozenset) and fields is None:
        for i, item in enumerate(value):
            yield from _leaves(item, path, f"{at}[{i}]", name, known)
    elif path:
        if value is None:
            return
        if fields is None:
            raise ContractError(f"{name}: {at or 'the answer'!r} has no fields")
        found = next((it for it in fields if path[0] in it[0]), None)
        if found is not None:
            yield from _leaves(found[1], path[1:], f"{at}.{found[0][0]}".removeprefix("."), name, known)
        elif known is not None and path[0] not in known:
            raise ContractError(f"{name}: the answer has no field {path[0]!r}", hint=nearest(path[0], known))
    elif fields is not None:
        for names, inner in fields:
            yield from _leaves(inner, [], f"{at}.{names[0]}".removeprefix("."), name, known)
    else:
        yield at, value


def _fields_of(value: Any) -> list[tuple[tuple[str, ...], Any]] | None:
    """The fields of an object, each as its names (JSON's first) and its value; `None` for anything else."""
    if isinstance(value, Mapping):
        return [((str(key),), inner) for key, inner in value.items()]
    described = getattr(type(value), "model_fields", None) or getattr(type(value), "__pydantic_fields__", None)
    if described is not None:
        extra = getattr(value, "__pydantic_extra__", None) or {}
        named = [(_names(name, field), getattr(value, name, None)) for name, field in described.items()]
        return named + [((name,), inner) for name, inner in extra.items()]
    if dataclasses.is_dataclass(value):
        return [((field.name,), getattr(value, field.name, None)) for field in dataclasses.fields(value)]
    return None


def _names(name: str, field: Any) -> tuple[str, ...]:
    aliases = (field.serialization_alias, field.alias, field.validation_alias, name)
    return tuple(dict.fromkeys(alias for alias in aliases if isinstance(alias, str)))
