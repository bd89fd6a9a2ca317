"""JSON Schemas: compiled, judged by, and enforced in decoding."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, ClassVar

from fuzzing import strange
from fuzzing.cases import Case, as_bytes

_DEADLINE = 0.5
_STEPS = 40
_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null", "any", ["string", "null"], [], 7)
_PATTERNS = (
    "^[a-z]+$", "^(a+)+$", "(a|a)*b", "^(\\w+\\s?)*$", "(?=a)b", "(?<!x)y", "(?P<n>a)(?P=n)", "\\1", "(", "[",
    "a{99999}", "(a{1000}){1000}", "\\p{L}+", "^\\d{4}-\\d\\d$", "(?i)x", "(?R)", "", "\\", "\ud800",
    "[^\\x00-\\uffff]", "(((((a)*)*)*)*)*",
)  # fmt: skip
_FORMATS = (
    "date",
    "date-time",
    "time",
    "email",
    "uri",
    "uuid",
    "ipv4",
    "ipv6",
    "regex",
    "hostname",
    "duration",
    "x",
    3,
)
_REFS = (
    "#", "#/$defs/a", "#/$defs/b", "#/definitions/a", "#a", "#/properties/x", "#/$defs/~0", "#/$defs/%25",
    "#/$defs/none", "http://example.org/s.json", "https://example.org/s#x", "file:///etc/passwd", "s.json", "urn:x",
    "", "#/", "//x", "\0",
)  # fmt: skip
_DRAFTS = (
    "https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#",
    "http://json-schema.org/draft-04/schema#", "https://json-schema.org/draft/2019-09/schema",
    "http://example.org/own", "", 4,
)  # fmt: skip
_KEYWORDS = (
    "type", "properties", "required", "items", "prefixItems", "enum", "const", "pattern", "format", "minimum",
    "maximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "contains",
    "patternProperties", "propertyNames", "additionalProperties", "unevaluatedProperties", "dependentSchemas",
    "dependentRequired", "anyOf", "oneOf", "allOf", "not", "if", "then", "else", "$ref", "$dynamicRef", "$id",
    "$anchor", "$dynamicAnchor", "$schema", "$defs", "definitions", "minProperties", "maxProperties",
    "contentEncoding", "title", "description", "default", "examples", "x-guidance", "nullable", "unknown",
)  # fmt: skip
_WORDS = tuple(f'"{word}": ' for word in _KEYWORDS) + tuple(json.dumps(p) for p in (*_PATTERNS, *_REFS))


class Schemas:
    """Compiles a schema, and where that goes well judges two answers and decodes a few tokens."""

    name: ClassVar[str] = "schemas"

    def make(self, dice: random.Random) -> Case:
        """A schema of the known keywords, often with one of the kinds that grow."""
        with strange.deeply():
            return self._made(dice)

    def _made(self, dice: random.Random) -> Case:
        schema = _special(dice) if dice.random() < 0.3 else _schema(dice, dice.choice((1, 2, 3, 4)))
        if dice.random() < 0.3:
            schema = {"type": "object", "properties": {"x": schema}, "$defs": {"a": _schema(dice, 1), "b": True}}
        if dice.random() < 0.3:
            schema = strange.changed(dice, schema)
        text = json.dumps(schema)
        if dice.random() < 0.2:
            text = strange.mutated(dice, text, _WORDS, most=2)
        answers = [json.dumps(_answer(dice, schema)), strange.mutated(dice, json.dumps(strange.value(dice)))[:20_000]]
        return Case(self.name, {"answers": answers, "logits": dice.randrange(1 << 30)}, as_bytes(text))

    def prepare(self, folder: Path) -> None:
        """Make a vocabulary of single bytes, which needs no model."""
        from types import SimpleNamespace

        from llguidance import LLTokenizer

        from rung.tiers.llama.worker.constraint import Grammars

        tokenizer = LLTokenizer("byte")
        vocabulary: Any = SimpleNamespace(size=tokenizer.vocab_size)
        self._grammars = Grammars(vocabulary)
        # what is computed of a model's vocabulary otherwise
        self._grammars.__dict__["tokenizer"] = tokenizer

    def run(self, case: Case) -> bool:
        """Use the schema for all that it is for."""
        from rung.contract import compile_output
        from rung.limits import Deadline
        from rung.types import Candidate, CheckContext, Message, Request

        try:
            schema = _parsed(case.text)
        except (ValueError, RecursionError):
            # whoever hands over a dict has parsed it
            return False
        if not isinstance(schema, dict):
            return False
        contract = compile_output(schema)
        request = Request((Message("user", "Answer in JSON."),))
        for text in case.how["answers"]:
            context = CheckContext(request, "fuzz", text, deadline=Deadline.after(_DEADLINE), shape=contract.shape)
            contract.judge(Candidate(text, finish="stop"), context)
        if contract.shape is not None:
            self._decode(contract.shape, random.Random(case.how["logits"]))
        return True

    def _decode(self, shape: Any, dice: random.Random) -> None:
        import numpy as np

        from rung.tiers.llama.worker.constraint import Unenforceable
        from rung.tiers.llama.worker.sampling import LogitsRow, Sampler
        from rung.types import Sampling

        size = self._grammars.tokenizer.vocab_size
        noise, sampler = np.random.default_rng(dice.randrange(1 << 30)), Sampler(Sampling())
        try:
            constraint = self._grammars.constrain(shape)
            for _ in range(_STEPS):
                constraint.forced()
                if constraint.complete:
                    return
                constraint.take(constraint.choose(LogitsRow(noise.normal(size=size).astype(np.float32)), sampler))
        except Unenforceable:
            # the attempt says so, and the answer is judged afterwards
            return


def _parsed(text: str) -> Any:
    """The schema, however deep: a caller who builds a dict is held to no parser's limit."""
    with strange.deeply():
        return json.loads(text)


