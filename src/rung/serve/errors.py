"""What goes wrong with a request over HTTP, in the shape that OpenAI's clients know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rung.errors import (
    ConfigError,
    ContractError,
    PromptTooLong,
    RateLimited,
    RungError,
    TierError,
    TierUnavailable,
    Unsupported,
)
from rung.types import Outcome, Reason

_AGAIN = "5"
"""Seconds after which a client may ask a ladder again none of whose tiers can serve now."""


@dataclass(eq=False)
class ApiError(Exception):
    """An error that a client is told.

    Args:
        status: of the HTTP answer.
        message: what happened, and what helps. No part of a prompt or an answer.
        type: OpenAI's word for the kind of error.
        code: a word that programs may look at.
        param: the field of the body that is wrong, where one is.
        headers: further headers of the answer.
        extra: what stands beside `error` in the body.
    """

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error, **self.extra}


class Gone(Exception):
    """The client has closed its connection. Nobody is left to be told anything."""


def of_error(error: Exception) -> ApiError:
    """What a client is told of an exception.

    Args:
        error: of rung, or of anybody's validator or tier. Of the latter only the class is told, because nobody knows
            what its message quotes.
    """
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ConfigError | ContractError | Unsupported):
        return ApiError(400, str(error), code="invalid_value")
    if isinstance(error, TierUnavailable):
        return ApiError(503, str(error), "server_error", "unavailable", headers={"retry-after": _AGAIN})
    if isinstance(error, RungError):
        return ApiError(500, str(error), "server_error", type(error).__name__, headers=_ONCE)
    message = f"unexpected {type(error).__name__}; the server's RUNG_DEBUG=1 shows where"
    return ApiError(500, message, "server_error", "unexpected", headers=_ONCE)


_ONCE = {"x-should-retry": "false"}
"""Keeps OpenAI's clients from asking again what would only fail, or cost, once more."""


def of_outcome(outcome: Outcome[Any]) -> ApiError:
    """What a client is told of a request without an accepted answer."""
    said = f"{outcome.explain()}; {outcome.hint}" if outcome.hint else outcome.explain()
    asked = [a for a in outcome.attempts if a.error is not None or a.answered]
    errors = [a.error for a in asked]
    if outcome.reason == Reason.DEADLINE:
        return ApiError(504, said, "server_error", "deadline", headers=_ONCE)
    if errors and all(isinstance(e, PromptTooLong) for e in errors):
        return ApiError(400, said, code="context_length_exceeded", param="messages")
    if errors and all(isinstance(e, Unsupported) for e in errors):
        return ApiError(400, said, code="unsupported")
    if errors and all(isinstance(e, RateLimited) for e in errors):
        waits = [e.retry_after for e in errors if isinstance(e, RateLimited) and e.retry_after is not None]
        wait = str(max(1, round(min(waits)))) if waits else _AGAIN
        return ApiError(429, said, "rate_limit_error", "rate_limited", headers={"retry-after": wait})
    if errors and all(isinstance(e, TierError) for e in errors):
        return ApiError(503, said, "server_error", "unavailable", headers={"retry-after": _AGAIN})
    return ApiError(422, said, "unresolved", str(outcome.reason) or None, headers=_ONCE)
