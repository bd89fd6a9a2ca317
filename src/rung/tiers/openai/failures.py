"""What went wrong, from the SDK's errors to ours, and whether trying again could help.

An endpoint may repeat the prompt or the key in an error. So nothing of its text gets into a message: only its status,
error codes out of a known set, and numbers.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from openai import APIConnectionError, APIError, APIStatusError

from rung.errors import (
    Billed,
    Offline,
    PromptTooLong,
    RateLimited,
    TierCrashed,
    TierError,
    TierTimeout,
    TierUnavailable,
)
from rung.tiers.openai.endpoint import Endpoint, redirect_target
from rung.tiers.openai.pauses import retry_after

_CODES = frozenset(
    {
        "billing_hard_limit_reached",
        "billing_not_active",
        "content_filter",
        "content_policy_violation",
        "context_length_exceeded",
        "exceed_context_size_error",
        "insufficient_quota",
        "integer_above_max_value",
        "integer_below_min_value",
        "invalid_api_key",
        "invalid_json_schema",
        "invalid_organization",
        "invalid_request_error",
        "invalid_type",
        "invalid_value",
        "missing_required_parameter",
        "model_not_found",
        "not_found_error",
        "overloaded_error",
        "permission_denied_error",
        "rate_limit_error",
        "rate_limit_exceeded",
        "requests",
        "server_error",
        "string_above_max_length",
        "tokens",
        "unknown_parameter",
        "unsupported_country_region_territory",
        "unsupported_parameter",
        "unsupported_value",
    }
)
_SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_TOO_LONG = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_CONTEXT = re.compile(r"maximum context length is (\d{1,9}) tokens")
_LENGTH = re.compile(r"(?:resulted in|you requested|contains at least) (\d{1,9})(?: input)? tokens")


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that came to nothing.

    Args:
        error: what to raise for it.
        again: whether the same request may succeed later and nothing can have been billed for this one.
        wait: seconds that the endpoint asked to wait.
        form: whether the endpoint refused the form of the request.
        parameter: the field that it refused, as far as it says.
    """

    error: TierError | Offline
    again: bool = False
    wait: float | None = None
    form: bool = False
    parameter: str = ""


