"""Between the ladder, which waits for models, and the window, which must never wait.

Every request runs on a thread of its own. What happens there reaches the window as Qt signals, which Qt delivers on the
window's thread.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import psutil
from pydantic import BaseModel, Field
from PySide6.QtCore import QObject, Signal

import rung


class Invoice(BaseModel):
    """What is read from an invoice."""

    vendor: str = Field(max_length=80)
    number: str = Field(max_length=40)
    date: date
    total: Decimal = Field(ge=0, max_digits=12, decimal_places=2)
    currency: Literal["EUR", "USD", "GBP", "CHF", "JPY"]


class Answer:
    """A person's answer to a dialogue, for the thread that waits for it."""

    def __init__(self) -> None:
        self.closed = False
        self._said = threading.Event()
        self._yes = False

    def give(self, yes: bool) -> None:
        """Let the waiting thread go on."""
        self._yes = yes
        self._said.set()

    def wait(self, cancel: rung.Cancel) -> bool:
        """Wait for the person, or for Stop, which means no."""
        forget = cancel.on_set(lambda: self.give(False))
        self._said.wait()
        forget()
        return self._yes


class Asker(QObject):
    """Asks the ladder on threads, and tells the window what happens.

    Args:
        make: makes the ladder of a consent.
        on_battery: whether this computer runs on its battery.
    """

    happened = Signal(object)  # every rung.Event of a request
    prepared = Signal()
    failed = Signal(object)  # the RungError that a preparation ended with
    consent_wanted = Signal(object, object)  # rung.Hop, Answer

    def __init__(
        self, make: Callable[[rung.Consent], rung.Ladder], on_battery: Callable[[], bool] | None = None
    ) -> None:
        super().__init__()
        self.ladder = make(self._consent)
        self.on_battery = on_battery or _on_battery
        self.missing: list[rung.Requirement] = []
        self._cancel = rung.Cancel()
        self.look()

    def look(self) -> None:
        """See which models are not on this computer. It reads files, so it is not done while a person types."""
        self.missing = [it for it in self.ladder.requirements() if it.path is None]

    def prepare(self, *, accept: bool = False) -> None:
        """Fetch what is missing and load the first model. Calling it is the person's yes to the download.

        Args:
            accept: whether the person has accepted the licences that ask for it.
        """
        cancel = self._cancel = rung.Cancel()
        if accept:
            names = {it.model for it in self.missing}
            for it in rung.store.models():
                if it.model.name in names:
                    rung.store.accept(it.model)

        def work() -> None:
            try:
                self.ladder.prepare(self.happened.emit, cancel=cancel, verify=False)
                self.look()
                self.prepared.emit()
            except rung.RungError as error:
                self.look()
                self.failed.emit(error)

        threading.Thread(target=work, name="prepare", daemon=True).start()

    def ask(self, text: str, *, online: bool) -> None:
        """Read an invoice.

        Args:
            text: the invoice.
            online: whether the paid service may be asked; each time the person is asked first.
        """
        cancel = self._cancel = rung.Cancel()
        reach = rung.Zone.INTERNET if online else rung.Zone.HOST

        def work() -> None:
            prompt = f"Read the fields of this invoice.\n\n{text}"
            for event in self.ladder.stream(
                prompt, Invoice, reach=reach, cancel=cancel, provisional=True, max_tokens=200, timeout=300
            ):
                if isinstance(event, rung.AttemptEnded) and isinstance(event.attempt.error, rung.TierUnavailable):
                    self.look()  # its file may be gone
                self.happened.emit(event)

        threading.Thread(target=work, name="ask", daemon=True).start()

    def stop(self) -> None:
        """Stop what is under way, at once."""
        self._cancel.set()

    def close(self) -> None:
        """End everything: requests, and the models' workers."""
        self.stop()
        self.ladder.close()

    def _consent(self, hop: rung.Hop) -> bool:
        """Asked by rung on the request's thread, which waits here while the window shows the dialogue."""
        answer = Answer()
        self.consent_wanted.emit(hop, answer)
        return answer.wait(self._cancel)


def _on_battery() -> bool:
    battery = psutil.sensors_battery()
    return battery is not None and not battery.power_plugged


def confidence(attempt: rung.Attempt, name: str) -> float | None:
    """How sure the model was of a field: the probability of its least sure token, which is not calibrated."""
    score: Any = attempt.candidate.fields.get(name) if attempt.candidate is not None else None
    if score is None:
        return None
    least = score.minimum if score.allowed_minimum is None else score.allowed_minimum
    return math.exp(least)
