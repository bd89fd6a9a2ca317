"""What a request may say: its prompt, and the keyword arguments of `run` and its kin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from rung.contract import Validator
from rung.limits import Cancel
from rung.types import Message, Sampling, Threshold, Zone

Written = str | Sequence[Message]
Fields = Mapping[str, str]
Prompt = Written | Fields


class RequestOptions(TypedDict, total=False):
    """Keyword arguments of `run`, `stream`, their async twins and typed functions.

    Args:
        validators: further checks, each taking `(value)` or `(value, context)`.
        system: a system turn to put first.
        task: name of a task's folder, whose template, contract and calibration are used. Where the ladder has no such
            task, it is only a label in the ledger.
        context: your own object, which validators get.
        max_tokens: first cap on an answer, in tokens.
        temperature: 0 is greedy.
        seed: for the sampler's random numbers.
        sampling: everything about how tokens are chosen, instead of `temperature` and `seed`.
        timeout: seconds for the whole request.
        reach: tightens the ladder's reach for this request.
        cancel: stops the request from any thread.
        provisional: whether a stream also shows text that isn't validated yet.
        thresholds: how sure each tier has to be of a valid answer, by the tier's name. It overrides `min_confidence`.
        text_checks: whether plain text is refused that repeats itself without end, is the prompt again, or holds a chat
            template's control tokens; on by default.
        continues: the name in the ledger of the request whose conversation the prompt goes on with, for the record.
    """

    validators: Sequence[Validator]
    system: str | None
    task: str | None
    context: Any
    max_tokens: int | None
    temperature: float
    seed: int | None
    sampling: Sampling | None
    timeout: float | None
    reach: Zone | None
    cancel: Cancel | None
    provisional: bool
    thresholds: Mapping[str, Threshold] | None
    text_checks: bool
    continues: str | None