def _schema(dice: random.Random, depth: int) -> Any:
    if depth <= 0 or dice.random() < 0.05:
        return dice.choice((True, {}, {"type": "string"}, {"type": "integer"}, {"enum": ["a", "b"]}, {"$ref": "#"}))
    found: dict[str, Any] = {}
    if dice.random() < 0.7:
        found["type"] = dice.choice(_TYPES[:6]) if dice.random() < 0.9 else dice.choice(_TYPES)
    for _ in range(dice.choice((1, 1, 2, 3, 6))):
        keyword = dice.choice(_KEYWORDS)
        found[keyword] = strange.value(dice, 2) if dice.random() < 0.07 else _of(dice, keyword, depth - 1)
    return found


def _of(dice: random.Random, keyword: str, depth: int) -> Any:
    """What stands under a keyword."""
    match keyword:
        case "type":
            return dice.choice(_TYPES)
        case "properties" | "$defs" | "definitions" | "dependentSchemas":
            names = dice.sample(
                ("a", "b", "x", "value", "$ref", "type", "é", "", "a/b", "x-guidance"), dice.randint(0, 4)
            )
            return {name: _schema(dice, depth) for name in names}
        case "patternProperties":
            return {dice.choice(_PATTERNS): _schema(dice, depth) for _ in range(dice.randint(0, 2))}
        case "required":
            return dice.sample(("a", "b", "x", "none", "a"), dice.randint(0, 4))
        case "dependentRequired":
            return {"a": ["b", "x"], "x": ["x"]}
        case "anyOf" | "oneOf" | "allOf" | "prefixItems":
            return [_schema(dice, depth) for _ in range(dice.choice((0, 1, 2, 3)))]
        case "pattern":
            return dice.choice(_PATTERNS)
        case "format":
            return dice.choice(_FORMATS)
        case "enum" | "examples":
            return [strange.value(dice, 1) for _ in range(dice.choice((0, 1, 3, 300)))]
        case "$ref" | "$dynamicRef":
            return dice.choice(_REFS)
        case "$id" | "$anchor" | "$dynamicAnchor":
            return dice.choice((*_REFS, "a", "b"))
        case "$schema":
            return dice.choice(_DRAFTS)
        case "multipleOf":
            return dice.choice((0.01, 0.1, 3, 1e-300, 1e300, 0, -1, 2**64))
        case "uniqueItems":
            return True
        case "title" | "description" | "contentEncoding":
            return dice.choice(strange.WORDS)
        case "const" | "default":
            return strange.value(dice, 2)
        case "x-guidance":
            return {"lenient": True, "item_separator": "x"}
        case _ if keyword.startswith(("min", "max")):
            return dice.choice((0, 1, 3, 20, 2000, 10**6, 2**31, 2**63, 2**64, -1, 0.5, 1e300))
        case _:
            return _schema(dice, depth)


