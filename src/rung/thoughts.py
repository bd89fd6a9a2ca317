"""Separating a model's thoughts from its answer in the text that a tier streams.

Templates, servers and vendors differ in what they remove themselves. A thought is removed if the text begins with an
opening tag, or if something closes a thought that the prompt has opened. Tags in the middle of an answer belong to the
answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rung.types import Delta, Token

_TAGS = (
    *("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "seed:think"),
    *("longcat_think", "antThinking"),
)
_THOUGHTS = {
    **{f"<{tag}>": f"</{tag}>" for tag in _TAGS},
    "[THINK]": "[/THINK]",
    "◁think▷": "◁/think▷",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|channel|>analysis<|message|>": "<|end|>",
    "<|channel|>commentary<|message|>": "<|end|>",
    "<|channel>thought\n": "<channel|>",
    "<unused94>thought\n": "<unused95>",
}
"""Opening and closing tags of thoughts: those of DeepSeek, Qwen and most others, then of Mistral, Kimi, Cohere,
OpenThinker, gpt-oss (two channels), and two of Gemma's."""
_LEADS = {
    "<answer>": "</answer>",
    "<response>": "</response>",
    "<|begin_of_solution|>": "<|end_of_solution|>",
    "<|START_RESPONSE|>": "<|END_RESPONSE|>",
    "<|start|>assistant<|channel|>final<|message|>": "<|return|>",
    "<|channel|>final<|message|>": "<|return|>",
    "<|start|>assistant": "",
}
"""What may stand before the answer once a thought is closed, and what may then follow the answer."""
_CLOSINGS = tuple(dict.fromkeys(_THOUGHTS.values()))
_NO_THOUGHT = ("{", "[{", '["', '"', "```", "<!", "<h")
"""Beginnings of data and code. A closing tag in there is a part of it."""

Kind = Literal["answer", "thought", "nothing"]
Part = tuple[Kind, str]


class Splitter:
    """Separates thoughts from the answer as a text comes. What could be the beginning of a tag is held back until that
    is decided.
    """

    def __init__(self) -> None:
        self._held = ""
        self._state: Literal["before", "thought", "answer"] = "before"
        self._closing = ""  # closes the thought, or what surrounds the answer
        self._thought = False

    def push(self, text: str) -> list[Part]:
        """The parts that are certain after one more piece, in order."""
        self._held += text
        parts: list[Part] = []
        while self._step(parts):
            pass
        return parts

    def finish(self) -> list[Part]:
        """The remaining parts, at the end of the text."""
        kind: Kind = "thought" if self._state == "thought" else "answer"
        text, self._held = self._held, ""
        if self._state == "answer" and self._closing and text.rstrip().endswith(self._closing):
            text = text.rstrip().removesuffix(self._closing)
        elif self._state == "before" and self._thought and not text.strip():
            kind = "nothing"
        return [(kind, text)] if text else []

    def _step(self, parts: list[Part]) -> bool:
        """Decide as much as possible. Returns whether the state changed, so that more can be decided."""
        if self._state == "thought":
            return self._in_thought(parts)
        if self._state == "answer":
            self._in_answer(parts)
            return False
        bare = self._held.lstrip()
        openings = [*_THOUGHTS, *(_LEADS if self._thought else ("<|channel|>final<|message|>",))]
        met = [opening for opening in openings if bare.startswith(opening)]
        if met:
            opening = max(met, key=len)
            parts.append(("nothing", self._take(len(self._held) - len(bare) + len(opening))))
            self._thought = True
            self._closing = _THOUGHTS.get(opening) or _LEADS.get(opening, "")
            self._state = "thought" if opening in _THOUGHTS else "answer" if self._closing else "before"
            return True
        if not bare or any(opening.startswith(bare) for opening in openings):
            return False
        if self._thought:
            parts.append(("nothing", self._take(len(self._held) - len(bare))))
        self._state, self._closing = "answer", ""
        return True

    def _in_thought(self, parts: list[Part]) -> bool:
        at = self._held.find(self._closing)
        if at < 0:
            parts.append(("thought", self._take(len(self._held) - _overlap(self._held, self._closing))))
            return False
        parts.append(("thought", self._take(at)))
        parts.append(("nothing", self._take(len(self._closing))))
        self._state = "before"
        return True

    def _in_answer(self, parts: list[Part]) -> None:
        kept = 0
        if self._closing:
            bare = self._held.rstrip()
            whole = bare.endswith(self._closing)
            kept = len(self._held) - len(bare) + (len(self._closing) if whole else _overlap(bare, self._closing))
        parts.append(("answer", self._take(len(self._held) - kept)))

    def _take(self, length: int) -> str:
        text, self._held = self._held[:length], self._held[length:]
        return text


