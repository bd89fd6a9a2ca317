"""What a request takes by keyword."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from rung.contract import Validator
from rung.limits import Cancel
from rung.settings import nearest
from rung.types import Sampling, Zone


class Settings(TypedDict, total=False):
    """What `run`, `stream`, their async twins and typed functions take by keyword.

    Args:
        validators: further checks, each taking `(value)` or `(value, context)`.
        system: a system turn to put first.
        task: name under which ledger and calibration keep this request.
        context: your own object, handed to validators.
        max_tokens: first cap on an answer, in tokens.
        temperature: 0 is greedy.
        seed: of the sampler's random numbers.
        sampling: all of how tokens are chosen, instead of `temperature` and `seed`.
        timeout: seconds for the whole request.
        reach: tightens the ladder's reach for this request.
        cancel: stops the request from any thread.
        provisional: whether a stream also shows text that isn't validated yet.
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


def known(settings: Settings) -> None:
    """Raises `TypeError` for a setting that there isn't, naming the nearest that there is."""
    unknown = set(settings) - Settings.__optional_keys__
    if unknown:
        word = min(unknown)
        raise TypeError(f"there is no setting {word!r}; {nearest(word, Settings.__optional_keys__)}")
