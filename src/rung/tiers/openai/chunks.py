"""Reading one JSON value of a response: what it adds to the answer.

Only the text is read strictly. Endpoints leave fields out, send null for them, or a value of another type, and the
answer is there all the same. What can't be read is left out, and a note says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rung.errors import TierError
from rung.types import Token

_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
_DEEPEST = 4
"""Levels of parts within parts that are read. Mistral's thoughts have two."""

Remark = Callable[[str], None]
"""Takes a sentence for the trace."""


@dataclass(frozen=True, slots=True)
class ChoicePiece:
    """What one choice of one chunk adds.

    Args:
        index: which candidate.
        text: text of the answer.
        refusal: the model's words if it refuses.
        reasoning: thinking that isn't part of the answer.
        calls_tool: whether there is a tool call.
        finish: the endpoint's reason why the answer ended; `None` if it gives none.
        tokens: tokens of `text`.
        whole: whether this is the whole answer and not a piece of it.
        usage: token counts of the call, if the choice has them.
    """

    index: int
    text: str
    refusal: str
    reasoning: str
    calls_tool: bool
    finish: object
    tokens: tuple[Token, ...]
    whole: bool
    usage: object


@dataclass(slots=True)
class _Said:
    """The texts of a choice, part by part."""

    text: str = ""
    refusal: str = ""
    reasoning: str = ""


def pieces(chunk: Mapping[str, Any], remark: Remark) -> Iterator[ChoicePiece]:
    """What each choice of a chunk adds.

    Args:
        chunk: chunk of a stream, or a whole completion.
        remark: called with a sentence about what was left out.

    Raises:
        TierError: a text has another type, so the answer would lack it.
    """
    choices = chunk.get("choices")
    if isinstance(choices, Mapping):  # a single choice that isn't in a list
        choices = [choices]
    if not isinstance(choices, list):
        if choices:
            remark("the endpoint sent choices that can't be read; they were left out")
        return
    for position, choice in enumerate(choices):
        if isinstance(choice, Mapping):
            yield _piece(choice, position, remark)
        elif choice:
            remark("the endpoint sent choices that can't be read; they were left out")


def _piece(choice: Mapping[str, Any], position: int, remark: Remark) -> ChoicePiece:
    delta, message = _fields(choice, "delta"), _fields(choice, "message")
    whole = not delta and bool(message)
    fields = message if whole else delta
    said = _Said()
    _read(fields.get("content"), said, remark)
    if not fields:
        _read(choice.get("text"), said, remark)  # a server of the older completions API behind this one
    if isinstance(refusal := fields.get("refusal"), str):
        said.refusal += refusal
    for name in _THOUGHTS:
        if said.reasoning:
            break
        said.reasoning = _thought(fields.get(name))
    tools = fields.get("tool_calls"), fields.get("function_call")
    return ChoicePiece(
        index=_index(choice.get("index"), position),
        text=said.text,
        refusal=said.refusal,
        reasoning=said.reasoning,
        calls_tool=any(isinstance(tool, (list, Mapping)) and tool for tool in tools),
        finish=choice.get("finish_reason"),
        tokens=_tokens(choice.get("logprobs")),
        whole=whole,
        usage=choice.get("usage"),
    )


def _fields(choice: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = choice.get(name)
    if isinstance(found, Mapping):
        return found
    if found:
        raise TierError(f"the endpoint sent a {name} that is not an object, so a part of the answer is lost")
    return {}


def _index(index: object, position: int) -> int:
    if isinstance(index, str) and index.isascii() and index.isdigit() and len(index) < 4:
        return int(index)
    if isinstance(index, int) and not isinstance(index, bool) and index >= 0:
        return index
    return position


def _read(content: object, said: _Said, remark: Remark, depth: int = 0) -> None:
    """Add content to what was said: a text, or parts of several kinds."""
    if content is None:
        return
    if isinstance(content, str):
        said.text += content
    elif isinstance(content, list) and depth < _DEEPEST:
        for part in content:
            _read(part, said, remark, depth + 1)
    elif isinstance(content, Mapping) and depth < _DEEPEST:
        _read_part(content, said, remark, depth + 1)
    else:
        raise TierError("the endpoint sent a text that is of another type, so a part of the answer is lost")


def _read_part(part: Mapping[str, Any], said: _Said, remark: Remark, depth: int) -> None:
    kind = str(part.get("type"))
    if "refusal" in kind and isinstance(part.get("refusal"), str):
        said.refusal += part["refusal"]
    elif "think" in kind or "reason" in kind:
        said.reasoning += _thought(part)
    elif "text" in part or "value" in part:
        _read(part.get("text", part.get("value")), said, remark, depth)
    else:
        remark("the endpoint sent parts that aren't text; they were left out")


def _thought(content: object, depth: int = 0) -> str:
    """As much of a thought as can be read. It isn't part of the answer, so nothing depends on it."""
    if isinstance(content, str):
        return content
    if depth >= _DEEPEST:
        return ""
    if isinstance(content, list):
        return "".join(_thought(part, depth + 1) for part in content)
    if isinstance(content, Mapping):
        inner = (content.get(key) for key in (*_THOUGHTS, "text", "content", "value"))
        return next((text for text in (_thought(value, depth + 1) for value in inner) if text), "")
    return ""


def _tokens(logprobs: object) -> tuple[Token, ...]:
    """The tokens of a choice; none if they can't be read."""
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(content, list):
        return ()
    found = []
    for entry in content:
        if not isinstance(entry, Mapping) or not isinstance(text := entry.get("token"), str):
            return ()
        logprob, rivals = _logprob(entry), entry.get("top_logprobs")
        others = [
            _logprob(rival)
            for rival in (rivals if isinstance(rivals, list) else ())
            if isinstance(rival, Mapping) and rival.get("token") != text
        ]
        known = [other for other in others if other is not None]
        margin = None if logprob is None or not known else logprob - max(known)
        found.append(Token(text, logprob, margin))
    return tuple(found)


def _logprob(entry: Mapping[str, Any]) -> float | None:
    """The logarithm of a probability, if it can be one."""
    said = entry.get("logprob")
    if isinstance(said, bool) or not isinstance(said, (int, float)) or not math.isfinite(said):
        return None
    return float(said) if said <= 0 else 0.0 if said <= _ROUNDING else None


_ROUNDING = 1e-6
"""How far above 0 the logarithm of a certain token may be because of rounding."""
