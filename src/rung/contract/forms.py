"""A contract in another form: how a model is told of it, and how its answer is written down.

What is right stays the same. A form changes the words and their place, wraps a bare answer in JSON, lets an object
begin with a reason, or has it write null for what it could leave out. Reason and nulls are cut out before the answer is
read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from rung.contract import schema as schemas
from rung.contract.absent import filled, nullable, with_nulls, without_nulls
from rung.contract.readers import AnswerReader
from rung.types import CheckContext, PromptForm, Shape

REASON = "reason"
"""The field that an object begins with if the form asks for it."""
_LONGEST_REASON = 160
"""Characters of a reason, enough for a sentence. Small models fill any room, and each token takes time."""
_REASONED = re.compile(r'\A(\s*\{)\s*"reason"\s*:\s*"(?:[^"\\]++|\\.)*+"\s*,?', re.DOTALL)
_PLACEHOLDER = re.compile(r"\{(options|lines|schema|fields|pattern)\}")
_WRAPPED = 'Write the answer as JSON: {"value": "..."}'
_DEEPEST = 4
"""Levels of an object that are written out in short. Deeper parts are only named by their type."""

WORDINGS: Mapping[Literal["json", "regex", "choice"], tuple[str, ...]] = {
    "choice": (
        "Choose the option that fits best. Options:\n{lines}\nAnswer with the option alone.",
        "Classify the message. The label is one of: {options}",
        "{options}\nWhich of these is it?",
    ),
    "json": (
        "Answer with a JSON object of this form:\n{fields}",
        "Fill in this object from the message, and leave out what isn't said:\n{fields}",
    ),
    "regex": ("Answer in the form {pattern}, without any other word.",),
}
"""Wordings besides rung's own that are tried, by kind of contract."""


def placeholders(wording: str) -> frozenset[str]:
    """What a wording has placeholders for: `options`, `lines`, `schema`, `fields`, `pattern`."""
    return frozenset(_PLACEHOLDER.findall(wording))


class FormedReader(AnswerReader):
    """A reader in another form.

    Args:
        reader: of the contract.
        form: the form to put it into. Parts of it that the contract has no use for are left out.
        nulls: names of the optional fields that may be written as null; `None` names all that can be.
    """

    def __init__(self, reader: AnswerReader, form: PromptForm, nulls: frozenset[str] | None = None) -> None:
        self._reader = reader
        shape, told = reader.shape, reader.told or reader.shape
        self.vouches, self.is_text, self.notes = reader.vouches, reader.is_text, reader.notes
        self.calls_functions, self.names = reader.calls_functions, reader.names
        self.wraps = reader.wraps
        if form.wrap and shape is not None and shape.kind != "json":
            shape = told = Shape("json", shape.schema)
            self.wraps = True
        optional = nullable_fields(shape) if form.absent == "null" else frozenset()
        self._nulls = optional if nulls is None else optional & nulls
        self._unfilled: Mapping[str, Any] = {} if shape is None else shape.schema
        self.reasons = form.reason and can_reason(shape)
        self.shape, self.told = self._changed(shape), self._changed(told)
        self.instructions = self._told(reader, form)
        self.place = form.place if form.place != "nowhere" else "system"
        if form.place == "nowhere":
            self.instructions = _WRAPPED if self.wraps and not reader.wraps else ""

    def read(self, text: str, context: CheckContext) -> Any:
        """The value that the contract's own reader reads."""
        text = without_reason(text) if self.reasons else text
        return self._reader.read(without_nulls(text, self._nulls) if self._nulls else text, context)

    def written(self, value: Any) -> Any:
        """A value as an example of an answer has it."""
        value = self._reader.written(value)
        return filled(value, self._unfilled, self._nulls, self._unfilled) if self._nulls else value

    def _changed(self, shape: Shape | None) -> Shape | None:
        """A shape with what the form adds to it: nulls, and a reason."""
        if shape is not None and self._nulls:
            shape = replace(shape, schema=with_nulls(shape.schema, self._nulls))
        if shape is not None and self.reasons:
            shape = replace(shape, schema=_reasoned(shape.schema))
        return shape

    def _told(self, reader: AnswerReader, form: PromptForm) -> str:
        shape = self.told
        if shape is None:
            return reader.instructions
        wording = form.wording
        if not wording and (self.reasons or self._nulls):
            wording = "Answer with one JSON object that fits this JSON Schema, and nothing else:\n{schema}"
        told = worded(wording, reader.shape, shape) if wording else reader.instructions
        return f"{told}\n{_WRAPPED}" if self.wraps and not reader.wraps else told


