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
from rung.hiding import hide
from rung.tiers.openai.breaker import Health
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
_FILTERED = frozenset({"content_filter", "content_policy_violation"})
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
        health: what it says of the endpoint.
        filtered: whether a content filter refused the prompt, which is an answer of a kind.
    """

    error: TierError | Offline
    again: bool = False
    wait: float | None = None
    form: bool = False
    parameter: str = ""
    health: Health | None = "alive"
    filtered: bool = False


@dataclass(frozen=True, slots=True)
class Judge:
    """Turns an exception into a failure.

    Args:
        endpoint: who was asked.
        proxy: through whom; `None` where the endpoint is connected to itself.
        model: as the endpoint names it.
        mend_key: what to do where the key is refused.
        paid: whether the endpoint charges, so that nothing is sent twice that may have been billed.
    """

    endpoint: Endpoint
    proxy: Endpoint | None
    model: str
    mend_key: str
    paid: bool

    def __call__(self, error: Exception, *, sent: bool, heard: bool) -> Failure:
        """The failure behind an exception.

        Args:
            error: what the SDK or the reader raised.
            sent: whether the request had gone out.
            heard: whether a response had begun.
        """
        billed: Billed = "maybe" if sent and self.paid else "no"
        match error:
            case TierError():
                error.billed = billed
                return Failure(error, health="ill" if isinstance(error, TierCrashed) else "alive")
            case APIStatusError():
                return self._status(error)
            case APIConnectionError() | httpx2.HTTPError() | OSError():
                return self._connection(error, sent, heard, billed)
            case APIError():
                code = _code(error.body)
                return Failure(
                    TierCrashed(f"{self.endpoint} ended its answer with an error{code}", billed=billed),
                    again=not self.paid,
                    health="ill",
                )
            case _:
                return Failure(TierError(f"{self.endpoint} sent something that is no JSON event", billed=billed))

    def _connection(self, error: Exception, sent: bool, heard: bool, billed: Billed) -> Failure:
        causes = list(_causes(error))
        where = str(self.endpoint)
        forbidden = next((cause for cause in causes if isinstance(cause, Offline)), None)
        if forbidden is not None:
            return Failure(Offline(forbidden.message, hint=forbidden.hint), health=None)
        ours = next((cause for cause in causes if isinstance(cause, TierError)), None)
        if ours is not None:  # raised by our transport, and wrapped by the SDK
            return Failure(type(ours)(ours.message, hint=ours.hint, billed=billed))
        if not sent:
            return self._unreached(causes)
        if any(isinstance(cause, httpx2.TimeoutException) for cause in causes):
            late = TierTimeout(f"{where} sent nothing for too long", hint="raise stall_seconds", billed=billed)
            return Failure(late, health="ill" if heard else "dead")
        crash = TierCrashed(f"the connection to {where} broke off", billed=billed)
        return Failure(crash, again=not self.paid, health="ill")

    def _unreached(self, causes: list[BaseException]) -> Failure:
        where = str(self.endpoint)
        peer, setting = (self.endpoint, "base_url") if self.proxy is None else (self.proxy, "proxy")
        if any(isinstance(cause, ssl.SSLError) for cause in causes):
            hint = "set ca_bundle, or correct the scheme of base_url"
            return Failure(TierUnavailable(f"no trusted TLS connection to {where}", hint=hint), health=None)
        if any(isinstance(cause, httpx2.ProxyError) for cause in causes):
            return Failure(TierUnavailable(f"the proxy did not connect to {where}", hint="check proxy"), health="ill")
        if any(isinstance(cause, socket.gaierror) for cause in causes):
            nameless = TierUnavailable(f"the name of {peer} has no address", hint=f"check {setting}")
            return Failure(nameless, again=True, health="ill")
        hint = f"start the server, or correct {setting} = {hide(peer.url)}"
        silent = any(isinstance(cause, httpx2.TimeoutException) for cause in causes)
        # a wait for a connection is long, and whoever didn't take it won't a moment later
        nobody = TierUnavailable(f"nobody answers at {peer}", hint=hint)
        return Failure(nobody, again=not silent, health="dead" if silent else "ill")

    def _status(self, error: APIStatusError) -> Failure:
        status, where = error.status_code, str(self.endpoint)
        codes = _codes(error.body)
        said = f"{where} answered HTTP {status}{_code(error.body)}"
        if codes & _SPENT:
            return Failure(TierUnavailable(said, hint="check the account's credit and limits"))
        if codes & _FILTERED and status < 500:
            return Failure(TierError(said), filtered=True)
        if codes & _TOO_LONG or (status == 400 and _CONTEXT.search(error.message)):
            return Failure(_too_long(error) or TierError(f"{said}: the prompt is too long for {hide(self.model)!r}"))
        wait = retry_after(error.response.headers)
        match status:
            case 401 | 403:
                return Failure(TierUnavailable(said, hint=self.mend_key))
            case 404 | 405:
                hint = "check model, and base_url, which often ends in /v1"
                return Failure(TierUnavailable(f"{said}: no model {hide(self.model)!r} there", hint=hint))
            case 400 | 422:
                return Failure(TierError(said), form=True, parameter=_parameter(error.body))
            case 408:
                # some endpoints charge for what they gave up on
                timeout = TierTimeout(said, billed="maybe" if self.paid else "no")
                return Failure(timeout, again=not self.paid, wait=wait)
            case 409:
                return Failure(TierError(said), again=True, wait=wait)
            case 413:
                return Failure(TierError(f"{said}: the request is too long", hint="shorten the prompt"))
            case 429:
                return Failure(RateLimited(said, retry_after=wait, hint="wait, or ask less often"), True, wait)
            case 503 | 529:
                return Failure(TierUnavailable(said), again=True, wait=wait, health=_health(wait))
            case _ if 300 <= status < 400:
                target = redirect_target(error.response.headers.get("location", ""))
                to = f" to {target}" if target else ""
                return Failure(
                    TierError(f"{where} redirects{to} (HTTP {status})", hint="set base_url to the final URL")
                )
            case _ if status >= 500:
                unavailable = TierUnavailable(said, billed="maybe" if self.paid else "no")
                # Some local servers fail over a field that they don't know, instead of refusing it.
                again, form = not self.paid, status == 500 and not self.paid
                return Failure(unavailable, again, wait, form, health=_health(wait))
            case _:
                return Failure(TierError(said))


def _health(wait: float | None) -> Health:
    """Of an endpoint that answered 5xx: one that asks for a pause gets it."""
    return "ill" if wait is None else "dead"


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
