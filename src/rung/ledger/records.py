"""What the ledger keeps of a request: frozen values, made from the last event of a run."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from rung.ledger.schema import new_id
from rung.types import Attempt, Finished, Image, Issue, Message, Shadowed, Threshold

_NAME = re.compile(r"[^\W\d][\w-]{0,63}|\d{1,9}")
_MOST_TOKENS = 2**53
"""Most tokens that are recorded: the largest whole number that every reader of the ledger's JSON keeps exactly."""
_STEP = re.compile(r"[^.\[\]]+")


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt. `None` means unknown.

    Args:
        number: counts from 1, over the whole request.
        tier: the tier's name.
        zone: how far the prompt would travel, or did.
        model: the model that answered, as the endpoint or the file names it.
        weights: sha256 of the weights, in hexadecimal.
        verdict: what the ladder did next.
        reason: why, in one word.
        issues: what was wrong with the answer: code and field path, but not the message, which may quote the answer.
        finish: why the answer ended.
        constraint: who enforced the answer's shape.
        sent: whether the prompt was handed to the tier.
        stays_here: whether what the tier was given is known to stay on this machine.
        destination: host and port.
        consent: who allowed the hop.
        prompt_bytes: bytes of the texts and pictures that the tier was given.
        input_tokens: tokens of the prompt.
        output_tokens: tokens of the answer.
        ttft: seconds to the first non-empty token, without the model load.
        seconds: wall time, including the model load.
        load_seconds: seconds that loading the model took.
        confidence: in [0, 1], uncalibrated.
        score: how sure the tier was, by the weights of the threshold.
        probability: calibrated probability that the answer is right.
        threshold: the score had to be above this.
        threshold_origin: where the threshold comes from.
        features: figures of the answer's log-probabilities by name, as JSON.
        weighing: the threshold's weights for them, as JSON: `weights` and `bias`.
        conditions: sha256 of what the tier's answers depend on besides the request.
        bound: the most that it could cost, in US dollars.
        cost: what it cost, in US dollars.
        text: the answer, if content is kept.
    """

    number: int
    tier: str
    zone: str
    model: str | None
    weights: str | None
    verdict: str | None
    reason: str
    issues: tuple[tuple[str, str], ...]
    finish: str | None
    constraint: str | None
    sent: bool
    stays_here: bool | None
    destination: str | None
    consent: str | None
    prompt_bytes: int | None
    input_tokens: int | None
    output_tokens: int | None
    ttft: float | None
    seconds: float
    load_seconds: float
    confidence: float | None
    score: float | None
    probability: float | None
    threshold: float | None
    threshold_origin: str | None
    features: str | None
    weighing: str | None
    conditions: str | None
    bound: Decimal | None
    cost: Decimal | None
    text: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ShadowRecord:
    """The result of a shadow.

    Args:
        at: when it ended, in milliseconds since 1970.
        against: the tier whose answer was compared with the ladder's.
        agrees: whether that tier gave the same answer; `None` if the shadow was dropped.
        reason: why it was dropped, or why no tier had to be asked.
        attempts: that tier's attempts, numbered on from the request's own. They don't count in the request's sums.
    """

    at: int
    against: str
    agrees: bool | None
    reason: str
    attempts: tuple[AttemptRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """The right answer that a person gave to a request which no tier could answer.

    Args:
        at: when it was given, in milliseconds since 1970.
        expected: the answer as JSON; `None` if the request's content is no longer kept.
    """

    at: int
    expected: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request.

    Args:
        id: the request's name.
        at: when it began, in milliseconds since 1970.
        task: the task that the request named.
        accepted: whether an answer was accepted.
        tier: the tier that gave it.
        reason: why the request ended.
        checked_by: what checked the answer.
        input_tokens: tokens of all attempts.
        output_tokens: tokens of all attempts.
        cost: US dollars of all attempts.
        seconds: wall time.
        left_machine: whether the prompt left it, with the request or its shadow; `None` if that isn't known.
        continues: the request whose answer this one continues from.
        caller: who asked a server; `None` for a request of this machine's own user.
        form: sha256 of the kind of request.
        toss: name of its random draw for a shadow; `None` if there was none.
        chance: probability that the draw asks for a shadow.
        fell: whether it did.
        attempts: in order.
        messages: the conversation as JSON, if content is kept.
        shadow: the result of its shadow; `None` if there was none, or its process ended before the result.
        label: a person's right answer; `None` if nobody gave one.
    """

    id: str
    at: int
    task: str | None
    accepted: bool
    tier: str | None
    reason: str
    checked_by: tuple[str, ...]
    input_tokens: int | None
    output_tokens: int | None
    cost: Decimal | None
    seconds: float
    left_machine: bool | None
    continues: str | None = None
    caller: str | None = None
    form: str | None = None
    toss: str | None = None
    chance: float | None = None
    fell: bool | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    messages: str | None = field(default=None, repr=False)
    shadow: ShadowRecord | None = None
    label: LabelRecord | None = None


