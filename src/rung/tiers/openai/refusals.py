"""Turning a refused request into one that leaves out what was refused.

The endpoint says what it refuses in a field of its error, or in a sentence that names one of our fields, with any
status. A field that would change the answer, or unbind its cost, is never left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from rung.errors import PromptTooLong
from rung.tiers.openai.body import DROPPABLE, LEAST_ROOM, ContextRoom, Dialect, Form, TokenLimit, request
from rung.tiers.openai.complaints import Complaint
from rung.types import Call

_LIMITS: tuple[TokenLimit, ...] = ("max_tokens", "max_completion_tokens")
_SHAPES = ("response_format", "structured_outputs", "json_schema", "guided_json", "json_object", "grammar")
_BLANK = frozenset({400, 422, 500})
"""Statuses of servers that refuse a field without saying which."""
_REFUSES = re.compile(
    r"un(?:known|recogni[sz]ed|supported|expected)|invalid|extra (?:fields?|inputs?)"
    r"|(?:not|n't|never|no longer) (?:be )?"
    r"(?:allowed|permitted|support(?:ed)?|accept(?:ed)?|recogni[sz]ed?|enabled|implemented|available|have|take|know)"
    r"|only (?:supports?|the default|works)|must (?:not )?be|is (?:deprecated|forbidden|unknown)",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(
    r"un(?:known|recogni[sz]ed|supported|expected)|(?:not|n't) (?:be )?(?:support|permit|allow|recogni|accept)"
    r"|extra (?:fields?|inputs?)|deprecated|instead",
    re.IGNORECASE,
)
"""Words which say that a name isn't known, rather than that a value is wrong. A cap must not be sent under a name that
an endpoint may ignore.
"""

_SIZE = re.compile(
    r"too (?:large|big|high|many|long|small|low)|exceed|less than|greater than|at least|range|(?:max|min)imum",
    re.IGNORECASE,
)
"""Words which say that a number is wrong, rather than its name."""

_SCHEMATIC = re.compile(
    r"invalid (?:json )?schema|additionalproperties|strict|\$ref|keyword|grammar"
    r"|schema (?:is|must|has|contains|for)|in (?:the |your )?schema|'?required'? (?:is required|must)",
    re.IGNORECASE,
)
_SYSTEM = re.compile(
    r"\b(?:system|developer)\b.{0,40}\b(?:role|message|prompt|instruction|turn)s?\b|\brole\b.{0,60}\b(?:system|developer)\b"
    r"|roles? must alternate|(?:invalid|unexpected|unsupported|unknown|unrecognized) role"
    r"|first message must be",
    re.IGNORECASE | re.DOTALL,
)
_STREAMING = re.compile(r"""(['"`])stream\1|\bstreaming\b|\bto stream\b""", re.IGNORECASE)

_NUMBER = r"[`'\"*]?(\d[\d,_]{0,11})[`'\"*]?"
_CONTEXT = (
    rf"\d \+ \d[\d,_]* > {_NUMBER}",
    rf"(?:max_new_tokens|max_tokens)[`'\"]? must be <= {_NUMBER}",
    rf"context (?:length|window|size|limit)(?: of| is|:| =|)\D{{0,12}}{_NUMBER}",
    rf"{_NUMBER} (?:tokens? )?(?:maximum )?context (?:length|window|size)",
)
_PROMPT = (
    rf"{_NUMBER} (?:tokens? )?(?:in|from|of) the (?:messages|input|prompt)",
    rf"{_NUMBER} (?:input|prompt|[`'\"]inputs[`'\"]) tokens",
    rf"messages resulted in {_NUMBER} tokens",
    rf"prompt (?:contains|has|is|of) (?:at least )?{_NUMBER} tokens",
    rf"contains at least {_NUMBER}(?: input)? tokens",
    rf"{_NUMBER} \+ \d[\d,_]* > \d",
)
_WHOLE = (rf"(?:you )?requested (?:a total of )?(?:about )?{_NUMBER} tokens", rf"total of {_NUMBER} tokens")
_ANSWER = (
    rf"at most {_NUMBER} (?:completion|output|new|generated)",
    rf"(?:range|between|in)\b.{{0,60}}?\[ ?\d+ ?, ?{_NUMBER} ?\]",
    rf"(?:less than or equal to|<=|no more than|not exceed|at most|maximum(?: value)?(?: of| is|:)?) {_NUMBER}",
    rf"> {_NUMBER}, which is the max",
    rf"max(?:imum)? (?:allowed |number of )*(?:completion|output|generated)(?: tokens)?\D{{0,20}}{_NUMBER}",
)


def _pattern(forms: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(form, re.IGNORECASE | re.DOTALL) for form in forms)


_CONTEXTS, _PROMPTS, _WHOLES, _ANSWERS = map(_pattern, (_CONTEXT, _PROMPT, _WHOLE, _ANSWER))


@dataclass(frozen=True, slots=True)
class Lengths:
    """Counts of tokens in an error; `None` for those that it doesn't give.

    Args:
        context: tokens that prompt and answer may take together.
        prompt: tokens of the prompt.
        whole: tokens of prompt and cap together.
        answer: the largest cap.
    """

    context: int | None
    prompt: int | None
    whole: int | None
    answer: int | None


def lengths(complaint: Complaint) -> Lengths:
    """The counts in an endpoint's error."""
    prompt, context = complaint.tokens or (None, None)
    text = complaint.text
    return Lengths(
        context=context or _first(_CONTEXTS, text),
        prompt=prompt or _first(_PROMPTS, text),
        whole=_first(_WHOLES, text),
        answer=_first(_ANSWERS, text),
    )


def too_long(complaint: Complaint) -> PromptTooLong | None:
    """The error for a prompt that is too long whatever the cap, if the endpoint gives both counts."""
    found = lengths(complaint)
    length = found.prompt or found.whole
    return PromptTooLong(length, found.context) if length and found.context else None


@dataclass(frozen=True, slots=True)
class Lesser:
    """A way to ask for less.

    Args:
        dialect: how to ask.
        form: how to send the shape.
        always: whether this form is for every shape, because the field itself was refused.
    """

    dialect: Dialect
    form: Form
    always: bool = False


def less(complaint: Complaint, status: int, call: Call, dialect: Dialect, form: Form) -> Lesser | None:
    """How to ask without what was refused; `None` if nothing can be left out.

    Args:
        complaint: the endpoint's complaint.
        status: status of the response.
        call: the call.
        dialect: how it was asked.
        form: how the shape was sent.
    """
    roots = {name.split(".")[0] for name in complaint.names}
    text, changed = complaint.text, dialect
    other = next(limit for limit in _LIMITS if limit != dialect.token_limit)
    cap = dialect.cap(call)
    lowered = None if cap is None else _lowered(complaint, call, dialect, cap)
    if lowered is not None or lengths(complaint).context is not None:
        # if it is about the context, only a smaller cap can help
        return None if lowered is None else Lesser(lowered, form)
    limit_named = dialect.token_limit in roots or (dialect.token_limit in text and _UNKNOWN.search(text))
    if cap is not None and limit_named and not dialect.renamed and not _SIZE.search(text):
        changed = replace(changed, token_limit=other, renamed=True)
    # fields of `extra_body` are a person's own choice, and stay
    sent = (DROPPABLE & request(call, dialect, form).keys()) - dialect.extra_body.keys()
    named = {"logprobs" if root == "top_logprobs" else root for root in roots}
    named |= {name for name in sent | {"top_logprobs"} if _refuses(text, name)}
    if "top_logprobs" in named:
        named.add("logprobs")
    named.discard("stream")
    if "stream" in roots or ("stream_options" not in named and _refused_near(text, _STREAMING)):
        named.add("stream")
    if drop := named & sent:
        changed = replace(changed, dropped=dialect.dropped | drop)
    turns = any(name.startswith("messages.") and name.endswith("role") for name in complaint.names)
    if not dialect.merges_system and any(m.role == "system" for m in call.messages) and (turns or _SYSTEM.search(text)):
        changed = replace(changed, merges_system=True)
    if changed != dialect:
        return Lesser(changed, form)
    return _looser(complaint, roots, status, dialect, call, form)


def _lowered(complaint: Complaint, call: Call, dialect: Dialect, cap: int) -> Dialect | None:
    """The dialect with a smaller cap, if the cap was too large."""
    found = lengths(complaint)
    prompt = found.prompt
    if prompt is None and found.whole is not None and found.whole > cap:
        prompt = found.whole - cap
    if found.context is not None and prompt is not None:
        size = sum(message.size for message in call.messages)
        if LEAST_ROOM <= found.context - prompt < cap:
            return replace(dialect, room=ContextRoom(found.context, prompt, size))
        return None
    about_cap = any(name in complaint.names or name in complaint.text for name in (*_LIMITS, "max_new_tokens"))
    most = found.answer
    if most is not None and about_cap and LEAST_ROOM <= most < cap:
        return replace(dialect, most_tokens=most)
    return None


def _looser(
    complaint: Complaint, roots: set[str], status: int, dialect: Dialect, call: Call, form: Form
) -> Lesser | None:
    """A form of the shape that asks for less; `None` if the shape isn't to blame, or there is no other form."""
    forms = dialect.forms(call.shape)
    later = forms[forms.index(form) + 1 :] if form in forms else ("none",)
    if not later:
        return None
    text, schematic = complaint.text, "invalid_json_schema" in complaint.codes
    named = schematic or bool(roots & set(_SHAPES)) or any(name in text for name in _SHAPES)
    if not named:
        return Lesser(dialect, "none") if status in _BLANK and not roots else None
    if schematic or _SCHEMATIC.search(text):
        return Lesser(dialect, later[0])
    if form in ("strict", "lax") and "json_object" in text and dialect.constraint == "json_schema":
        return Lesser(dialect, "object", always=True)
    return Lesser(dialect, "none", always=True)


def _refuses(text: str, name: str) -> bool:
    """Whether a sentence says that it doesn't take a field, and doesn't only use an ordinary word of that name."""
    if re.search(rf"""(['"`]){re.escape(name)}\1""", text):
        return True
    if name in _ORDINARY:
        return False
    word = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)")
    return bool(word.search(text)) if "_" in name else _refused_near(text, word)


def _refused_near(text: str, word: re.Pattern[str]) -> bool:
    """Whether a word stands in or near a sentence with a word that refuses something."""
    around = (text[max(0, found.start() - _NEAR) : found.end() + _NEAR] for found in word.finditer(text))
    return any(_REFUSES.search(part) for part in around)


_NEAR = 80
"""Characters that a sentence of an error spans around the field that it is about."""

_ORDINARY = frozenset({"store"})
"""Field names that are ordinary words, and whose loss would matter. They count only if they are quoted."""


def _first(patterns: tuple[re.Pattern[str], ...], text: str) -> int | None:
    for pattern in patterns:
        if found := pattern.search(text):
            digits = re.sub(r"\D", "", found[1])
            if digits and 0 < int(digits) <= 10**9:
                return int(digits)
    return None
