"""Errors of requests over HTTP, in the format that OpenAI's clients know."""

from __future__ import annotations

import math
import time
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
from rung.ledger.budgets import day_begins
from rung.types import Outcome, Reason

_DAY = 86_400

_AGAIN = "5"
"""Seconds until a client may ask again if no tier can serve now."""


@dataclass(eq=False)
class ApiError(Exception):
    """An error that is sent to a client.

    Args:
        status: of the HTTP answer.
        message: what happened, and what helps. It has no part of a prompt or an answer.
        type: OpenAI's word for the kind of error.
        code: a word for programs.
        param: the wrong field of the body, if there is one.
        headers: further headers of the answer.
        extra: further fields of the body, beside `error`.
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
    """The client has closed its connection, so nobody is left to answer."""


def of_error(error: Exception) -> ApiError:
    """What a client learns about an exception.

    Args:
        error: of rung, or of a custom validator or tier. Of the latter only the class is sent, because its message may
            quote a prompt or an answer.
    """
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ConfigError | ContractError | Unsupported):
        return ApiError(400, str(error), code="invalid_value")
    if isinstance(error, TierUnavailable):
        return ApiError(503, str(error), "server_error", "unavailable", headers={"retry-after": _AGAIN})
    if isinstance(error, RungError):
        return ApiError(500, str(error), "server_error", type(error).__name__, headers=_ONCE)
    return unexpected(error)


def unexpected(error: BaseException) -> ApiError:
    """What a client learns about what no code should raise.

    Args:
        error: the exception. Only its class is sent.
    """
    message = f"unexpected {type(error).__name__}; the server's RUNG_DEBUG=1 shows where"
    return ApiError(500, message, "server_error", "unexpected", headers=_ONCE)


def stopping() -> ApiError:
    """The error for a request that a server which stops doesn't begin, or doesn't finish."""
    return ApiError(503, "the server is stopping", "server_error", "stopping", headers={"retry-after": _AGAIN})


_ONCE = {"x-should-retry": "false"}
"""Keeps OpenAI's clients from retrying a request that would only fail, or cost money, again."""


def of_outcome(outcome: Outcome[Any], *, limited: bool = False) -> ApiError:
    """What a client learns about a request without an accepted answer.

    Args:
        outcome: of the request.
        limited: whether the request set a time limit of its own, so that its end is not the server's failure.
    """
    said = f"{outcome.explain()}; {outcome.hint}" if outcome.hint else outcome.explain()
    asked = [a for a in outcome.attempts if a.error is not None or a.answered]
    errors = [a.error for a in asked]
    if outcome.reason == Reason.DEADLINE:
        kind = "invalid_request_error" if limited else "server_error"
        return ApiError(408 if limited else 504, said, kind, "deadline", headers=_ONCE)
    if outcome.reason == Reason.CANCELLED:  # by the server: nobody is left to be told that a client has cancelled
        return stopping()
    if any(attempt.reason == Reason.OVER_QUOTA for attempt in outcome.attempts):
        return used_up(f"the token may not spend what this request could cost: {said}", time.time())
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


def used_up(said: str, now: float) -> ApiError:
    """The error for a token whose quota doesn't allow a request until the day turns.

    Args:
        said: what is used up, and whose it is.
        now: seconds since 1970.
    """
    wait = math.ceil(day_begins(now) / 1000 + _DAY - now)
    headers = {"retry-after": str(max(wait, 1)), **_ONCE}
    return ApiError(429, said, "insufficient_quota", "insufficient_quota", headers=headers)
