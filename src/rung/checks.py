"""Ready-made validators. Each takes what any validator takes and can stand beside the caller's own."""

from __future__ import annotations

import inspect
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Generic, TypeVar

from pydantic_core import SchemaSerializer, core_schema, to_jsonable_python

from rung import checking
from rung.errors import Cancelled, ConfigError, ContractError
from rung.limits import LONGEST, Deadline
from rung.settings import nearest
from rung.types import CheckContext, Issue

__all__ = [
    "command",
    "quoted",
    "that",
]

T = TypeVar("T")

_NUMBER = re.compile(r"[-+]?\d[\d.,' \u00a0\u202f]*\d|[-+]?\d")
_GROUPED = re.compile(r"[-+]?\d{1,3}([,.]\d{3})+([,.]\d+)?|[-+]?\d+[,.]\d+")
_SAID_LIMIT = 2000
"""Characters of what a program said that a model is told: a dozen findings, and a small context is not filled."""
_NO_WORD = re.compile(r"\W")
_SHOWN_LIMIT = 200
"""Characters of a value that are repeated in an issue."""
_MOST_ISSUES = 50
"""Values that are reported of one answer. A repair hears of ten."""
_LONGEST_NUMBER = 100
"""Characters of the longest number that is looked up: what is longer is not one that somebody wrote."""


class that(Generic[T]):  # noqa: N801  reads as a word: AfterValidator(that(is_upper))
    """A predicate as a validator, for `validators=` and for pydantic's `AfterValidator` alike.

    Args:
        predicate: returns whether a value will do.
        message: what a model is told when it won't; by default names the predicate.
    """

    returns_value = True

    def __init__(self, predicate: Callable[[T], bool], message: str = "") -> None:
        self.name = getattr(predicate, "__name__", type(predicate).__name__)
        self._predicate = predicate
        self._message = message or f"{self.name} doesn't hold"

    def __call__(self, value: T) -> T:
        """The value itself.

        Raises:
            ValueError: the predicate doesn't hold.
            ContractError: the predicate is async, and so would hold of everything.
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
    """The values of these fields occur in the source: the cheapest check that catches well-formed mistakes.

    Text is compared without regard to case and white space, and only whole words count; numbers are compared by value,
    so that `1,234.50` in the source vouches for 1234.5. A date counts as text, in the form 2024-03-05. A field that is
    absent, `None` or empty passes.

    Args:
        fields: names or dotted paths; a list on the way stands for each of its items. Without any, every text and
            number counts.
        source: where to look; by default the text of the user's turns.
    """

    def __init__(self, *fields: str, source: str | None = None) -> None:
        self.name = f"quoted({', '.join(fields)})"
        self._fields = fields
        self._source = source
        # takes models apart and, unlike `to_jsonable_python`, leaves a `Decimal` a number
        self._taken_apart = SchemaSerializer(core_schema.any_schema()).to_python

    def __call__(self, value: Any, context: CheckContext) -> list[Issue]:
        """An issue for each value that doesn't occur.

        Raises:
            ContractError: the contract has no such field, or it holds what can't be looked up in a text.
        """
        source = context.request.source if self._source is None else self._source
        known = _properties(context.shape.schema) if context.shape else None
        plain = self._taken_apart(value, by_alias=True)
        within = _Source(source, context)
        issues = []
        for path in [f.split(".") for f in self._fields] or [[]]:
            for at, leaf in _leaves(plain, path, "", self.name, known):
                if isinstance(leaf, bool) and path:
                    raise ContractError(f"{self.name}: {at!r} is true or false, which no source quotes")
                if not within.has(leaf):
                    shown = leaf if isinstance(leaf, str) else json.dumps(to_jsonable_python(leaf))
                    if len(shown) > _SHOWN_LIMIT:
                        shown = shown[:_SHOWN_LIMIT] + "…"
                    issues.append(Issue(at, f"{shown!r} does not occur in the source; copy it from there", ""))
                    if len(issues) == _MOST_ISSUES:
                        return issues
        return issues


class command:  # noqa: N801  reads as a word: validators=[command("ruff check -")]
    """Any program as a validator: the answer on its stdin; exit 0 accepts, otherwise what it says is the issue.

    The program gets text as it is, and anything else as the JSON that the model wrote. It runs without a shell, in a
    process group of its own, and without the variables whose names end like that of a secret (`OPENAI_API_KEY`). Its
    exit is the verdict: children that it leaves behind are stopped then. It is stopped with all of its group at its
    time limit, at the deadline, on cancel, and when it writes without an end. Of a long output the beginning and the
    end count.

    Args:
        line: the program and its arguments, as a list, or as one string that is split the way a shell would.
        seconds: its time limit, which holds where the deadline is later or there is none.
        environment: all of its variables, where it needs others, or a secret.

    Raises:
        ConfigError: the line is empty, there is no such program, or the time limit isn't one.
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
        """What the program says against the answer.

        Raises:
            ConfigError: the program can't be started.
            Cancelled: the caller cancelled.
        """
        from rung import programs

        left = context.deadline.remaining()
        seconds = self._seconds if left is None else min(self._seconds, left)
        try:
            text = (value if isinstance(value, str) else context.text).encode()
        except UnicodeEncodeError:
            return [Issue("", "the answer holds half of a surrogate pair, which is not valid text", "")]
        try:
            ended = programs.run(
                self._argv,
                text,
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
        # most linters find fault on stdout, compilers on stderr
        said = "\n".join(part for part in (ended.errors.strip(), ended.output.strip()) if part)
        return [Issue("", _shortened(said) or f"{self.name} ended with exit code {ended.code}", "")]


def _shortened(said: str) -> str:
    """A long output's beginning and end, with a line between that says so."""
    if len(said) <= _SAID_LIMIT:
        return said
    half = _SAID_LIMIT // 2 - 20
    return f"{said[:half]}\n[… cut short …]\n{said[-half:]}"


def _leaves(
    value: Any, path: Sequence[str], at: str, name: str, known: frozenset[str] | None
) -> Iterator[tuple[str, Any]]:
    """The scalars at `path` below `value`, each with where it stands."""
    if isinstance(value, list | tuple | set | frozenset):
        for i, item in enumerate(value):
            yield from _leaves(item, path, f"{at}[{i}]", name, known)
    elif path:
        if value is None:
            return
        if not isinstance(value, Mapping):
            raise ContractError(f"{name}: {at or 'the answer'!r} has no fields")
        if path[0] in value:
            yield from _leaves(value[path[0]], path[1:], f"{at}.{path[0]}".removeprefix("."), name, known)
        elif known is not None and path[0] not in known:
            raise ContractError(f"{name}: the answer has no field {path[0]!r}", hint=nearest(path[0], known))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, [], f"{at}.{key}".removeprefix("."), name, known)
    else:
        yield at, value


