"""Waiting for somebody else's code without being held up by it."""

from __future__ import annotations

import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from rung.errors import Cancelled, ContractError
from rung.limits import Cancel, Deadline

T = TypeVar("T")

Awaiter = Callable[[Awaitable[Any]], Any]
"""Waits for an awaitable on behalf of synchronous code."""


def refuse_to_await(awaitable: Awaitable[Any]) -> Any:
    """The awaiter of synchronous runs.

    Raises:
        ContractError: always.
    """
    if inspect.iscoroutine(awaitable):
        awaitable.close()
    raise ContractError(
        "an async validator or consent can't be awaited here", hint="call arun or astream instead of run"
    )


class Abandoned(Exception):
    """The deadline passed first. The thread goes on by itself, and nobody looks at its result."""


class _Result(Generic[T]):
    def __init__(self) -> None:
        self.ready = threading.Event()
        self.value: T
        self.error: BaseException | None = None


def run(function: Callable[[], T], deadline: Deadline, cancel: Cancel) -> T:
    """Call `function` on a thread of its own, and wait for it only as long as somebody wants the result.

    Args:
        function: takes no arguments. It runs in a copy of the caller's context variables.
        deadline: when to stop waiting.
        cancel: ends the wait at once.

    Raises:
        Abandoned: the deadline passed.
        Cancelled: the flag was set.
        BaseException: whatever `function` raises.
    """
    result: _Result[T] = _Result()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            result.value = context.run(function)
        except BaseException as error:  # noqa: BLE001  raised on the waiting thread
            result.error = error
        result.ready.set()

    forget = cancel.on_set(result.ready.set)
    try:
        threading.Thread(target=work, name="rung-call", daemon=True).start()
        result.ready.wait(deadline.remaining())
    finally:
        forget()
    if result.error is not None:
        raise result.error
    if hasattr(result, "value"):
        return result.value
    if cancel.is_set():
        raise Cancelled("the caller cancelled")
    raise Abandoned
