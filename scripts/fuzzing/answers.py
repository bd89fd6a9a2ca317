"""Answers of models, judged by contracts of every kind."""

from __future__ import annotations

import math
import random
import re
from pathlib import Path
from typing import Any, ClassVar

from fuzzing import strange
from fuzzing.cases import Broken, Case, as_bytes

_DEADLINE = 0.5
_INVOICE = {
    "number": "R-17",
    "date": "2026-05-03",
    "lines": [{"text": "Café, 2 pcs", "price": "19.99", "count": 2}],
    "total": 39.98,
    "currency": "EUR",
}
_TREE = {"name": "a", "children": [{"name": "b", "children": []}, {"name": "c", "children": []}]}
_ODD = {
    "when": "2026-05-03T14:30:00",
    "id": "12345678-1234-5678-1234-567812345678",
    "tags": ["a", "b"],
    "address": "192.168.0.1",
    "took": "PT3S",
    "blob": "aGk=",
    "shape": {"kind": "circle", "radius": 1.5},
    "pair": [1, "x"],
}
SEEDS: dict[str, list[Any]] = {
    "invoice": [_INVOICE],
    "tree": [_TREE],
    "odd": [_ODD],
    "counts": [{"a": 1, "b": 2}],
    "number": [{"value": 17}],
    "numbers": [{"value": [1, 2.5, 3e2]}],
    "schema": [_INVOICE],
    "unique": [{"items": [1, 2, "3"], "map": {"x-a": 0.01}}],
    "open": [_ODD, _TREE],
}
TEXTS: dict[str, list[str]] = {
    "date": ["2026-05-03"],
    "words": ["aaaa aaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "x=1, y=2, z=3"],
    "email": ["ann.lee@mail.example.org", "a" * 60 + "@" + "b." * 30],
    "choice": ["red", " green ", '"blue"', '{"value": "red"}'],
    "plain": ["The capital is Paris.", "| a | b |\n|---|---|\n| 1 | 2 |", "0 0 0 0"],
}
_WORDS = (
    "```json\n", "\n```", "```", "\n" * 2500, "`" * 300, " " * 3000, "Here you are: ", " Hope that helps!", "<think>",
    "</think>", '{"value": ', "{", "}", "[", "]", '"', "\\", "\\u", "\\ud800", '\\"', ",", ":", ", ", '"a": 1, ',
    "null", "NaN", "Infinity", "1e999", "-1e999", "1E400", "0.01", "19.99", "true", "\t", "a", "McX", '"McX", ',
    "<|im_end|>", "[INST]", "</s>", '{"type": "object", "properties": {', '"$ref": "#"', "2026-02-30", "24:00:00",
    "P9999999999D",
)  # fmt: skip


class Answers:
    """Judges, scores and looks for loops in texts."""

    name: ClassVar[str] = "answers"

    def make(self, dice: random.Random) -> Case:
        """A good answer, harmed; now and then of megabytes."""
        contract = dice.choice((*SEEDS, *TEXTS))
        if contract in SEEDS:
            found = dice.choice(SEEDS[contract])
            for _ in range(dice.choice((0, 0, 1, 1, 3))):
                found = strange.changed(dice, found)
            text = _dressed(dice, strange.dumped(dice, found))
        else:
            text = dice.choice(TEXTS[contract])
        how: dict[str, Any] = {"contract": contract, "tokens": dice.randrange(1 << 30)}
        if dice.random() < 0.01:
            # a long text is one unit over and over, between harmless words
            unit = dice.choice((*_WORDS, *strange.WORDS, text[:50]))[:50] or " "
            how["times"] = dice.choice((50_000, 400_000, 2_000_000)) // len(unit)
            return Case(self.name, how, as_bytes(unit))
        return Case(self.name, how, as_bytes(strange.mutated(dice, text, _WORDS)))

    def prepare(self, folder: Path) -> None:
        """Compile the contracts."""
        from rung.contract import compile_output

        self._contracts = {name: compile_output(output) for name, output in _outputs().items()}

    def run(self, case: Case) -> bool:
        """Judge the text as a candidate."""
        from rung.limits import Deadline
        from rung.types import Candidate, CheckContext, Message, Request, Token, Validation

        contract, text = self._contracts[case.how["contract"]], case.text
        request = Request((Message("user", "Extract the invoice: Café, 2 pieces at 19.99 EUR each."),))
        context = CheckContext(request, "fuzz", text, deadline=Deadline.after(_DEADLINE), shape=contract.shape)
        contract.loops(text)
        judged = contract.judge(Candidate(text, finish="stop"), context)
        if not isinstance(judged, Validation):
            raise Broken("judge returned no Validation")
        for issue in judged.issues:
            _demand_text(str(issue))
        dice = random.Random(case.how["tokens"])
        tokens = tuple(Token(piece, *_odds(dice)) for piece in _pieces(dice, text))
        overall, fields = contract.score(text, tokens)
        for score in (overall, *fields.values()):
            if score is not None and score.tokens < 0:
                raise Broken("a score over less than no tokens")
        return judged.valid


def _demand_text(issue: str) -> None:
    """See that a model can be told an issue."""
    try:
        issue.encode()
    except UnicodeEncodeError:
        raise Broken("an issue that can't be written as UTF-8") from None
    if len(issue) > 10_000:
        raise Broken("an issue of more than 10,000 characters")


def _dressed(dice: random.Random, text: str) -> str:
    """A JSON text as models send it."""
    lines = "\n" * dice.choice((1, 1, 2, 1600, 4000))
    return dice.choice(
        (
            text,
            text,
            text,
            f"```json\n{text}\n```",
            f"```{dice.choice(('', 'json', 'JSON5', 'x-y'))}{lines}{text}{lines}```",
            f"Here you are: {text} Hope that helps!",
            f"<think>{'hm ' * dice.choice((1, 500))}</think>\n{text}",
            f"\ufeff{text}",
            f"{text}{lines}{text}",
            f"{lines}{text}",
        )
    )


def _odds(dice: random.Random) -> tuple[float | None, float | None, bool, float | None, float | None]:
    """What a tier may say of a token beside its text."""
    logprobs, margins = (None, -0.1, -0.1, -3.0, 0.0, -math.inf, math.nan, 5.0), (None, 0.5, -2.0, math.nan)
    forced = dice.random() < 0.2
    return dice.choice(logprobs), dice.choice(margins), forced, dice.choice(logprobs), dice.choice(margins)


def _pieces(dice: random.Random, text: str) -> list[str]:
    """The text as tokens, up to some thousand of them; at times they are not the text's own."""
    pieces, at = [], 0
    while at < len(text) and len(pieces) < 3000:
        end = at + dice.randint(1, 8)
        pieces.append(text[at:end])
        at = end
    pieces.append(text[at:])
    if dice.random() < 0.1:
        dice.shuffle(pieces)
    return pieces


def _outputs() -> dict[str, Any]:
    """What a caller may ask for, by the names above."""
    import datetime
    import decimal
    import ipaddress
    import uuid
    from typing import Annotated, Literal

    from pydantic import BaseModel, Field, NaiveDatetime, StringConstraints

    class Line(BaseModel):
        text: Annotated[str, StringConstraints(min_length=1, pattern=r"^\S.*$")]
        price: decimal.Decimal
        count: int = Field(ge=0, multiple_of=1)

    class Invoice(BaseModel):
        number: str
        date: datetime.date
        lines: list[Line]
        total: Annotated[float, Field(ge=0, multiple_of=0.01)]
        currency: Literal["EUR", "USD"]

    class Circle(BaseModel):
        kind: Literal["circle"]
        radius: float

    class Square(BaseModel):
        kind: Literal["square"]
        side: int | str

    class Odd(BaseModel):
        when: NaiveDatetime
        id: uuid.UUID
        tags: set[str]
        address: ipaddress.IPv4Address | ipaddress.IPv6Address
        took: datetime.timedelta
        blob: bytes
        shape: Annotated[Circle | Square, Field(discriminator="kind")]
        pair: tuple[int, str]

    line = {
        "type": "object",
        "properties": {
            "text": {"type": "string", "pattern": "^(\\w+\\s?)+", "maxLength": 2000},
            "price": {"type": "string", "format": "date-time"},
            "count": {"type": "integer", "exclusiveMaximum": 1e9},
        },
    }
    invoice = {
        "type": "object",
        "properties": {
            "number": {"type": "string"},
            "date": {"type": "string", "format": "date"},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}, "maxItems": 50},
            "total": {"type": "number", "multipleOf": 0.01},
            "currency": {"enum": ["EUR", "USD"]},
        },
        "required": ["number", "lines"],
        "additionalProperties": False,
        "$defs": {"line": line},
    }
    unique = {
        "type": "object",
        "properties": {"items": {"type": "array", "uniqueItems": True, "contains": {"type": "integer"}}},
        "patternProperties": {"^ma": {"type": "object", "propertyNames": {"pattern": "^(x-)*[a-z]+$"}}},
        "dependentRequired": {"items": ["map"]},
        "anyOf": [{"required": ["items"]}, {"anyOf": [{"required": ["map"]}, {"not": {"type": "object"}}]}],
    }
    return {
        "invoice": Invoice,
        "tree": _tree(),
        "odd": Odd,
        "counts": dict[str, int],
        "number": int,
        "numbers": list[float],
        "schema": invoice,
        "unique": unique,
        "open": {"type": "object", "unevaluatedProperties": {"type": ["string", "array", "object"]}},
        "date": re.compile(r"\d{4}-\d\d-\d\d"),
        "words": re.compile(r"(\w+\s?)+|(x+x+)+y|([a-z]=\d+(, )?)+"),
        "email": re.compile(r"([a-zA-Z0-9._-]+)+@([a-z-]+\.?)+"),
        "choice": ["red", "green", "blue", "red green", "\x16"],
        "plain": None,
    }


def _tree() -> Any:
    from pydantic import BaseModel, create_model

    node: Any = create_model("Node", name=(str, ...), children=("list[Node]", ...), __base__=BaseModel)
    node.model_rebuild(_types_namespace={"Node": node, "list": list})
    return node