def _properties(schema: Any) -> frozenset[str]:
    """The names of all properties that a JSON Schema knows, at whatever depth."""
    names: set[str] = set()
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, Mapping):
            own = node.get("properties")
            names.update(own if isinstance(own, Mapping) else ())
            waiting += node.values()
    return frozenset(names)


class _Source:
    """A text in which values are looked up. It is read once for all of them.

    Args:
        text: the source.
        context: of the check; its deadline and its cancel flag end a search.
    """

    def __init__(self, text: str, context: CheckContext) -> None:
        self._text, self._context = text, context
        self._words = _squeezed(text)
        self._numbers: set[Decimal] | None = None

    def has(self, value: Any) -> bool:
        """Whether a value occurs."""
        if value is None or value == "" or isinstance(value, bool):
            return True
        if isinstance(value, int | float | Decimal):
            if isinstance(value, int) and value.bit_length() > 4 * _LONGEST_NUMBER:
                return False
            if self._numbers is None:
                self._numbers = set()
                for match in _NUMBER.finditer(self._text):
                    self._numbers |= _readings(match.group())
            return Decimal(str(value)) in self._numbers
        return self._has_words(_squeezed(str(to_jsonable_python(value))))

    def _has_words(self, words: str) -> bool:
        """Whether words stand there by themselves, not as parts of longer ones."""
        source, at = self._words, self._words.find(words)
        begins_word = _is_of_word(words[:1])
        for look in itertools.count(1):
            if at < 0:
                break
            if not (
                _is_of_word(source[max(at - 1, 0) : at]) or _is_of_word(source[at + len(words) : at + len(words) + 1])
            ):
                return True
            if look % 64 == 0:
                self._look()
            # what begins inside a word is a part of it, too
            gap = _NO_WORD.search(source, at) if begins_word else None
            if begins_word and gap is None:
                break
            at = source.find(words, gap.end() if gap else at + 1)
        return False

    def _look(self) -> None:
        if self._context.cancel.is_set():
            raise Cancelled("the caller cancelled")
        if self._context.deadline.passed:
            raise ValueError("the source could not be searched before the deadline")


def _squeezed(text: str) -> str:
    return " ".join(text.lower().split())


def _is_of_word(letter: str) -> bool:
    return letter == "_" or letter.isalnum()


def _readings(written: str) -> set[Decimal]:
    """The numbers that a written number may mean: `1.234,50` and `1,234.50` are 1234.5, `1,234` is 1234 or 1.234."""
    bare = re.sub(r"[' \u00a0\u202f]", "", written)
    forms = {
        bare,
        bare.replace(",", ""),
        bare.replace(".", "").replace(",", "."),
        *re.split(r"[ \u00a0\u202f]", written),
        *(() if _GROUPED.fullmatch(bare) else bare.split(",")),  # `1,2,3` is a list
    }
    found = set()
    for form in forms:
        if len(form) > _LONGEST_NUMBER:
            continue
        point = form.replace(",", ".") if form.count(",") == 1 else form.replace(",", "")
        for signed in (point, point.lstrip("+-")):  # in `2024-03-05` the dash is no sign
            try:
                found.add(Decimal(signed))
            except InvalidOperation:
                continue
    return found