def record(event: Finished, now: float, *, content: bool) -> RequestRecord:
    """What to keep of a request.

    Args:
        event: the last event of its run.
        now: seconds since 1970.
        content: whether prompt and answers are kept, too.
    """
    request, outcome = event.request, event.outcome
    at = int((now - outcome.seconds) * 1000)
    return RequestRecord(
        id=new_id(at),
        at=at,
        task=_text(request.task),
        accepted=outcome.accepted,
        tier=_text(outcome.tier),
        reason=str(_text(outcome.reason)),
        checked_by=tuple(_code(name) for name in outcome.checked_by),
        input_tokens=_count(outcome.usage.input_tokens),
        output_tokens=_count(outcome.usage.output_tokens),
        cost=outcome.cost,
        seconds=outcome.seconds,
        left_machine=outcome.left_machine,
        continues=_text(request.continues),
        caller=_text(request.caller),
        form=event.form or None,
        toss=event.toss.key if event.toss else None,
        chance=event.toss.chance if event.toss else None,
        fell=event.toss.fell if event.toss else None,
        attempts=tuple(_attempt(a, content) for a in outcome.attempts),
        messages=_text(_conversation(request.messages)) if content else None,
    )


def shadow_record(event: Shadowed, now: float, after: int) -> ShadowRecord:
    """What to keep of a shadow. Its answer is not kept, because only whether it agrees is needed.

    Args:
        event: the one that reports it.
        now: seconds since 1970.
        after: number of the request's last attempt.
    """
    attempts = (replace(_attempt(a, content=False), number=after + n) for n, a in enumerate(event.attempts, 1))
    reason = str(_text(event.reason))
    return ShadowRecord(int(now * 1000), str(_text(event.against)), event.agrees, reason, tuple(attempts))


def _attempt(a: Attempt, content: bool) -> AttemptRecord:
    return AttemptRecord(
        number=a.number,
        tier=str(_text(a.tier)),
        zone=str(a.zone),
        model=_text(a.model),
        weights=_text(a.weights),
        verdict=None if a.verdict is None else str(a.verdict),
        reason=str(_text(a.reason)),
        issues=tuple(dict.fromkeys(_issue(i) for i in a.issues)),
        finish=a.finish,
        constraint=a.constraint,
        sent=a.sent,
        stays_here=a.stays_here,
        destination=_text(a.destination),
        consent=_text(a.consent),
        prompt_bytes=a.prompt_bytes,
        input_tokens=_count(a.usage.input_tokens),
        output_tokens=_count(a.usage.output_tokens),
        ttft=a.ttft,
        seconds=a.seconds,
        load_seconds=a.load_seconds,
        confidence=a.confidence,
        score=a.score,
        probability=a.probability,
        threshold=None if a.threshold is None else a.threshold.above,
        threshold_origin=None if a.threshold is None else _text(a.threshold.origin),
        features=_features(a),
        weighing=None if a.threshold is None else _weighing(a.threshold),
        conditions=a.conditions or None,
        bound=a.bound,
        cost=a.cost,
        text=_text(a.text) if content else None,
    )


def _features(a: Attempt) -> str | None:
    score = None if a.candidate is None else a.candidate.score
    return None if score is None else json.dumps(dict(score.features))


def _weighing(threshold: Threshold) -> str:
    return json.dumps({"weights": dict(threshold.weights), "bias": threshold.bias}, sort_keys=True)


def _issue(issue: Issue) -> tuple[str, str]:
    # a path may contain a key that the model made up, so anything that doesn't look like a field's name is left out
    path = _STEP.sub(lambda step: step[0] if _NAME.fullmatch(step[0]) else "*", issue.path)
    return _code(issue.code), str(_text(path))


def _count(count: int | None) -> int | None:
    """A number of tokens that fits into a SQLite integer; `None` if a tier reported more."""
    return None if count is None or not 0 <= count <= _MOST_TOKENS else count


def _code(code: str) -> str:
    """A code without its parenthesis, which may contain a command line."""
    return str(_text(code.partition("(")[0]))


def _text(text: str | None) -> str | None:
    """A text that SQLite accepts: without lone surrogates."""
    return None if text is None else str(text).encode("utf-8", "replace").decode()


def _conversation(messages: tuple[Message, ...]) -> str:
    return json.dumps([_message(m) for m in messages], ensure_ascii=False)


def _message(message: Message) -> dict[str, Any]:
    """A turn in the form of chat APIs. Only type and size of a picture are kept."""
    found: dict[str, Any] = {"role": message.role, "content": message.content}
    if not isinstance(message.content, str):
        found["content"] = [
            {"type": "image", "media_type": part.media_type, "bytes": len(part.data)}
            if isinstance(part, Image)
            else {"type": "text", "text": part.text}
            for part in message.content
        ]
    if message.tool_calls:
        found["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        found["tool_call_id"] = message.tool_call_id
    return found