def worded(wording: str, bare: Shape | None, shape: Shape) -> str:
    """A wording with its placeholders filled in.

    Args:
        wording: with names in braces.
        bare: the contract's own shape.
        shape: the shape in this form.
    """
    bare = bare or shape
    values = {
        "options": lambda: ", ".join(bare.choices),
        "lines": lambda: "\n".join(f"- {option}" for option in bare.choices),
        "schema": lambda: schemas.compact(shape.schema),
        "fields": lambda: _in_short(shape.schema, shape.schema, _DEEPEST),
        "pattern": lambda: bare.pattern or "",
    }
    # in one pass, because what is filled in may contain braces itself
    return _PLACEHOLDER.sub(lambda found: values[found[1]](), wording)


def can_reason(shape: Shape | None) -> bool:
    """Whether an object of this shape can begin with a reason: its fields are listed, and none has that name."""
    if shape is None or shape.kind != "json":
        return False
    schema = shape.schema
    fields = schema.get("properties")
    return isinstance(fields, dict) and REASON not in fields and not {"anyOf", "oneOf", "allOf", "$ref"} & set(schema)


def nullable_fields(shape: Shape | None) -> frozenset[str]:
    """Names of the optional fields of an object that can be written as null; none for anything else."""
    return frozenset() if shape is None or shape.kind != "json" else nullable(shape.schema)


def without_reason(text: str) -> str:
    """An answer without the reason that it begins with. Any other answer stays as it is."""
    return _REASONED.sub(r"\1", text, count=1)


def reason_ends(text: str) -> int:
    """The offset at which the reason at the beginning of an answer ends; 0 if there is none."""
    found = _REASONED.match(text)
    return 0 if found is None else found.end()


def _reasoned(schema: Mapping[str, Any]) -> dict[str, Any]:
    first = {REASON: {"type": "string", "maxLength": _LONGEST_REASON}}
    required = [REASON, *schema.get("required", ())]
    return {**schema, "properties": {**first, **schema["properties"]}, "required": required}


def _in_short(node: Any, root: Mapping[str, Any], depth: int) -> str:
    """A schema in the form in which people write an object: fields with their types and descriptions."""
    if not isinstance(node, Mapping):
        return "anything"
    found = re.fullmatch(r"#/(\$defs|definitions)/([^/]+)", str(node.get("$ref", "")))
    if found is not None and depth:
        return _in_short(root.get(found[1], {}).get(found[2], {}), root, depth - 1)
    if "enum" in node:
        return " or ".join(json.dumps(value, ensure_ascii=False) for value in node["enum"])
    for several in ("anyOf", "oneOf"):
        if isinstance(node.get(several), list) and depth:
            return " or ".join(_in_short(each, root, depth - 1) for each in node[several])
    fields = node.get("properties")
    if isinstance(fields, Mapping) and depth:
        needed = node.get("required", ())
        parts = []
        for name, inner in fields.items():
            about = inner.get("description") if isinstance(inner, Mapping) else None
            said = ", ".join(filter(None, ("" if name in needed else "optional", str(about or ""))))
            parts.append(
                f"{json.dumps(name, ensure_ascii=False)}: {_in_short(inner, root, depth - 1)}"
                + f" ({said})" * bool(said)
            )
        return "{" + ", ".join(parts) + "}"
    if node.get("type") == "array" and depth:
        return f"[{_in_short(node.get('items', {}), root, depth - 1)}, ...]"
    kinds = node.get("type", "anything")
    return " or ".join(map(str, kinds)) if isinstance(kinds, list) else str(kinds)