@dataclass(frozen=True, slots=True)
class Judge:
    """Turns an exception into a failure.

    Args:
        endpoint: who was asked.
        model: as the endpoint names it.
        mend_key: what to do where the key is refused.
        paid: whether the endpoint charges, so that nothing is sent twice that may have been billed.
    """

    endpoint: Endpoint
    model: str
    mend_key: str
    paid: bool

    def __call__(self, error: Exception, *, sent: bool) -> Failure:
        """The failure behind an exception.

        Args:
            error: what the SDK or the reader raised.
            sent: whether the request had gone out.
        """
        billed: Billed = "maybe" if sent and self.paid else "no"
        match error:
            case TierError():
                error.billed = billed
                return Failure(error)
            case APIStatusError():
                return self._status(error)
            case APIConnectionError() | OSError():
                return self._connection(error, sent, billed)
            case APIError():
                code = _code(error.body)
                return Failure(
                    TierCrashed(f"{self.endpoint} ended its answer with an error{code}", billed=billed),
                    again=not self.paid,
                )
            case _:
                return Failure(TierError(f"{self.endpoint} sent something that is no JSON event", billed=billed))

    def _connection(self, error: Exception, sent: bool, billed: Billed) -> Failure:
        causes = list(_causes(error))
        where = str(self.endpoint)
        forbidden = next((cause for cause in causes if isinstance(cause, Offline)), None)
        if forbidden is not None:
            return Failure(Offline(forbidden.message, mend=forbidden.mend))
        if not sent:
            return self._unreached(causes)
        if any(isinstance(cause, httpx2.TimeoutException) for cause in causes):
            return Failure(TierTimeout(f"{where} sent nothing for too long", mend="raise stall_seconds", billed=billed))
        return Failure(TierCrashed(f"the connection to {where} broke off", billed=billed), again=not self.paid)

    def _unreached(self, causes: list[BaseException]) -> Failure:
        where = str(self.endpoint)
        if any(isinstance(cause, ssl.SSLError) for cause in causes):
            mend = "set ca_bundle, or correct the scheme of base_url"
            return Failure(TierUnavailable(f"no trusted TLS connection to {where}", mend=mend))
        if any(isinstance(cause, httpx2.ProxyError) for cause in causes):
            return Failure(TierUnavailable(f"the proxy did not connect to {where}", mend="check proxy"))
        if any(isinstance(cause, socket.gaierror) for cause in causes):
            return Failure(TierUnavailable(f"the name of {where} has no address", mend="check base_url"), again=True)
        mend = f"start the server, or correct base_url = {self.endpoint.url}"
        return Failure(TierUnavailable(f"nobody answers at {where}", mend=mend), again=True)

    def _status(self, error: APIStatusError) -> Failure:
        status, where = error.status_code, str(self.endpoint)
        codes = _codes(error.body)
        said = f"{where} answered HTTP {status}{_code(error.body)}"
        if codes & _SPENT:
            return Failure(TierUnavailable(said, mend="check the account's credit and limits"))
        if codes & _TOO_LONG or (status == 400 and _CONTEXT.search(error.message)):
            return Failure(_too_long(error) or TierError(f"{said}: the prompt is too long for {self.model!r}"))
        wait = retry_after(error.response.headers)
        match status:
            case 401 | 403:
                return Failure(TierUnavailable(said, mend=self.mend_key))
            case 404 | 405:
                mend = "check model, and base_url, which often ends in /v1"
                return Failure(TierUnavailable(f"{said}: no model {self.model!r} there", mend=mend))
            case 400 | 422:
                return Failure(TierError(said), form=True, parameter=_parameter(error.body))
            case 408 | 409:
                return Failure(TierError(said), again=True, wait=wait)
            case 429:
                return Failure(RateLimited(said, retry_after=wait, mend="wait, or ask less often"), True, wait)
            case 503 | 529:
                return Failure(TierUnavailable(said), again=True, wait=wait)
            case _ if 300 <= status < 400:
                target = redirect_target(error.response.headers.get("location", ""))
                to = f" to {target}" if target else ""
                return Failure(
                    TierError(f"{where} redirects{to} (HTTP {status})", mend="set base_url to the final URL")
                )
            case _ if status >= 500:
                unavailable = TierUnavailable(said, billed="maybe" if self.paid else "no")
                # Some local servers fail over a field that they don't know, instead of refusing it.
                return Failure(unavailable, again=not self.paid, wait=wait, form=status == 500 and not self.paid)
            case _:
                return Failure(TierError(said))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _codes(body: object) -> frozenset[str]:
    if not isinstance(body, Mapping):
        return frozenset()
    return frozenset(str(body.get(key)) for key in ("code", "type")) & _CODES


def _code(body: object) -> str:
    """The codes as a clause."""
    codes = ", ".join(sorted(_codes(body)))
    return f" ({codes})" if codes else ""


def _parameter(body: object) -> str:
    """The top-level field that an error names; only ever compared with fields that were sent."""
    return re.split(r"[.\[]", str(body.get("param")))[0] if isinstance(body, Mapping) else ""


def _too_long(error: APIStatusError) -> PromptTooLong | None:
    body: Mapping[str, Any] = error.body if isinstance(error.body, Mapping) else {}
    length, context = body.get("n_prompt_tokens"), body.get("n_ctx")
    if isinstance(length, int) and isinstance(context, int):
        return PromptTooLong(length, context)
    found, said = _LENGTH.search(error.message), _CONTEXT.search(error.message)
    return PromptTooLong(int(found[1]), int(said[1])) if found and said else None
