"""A task's prompt with fields in it: `Extract the invoice.\\n\\n{text}`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter

from rung.errors import ConfigError
from rung.spelling import nearest, shortened
from rung.types import Message


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt with fields. A field is in braces. A brace itself is written twice, as in Python's f-strings.

        Template("Translate into {language}:\\n\\n{text}").fill({"language": "French", "text": "Good morning."})

    Args:
        prompt: of the user's turn.
        system: of a system turn before it; empty for none. It may have fields, too.

    Raises:
        ConfigError: a brace is left open, or the text in braces isn't a name.
    """

    prompt: str = field(repr=False)
    system: str = field(default="", repr=False)
    fields: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = dict.fromkeys((*_fields(self.system, "system"), *_fields(self.prompt, "prompt")))
        object.__setattr__(self, "fields", tuple(names))

    @property
    def sha256(self) -> str:
        """Digest of the template's text, in hexadecimal."""
        return hashlib.sha256(json.dumps([self.system, self.prompt]).encode()).hexdigest()

    def fill(self, values: Mapping[str, str]) -> tuple[Message, ...]:
        """Fill in the fields.

        Args:
            values: a text for each field. Braces in these texts are not fields.

        Raises:
            ConfigError: a field has no value, or a value has no field.
        """
        for name in self.fields:
            if name not in values:
                raise ConfigError(f"the template's field {name!r} is missing", hint=nearest(name, values))
        for name in values:
            if name not in self.fields:
                said = f"the template has no field {shortened(name)!r}"
                raise ConfigError(said, hint=nearest(name, self.fields))
        turns = [Message("user", _filled(self.prompt, values))]
        if self.system:
            turns.insert(0, Message("system", _filled(self.system, values)))
        return tuple(turns)


def _fields(text: str, where: str) -> list[str]:
    found = []
    try:
        for _, name, form, conversion in Formatter().parse(text):
            if name is None:
                continue
            if not name.isidentifier() or form or conversion:
                raise ValueError(f"{shortened(name)!r} in braces is not the name of a field")
            found.append(name)
    except ValueError as error:
        said = str(error)
        raise ConfigError(
            f"the {where} is not a template: {said[:1].lower()}{said[1:]}", hint="write a brace itself twice: {{ or }}"
        ) from None
    return found


def _filled(text: str, values: Mapping[str, str]) -> str:
    return "".join(before + ("" if name is None else values[name]) for before, name, _, _ in Formatter().parse(text))
