"""A call's line to the worker. It waits for the call's frames, and only as long as somebody wants them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty
from types import TracebackType
from typing import Self

from rung.errors import Cancelled, PromptTooLong, TierError, TierTimeout, TierUnavailable, Unsupported
from rung.limits import Cancel, Deadline
from rung.tiers.llama import frames
from rung.tiers.llama.host.process import LoadGetsOn, Mailbox, Wake, WorkerEnded, worker_of
from rung.tiers.llama.host.sharing import Lease


class WorkerRequest:
    """One request, from its frame to the last answer. It is a context manager: leaving it early drops the request.

    If a worker is given up before it heard the request, that isn't the request's fault, so it is asked once more.

    Args:
        tier: name of the tier, for errors.
        connect: opens a request with the worker, which it starts if need be.
        request: makes the request's frame from its id.
        deadline: when to stop waiting.
        cancel: ends the wait at once.
    """

    def __init__(
        self,
        tier: str,
        connect: Callable[[], tuple[Lease, int, Mailbox]],
        request: Callable[[int], frames.Ask | frames.Count | frames.Ready],
        deadline: Deadline,
        cancel: Cancel,
    ) -> None:
        self._tier = tier
        self._connect = connect
        self._request = request
        self._deadline = deadline
        self._cancel = cancel
        self._over = False
        self._heard = False
        self._asked = 0

    def __enter__(self) -> Self:
        self._ask()
        return self

    def _ask(self) -> None:
        self._lease, self._id, self._mailbox = self._connect()
        self._over = False
        self._asked += 1
        self._opened = time.monotonic()
        mailbox = self._mailbox
        self._forget = self._cancel.on_set(lambda: mailbox.put(Wake()))
        self._lease.send(self._request(self._id))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()
        self._lease.forget(self._id)
        if not self._over:
            self._lease.send(frames.Drop(self._id))

    @property
    def load_seconds(self) -> float:
        """Seconds that this request had to wait for the model to be loaded."""
        return self._lease.process.loading(self._opened)

    def finish(self) -> None:
        """The last frame has come, so nothing is left to drop."""
        self._over = True

    def receive(self) -> frames.Frame | LoadGetsOn:
        """The next frame or, while the model is loaded, how far that is.

        Raises:
            Cancelled: the flag was set.
            TierTimeout: the deadline passed.
            TierCrashed: the worker died.
            TierUnavailable: the model can't be loaded, or the tier was closed.
            TierError: the worker failed at this request, and is still alive.
            PromptTooLong: no room is left for an answer.
            Unsupported: the model's chat template doesn't take the conversation.
        """
        while True:
            if self._cancel.is_set():
                raise Cancelled("the caller cancelled")
            remaining = self._deadline.remaining()
            if remaining == 0.0:
                raise TierTimeout(
                    f"tier {self._tier!r} was still at work at the deadline", hint="allow it more seconds"
                )
            try:
                mail = self._mailbox.get(timeout=None if remaining is None else min(remaining, threading.TIMEOUT_MAX))
            except Empty:
                continue
            if isinstance(mail, WorkerEnded):
                self._over = True
                if not self._heard and self._asked == 1 and self._opened > mail.anew:
                    self._forget()
                    self._lease.forget(self._id)
                    self._ask()
                    continue
                # One instance serves every caller, and a raised exception carries a traceback. The worker is called
                # after the tier that started it, which this one may share it with.
                message = mail.error.message.replace(self._lease.process.name, worker_of(self._tier), 1)
                raise type(mail.error)(message, hint=mail.error.hint)
            if isinstance(mail, frames.Failed):
                self._over = True
                raise _error(mail)
            if not isinstance(mail, Wake):
                self._heard = self._heard or not isinstance(mail, LoadGetsOn)
                return mail


def _error(failed: frames.Failed) -> TierError | Unsupported:
    if failed.error == "too_long":
        hint = "shorten the prompt" if failed.at_least else "raise the tier's context"
        return PromptTooLong(failed.input_tokens, failed.context, at_least=failed.at_least, hint=hint)
    if failed.error == "unsupported":
        return Unsupported(failed.message, hint=failed.hint)
    kind = TierUnavailable if failed.error == "unavailable" else TierError
    return kind(failed.message, hint=failed.hint)
