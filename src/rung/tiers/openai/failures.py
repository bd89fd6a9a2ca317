"""Turning the SDK's errors into ours, and deciding whether trying again could help.

An endpoint may repeat the prompt or the key in an error. So nothing of its text gets into a message, except its status,
error codes from a known set, and numbers. Its own words are in `TierError.said`.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import httpx2
from openai import APIConnectionError, APIStatusError

from rung.errors import (
    Billed,
    Offline,
    RateLimited,
    Said,
    TierCrashed,
    TierError,
    TierTimeout,
    TierUnavailable,
)
from rung.hiding import hide
from rung.tiers.openai import complaints
from rung.tiers.openai.breaker import Health
from rung.tiers.openai.complaints import Complained, Complaint
from rung.tiers.openai.endpoint import Endpoint, redirect_target
from rung.tiers.openai.pauses import retry_after
from rung.tiers.openai.refusals import lengths, too_long

_SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_FILTERED = frozenset({"content_filter", "content_policy_violation"})
_TOO_LONG = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_FIELD_STATUSES = frozenset({400, 403, 404, 405, 406, 415, 422, 501})
"""Statuses with which endpoints are known to refuse a field rather than the call."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that failed.

    Args:
        error: the error to raise.
        again: whether the same request may succeed later, and nothing can have been billed for this one.
        wait: seconds that the endpoint asked to wait.
        busy: whether the endpoint is there and asks for another try, and isn't broken.
        form: whether the request may be sent in another form.
        status: status of the response; 0 if there was none.
        complaint: what the endpoint said.
        health: what the failure shows about the endpoint.
        filtered: whether a content filter refused the prompt, which is an answer of a kind.
    """

    error: TierError | Offline
    again: bool = False
    wait: float | None = None
    busy: bool = False
    form: bool = False
    status: int = 0
    complaint: Complaint = Complaint()
    health: Health | None = "alive"
    filtered: bool = False


@dataclass(frozen=True, slots=True)
class Judge:
    """Turns an exception into a failure.

    Args:
        endpoint: the endpoint that was asked.
        proxy: the proxy on the way; `None` if there is none.
        model: the endpoint's name for the model.
        mend_key: what to do if the key is refused.
        paid: whether the endpoint charges. Then nothing that may have been billed is sent twice.
    """

    endpoint: Endpoint
    proxy: Endpoint | None
    model: str
    mend_key: str
    paid: bool

    def __call__(
        self, error: Exception, *, sent: bool, heard: bool, headers: Mapping[str, str] | None = None
    ) -> Failure:
        """The failure behind an exception.

        Args:
            error: what the SDK or the reader raised.
            sent: whether the request had gone out.
            heard: whether a response had begun.
            headers: headers of the response, if it was taken for an answer.
        """
        billed: Billed = "maybe" if sent and self.paid else "no"
        match error:
            case TierError():
                error.billed = billed
                return Failure(error, health="ill" if isinstance(error, TierCrashed) else "alive")
            case APIStatusError():
                return self._told(error.status_code, complaints.read(error.body), error.response.headers)
            case Complained():
                complaint = complaints.read(error.body)
                if complaint.status is not None:
                    return self._told(complaint.status, complaint, {} if headers is None else headers)
                crash = TierCrashed(f"{self.endpoint} sent an error and no answer{complaint.said}", billed=billed)
                crash.said = Said(complaint.text)
                return Failure(crash, again=not self.paid, health="ill", complaint=complaint)
            case APIConnectionError() | httpx2.HTTPError() | OSError():
                return self._connection(error, sent, heard, billed)
            case _:
                return Failure(TierError(f"{self.endpoint} sent something that is not a JSON event", billed=billed))

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
        # the wait for a connection is long, and an address that didn't accept it won't a moment later
        nobody = TierUnavailable(f"nobody answers at {peer}", hint=hint)
        return Failure(nobody, again=not silent, health="dead" if silent else "ill")

    def _told(self, status: int, complaint: Complaint, headers: Mapping[str, str]) -> Failure:
        """The failure that an endpoint reports, together with its own words."""
        failure = self._status(status, complaint, headers)
        if isinstance(failure.error, TierError) and complaint.text:
            failure.error.said = Said(complaint.text)
        return replace(failure, status=status, complaint=complaint)

    def _status(self, status: int, complaint: Complaint, headers: Mapping[str, str]) -> Failure:
        where, codes = str(self.endpoint), complaint.codes
        said = f"{where} answered HTTP {status}{complaint.said}"
        if codes & _SPENT:
            return Failure(TierUnavailable(said, hint="check the account's credit and limits"))
        if codes & _FILTERED and status < 500:
            return Failure(TierError(said), filtered=True)
        if codes & _TOO_LONG or (status in (400, 413, 422) and lengths(complaint).context):
            long = too_long(complaint) or TierError(f"{said}: the prompt is too long for {hide(self.model)!r}")
            return Failure(long, form=True)
        wait = retry_after(headers)
        if wait is None and status in (429, 503, 529):
            wait = complaint.wait
        form = status in _FIELD_STATUSES or (status >= 500 and bool(complaint.names))
        match status:
            case 401 | 403:
                return Failure(TierUnavailable(said, hint=self.mend_key), form=form)
            case 402:
                return Failure(TierUnavailable(said, hint="check the account's credit"))
            case 404 | 405:
                hint = "check model, and base_url, which often ends in /v1"
                return Failure(TierUnavailable(f"{said}: no model {hide(self.model)!r} there", hint=hint), form=form)
            case 408:
                # some endpoints charge for what they gave up on
                timeout = TierTimeout(said, billed="maybe" if self.paid else "no")
                return Failure(timeout, again=not self.paid, wait=wait)
            case 409:
                return Failure(TierError(said), again=True, busy=True, wait=wait)
            case 413:
                return Failure(TierError(f"{said}: the request is too long", hint="shorten the prompt"))
            case 429:
                limited = RateLimited(said, retry_after=wait, hint="wait, or ask less often")
                return Failure(limited, again=True, busy=True, wait=wait)
            case 503 | 529:
                return Failure(TierUnavailable(said), again=True, busy=True, wait=wait, health=_health(wait))
            case _ if 300 <= status < 400:
                target = redirect_target(headers.get("location", ""))
                to = f" to {target}" if target else ""
                return Failure(
                    TierError(f"{where} redirects{to} (HTTP {status})", hint="set base_url to the final URL")
                )
            case _ if status >= 500:
                unavailable = TierUnavailable(said, billed="maybe" if self.paid else "no")
                # Some local servers fail because of a field that they don't know, instead of refusing it.
                form = form or not self.paid
                return Failure(unavailable, not self.paid, wait, form=form, health=_health(wait))
            case _:
                return Failure(TierError(said), form=form)


def _health(wait: float | None) -> Health:
    """The health of an endpoint that answered 5xx. If it asks for a pause, it gets one."""
    return "ill" if wait is None else "dead"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