def _overlap(text: str, tag: str) -> int:
    """Length of the longest end of a text with which a tag could begin."""
    return next((n for n in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:n])), 0)


@dataclass(slots=True)
class _Candidate:
    splitter: Splitter
    tokens: deque[Token]

    def cut(self, parts: Sequence[Part]) -> tuple[Token, ...]:
        """The tokens of the answer's parts. A token that crosses an edge is cut down to the answer."""
        cut = []
        for kind, text in parts:
            left = len(text)
            while left and self.tokens:
                token = self.tokens.popleft()
                inside = token.text[:left]
                if kind == "answer" and inside:
                    cut.append(token if inside == token.text else replace(token, text=inside))
                if len(token.text) > left:
                    self.tokens.appendleft(replace(token, text=token.text[left:]))
                left -= len(inside)
        return tuple(cut)


def apart(deltas: Iterable[Delta]) -> Iterator[Delta]:
    """The same deltas, with each thought moved from `text` to `reasoning`.

    Args:
        deltas: deltas as a tier gives them. Each candidate is handled separately.
    """
    candidates: dict[int, _Candidate] = {}
    for delta in deltas:
        known = candidates.get(delta.index)
        if not delta.text and (known is None or delta.finish is None):
            yield delta
            continue
        if known is None:
            known = candidates[delta.index] = _Candidate(Splitter(), deque())
        known.tokens += delta.tokens
        parts = known.splitter.push(delta.text)
        if delta.finish is not None:
            parts += known.splitter.finish()
            del candidates[delta.index]
        if parts == [("answer", delta.text)] and len(known.tokens) == len(delta.tokens):
            known.tokens.clear()
            yield delta
        else:
            yield _told(delta, parts, known)
    for index, known in candidates.items():
        parts = known.splitter.finish()
        if parts:
            yield _told(Delta(index=index), parts, known)


def _told(delta: Delta, parts: Sequence[Part], candidate: _Candidate) -> Delta:
    thought = "".join(text for kind, text in parts if kind == "thought")
    return replace(
        delta,
        text="".join(text for kind, text in parts if kind == "answer"),
        tokens=candidate.cut(parts),
        reasoning=delta.reasoning + thought,
    )


def unopened(text: str, prompt: str) -> int:
    """Number of characters at the beginning that are a thought which something before the text opened, closing tag
    included.

    Args:
        text: the answer, without thoughts that it opened itself.
        prompt: text that the answer may quote. A tag in there belongs to the answer.
    """
    if text.lstrip().startswith(_NO_THOUGHT):
        return 0
    found = [(at, closing) for closing in _CLOSINGS if (at := text.find(closing)) >= 0 and closing not in prompt]
    found = [(at, closing) for at, closing in found if closing != "<|end|>" and not _quoted(text, at)]
    if not found:
        return 0
    at, closing = min(found)
    rest = text[at + len(closing) :]
    return at + len(closing) + len(rest) - len(rest.lstrip())


def behind(tokens: Sequence[Token], characters: int) -> tuple[Token, ...]:
    """The tokens of a text, without its first characters."""
    candidate = _Candidate(Splitter(), deque(tokens))
    candidate.cut([("nothing", "\0" * characters)])
    return tuple(candidate.tokens)


def _quoted(text: str, at: int) -> bool:
    """Whether a tag is only mentioned at this place, not used: in backticks or quotes, or in a block of code."""
    return text[at - 1 : at] in ("`", '"', "'") or text.count("```", 0, at) % 2 == 1