def _special(dice: random.Random) -> Any:
    """A schema that is small and means much work."""
    n = dice.choice((3, 12, 24, 60))
    match dice.randrange(12):
        case 0:
            levels = {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(n)}
            return {"$ref": "#/$defs/d0", "$defs": {**levels, f"d{n}": {"type": "integer"}}}
        case 1:
            pair = {
                f"d{i}": {"type": "object", "properties": {key: {"$ref": f"#/$defs/d{i + 1}"} for key in "ab"}}
                for i in range(n)
            }
            return {"$ref": "#/$defs/d0", "$defs": {**pair, f"d{n}": {"type": "null"}}}
        case 2:
            return _deep(
                dice.choice(("items", "not", "properties", "additionalProperties")), dice.choice((50, 200, 900, 3000))
            )
        case 3:
            return {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
        case 4:
            return {"type": "array", "uniqueItems": True, "items": {"anyOf": [{"type": "object"}, {"type": "array"}]}}
        case 5:
            return {"type": "string", "pattern": dice.choice(_PATTERNS), "maxLength": dice.choice((10, 10**9))}
        case 6:
            names = [f"k{i}" for i in range(dice.choice((50, 500, 3000)))]
            return {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": names}
        case 7:
            return {"enum": [f"{strange.number(dice)}-{i}" for i in range(dice.choice((10, 3000)))]}
        case 8:
            return {
                "allOf": [{"oneOf": [{"required": [f"a{i}"]}, {"required": [f"b{i}"]}]} for i in range(n)],
                "type": "object",
            }
        case 9:
            return {"type": "array", "minItems": n * 1000, "items": {"type": "string", "minLength": n * 1000}}
        case 10:
            return {
                "$dynamicAnchor": "n",
                "type": "object",
                "properties": {"c": {"$dynamicRef": "#n"}},
                "$id": "http://x/y",
            }
        case _:
            inner: Any = {"type": "integer"}
            for _ in range(dice.choice((5, 10, 14))):
                inner = {"anyOf": [inner, {"type": "array", "items": inner}]}
            return inner if len(json.dumps(inner)) < strange.LONGEST else {"type": "null"}


def _deep(keyword: str, depth: int) -> Any:
    found: Any = {"type": "integer"}
    for _ in range(depth):
        found = {keyword: {"a": found} if keyword == "properties" else found}
    return found


def _answer(dice: random.Random, schema: Any, depth: int = 6) -> Any:
    """A value that may well fit the schema."""
    if not isinstance(schema, dict) or depth <= 0:
        return strange.value(dice, 1)
    for keyword in ("anyOf", "oneOf", "allOf", "enum"):
        options = schema.get(keyword)
        if isinstance(options, list) and options:
            return _answer(dice, dice.choice(options), depth - 1) if keyword != "enum" else options[0]
    if "const" in schema:
        return schema["const"]
    match schema.get("type"):
        case "object":
            properties = schema.get("properties")
            found = {} if not isinstance(properties, dict) else properties
            return {name: _answer(dice, inner, depth - 1) for name, inner in list(found.items())[:20]}
        case "array":
            count = dice.choice((0, 1, 3, 3, 3000))
            return [i if i > 2 else _answer(dice, schema.get("items"), depth - 1) for i in range(count)]
        case "string":
            return dice.choice(("a", "a" * 40 + "!", "2026-05-03", *strange.WORDS))
        case "integer" | "number":
            return dice.choice((0, 1, -1, 0.01, 19.99, 100.0, 1e300, 2**64))
        case _:
            return strange.value(dice, 2)
