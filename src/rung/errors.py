"""The exception tree.

    RungError
    ├── ConfigError                      a setting is unknown, malformed or not allowed
    ├── ContractError                    a schema, type or validator can't be used
    ├── Unsupported                      a tier can't take this call
    ├── BudgetExceeded                   a reservation would pass the budget
    │   └── QuotaExceeded                of one of those who share it
    ├── StoreError                       a model file can't be had
    │   ├── ModelNotFound  (FileNotFoundError)
    │   ├── ChecksumMismatch
    │   ├── LicenceNotAccepted
    │   └── MalformedModel
    ├── LedgerError                      the ledger can't be read or written
    ├── TierError                        an attempt that failed; the engine turns it into an `Attempt`
    │   ├── TierUnavailable
    │   ├── TierTimeout  (TimeoutError)
    │   │   └── TierStalled              given up before the deadline, for another tier's sake
    │   ├── TierCrashed
    │   ├── PromptTooLong
    │   └── RateLimited
    ├── Offline  (ConnectionError)       the reach forbids this connection
    ├── Cancelled                        the caller asked to stop
    └── Unresolved                       no tier gave an answer that passed validation (in `rung.types`: it holds one)

Errors that are also builtins are caught by ordinary handlers. No message holds a prompt, an answer or a key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path

Billed = Literal["no", "maybe", "yes"]


class RungError(Exception):
    """Base of every error that rung raises on purpose.

    Args:
        message: what happened, and to what. One clause, no final stop.
        hint: the command or setting that helps, as an imperative clause; empty if nothing helps.

    For an error that ends an attempt, `sent` tells whether the prompt was handed over before. It is `False` only if it
    is certain that no part of it left, for example because nobody accepted the connection.
    """

    sent: bool = True

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        # The class isn't called again: some exceptions take other arguments than they store.
        return _restored, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


def _restored(kind: type[RungError], args: tuple[Any, ...], state: dict[str, Any]) -> RungError:
    """An error that is read from a pickle."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(RungError):
    """A setting is unknown, malformed, or not allowed in its place.

    Args:
        message: which setting, and what is wrong with it.
        hint: what would be right.
        unknown_key: the unknown key as it was written; empty if something else is wrong.
    """

    def __init__(self, message: str, *, hint: str = "", unknown_key: str = "") -> None:
        super().__init__(message, hint=hint)
        self.unknown_key = unknown_key


class ContractError(RungError):
    """What the answer must be can't be expressed or checked: a bad schema, type, or validator."""


class Unsupported(RungError):
    """A tier can't take this call, for example an image on a text model."""


class BudgetExceeded(RungError):
    """A reservation would pass the budget; nothing was reserved.

    Args:
        message: which budget, and by how much.
        left: US dollars that a smaller reservation could still get; `None` if nobody knows.
        hint: the setting that would allow it.
    """

    def __init__(self, message: str, *, left: Decimal | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.left = left


class QuotaExceeded(BudgetExceeded):
    """A reservation would pass what one holder of a shared purse may spend; nothing was reserved."""


class StoreError(RungError):
    """A model file can't be read, fetched or written.

    `fault` says what is wrong with one file, in a clause without the file's name. It is empty if the error is not about
    one file.
    """

    fault: str = ""

    @classmethod
    def of_file(cls, path: Path, fault: str, *, hint: str = "") -> Self:
        """The error about one file.

        Args:
            path: the file.
            fault: what is wrong with it, as a clause whose subject is the file.
            hint: the command or setting that helps.
        """
        error = cls(f"{path} {fault}", hint=hint)
        error.fault = fault
        return error


class ModelNotFound(StoreError, FileNotFoundError):
    """No such model, or its file is not on this machine."""


class ChecksumMismatch(StoreError):
    """The bytes of a file are not the ones that its catalogue entry pins."""


class LicenceNotAccepted(StoreError):
    """A file's licence asks for acceptance, and nobody has accepted it."""


class MalformedModel(StoreError):
    """A file is not a model: its header is cut off, has another format, or contradicts itself."""


class LedgerError(RungError):
    """The ledger's file can't be read or written, or doesn't belong to this version."""


@dataclass(frozen=True, slots=True)
class Said:
    """An endpoint's own words about what is wrong, for a person who asks for them.

    They may repeat the prompt, so no message, `repr`, log or ledger holds them.
    """

    text: str = field(repr=False)


class TierError(RungError):
    """An attempt failed before it gave an answer. The engine records it and falls back to the next tier.

    Args:
        message: what happened, without any of the prompt.
        hint: the command or setting that helps.
        billed: whether the endpoint may have charged for the failed attempt. The default is `no`, and `maybe` for
            errors in the middle of a call (`TierTimeout`, `TierCrashed`).

    `said` holds the endpoint's own words, if it said anything.
    """

    _billed: Billed = "no"
    said: Said | None = None

    def __init__(self, message: str, *, hint: str = "", billed: Billed | None = None) -> None:
        super().__init__(message, hint=hint)
        self.billed: Billed = billed or self._billed


class TierUnavailable(TierError):
    """The tier can't serve now: nobody listens, the file can't be loaded, memory is short."""


class TierTimeout(TierError, TimeoutError):
    """The deadline passed while the tier was working."""

    _billed = "maybe"


class TierStalled(TierTimeout):
    """The tier was given up before the deadline, so that another one can still answer.

    Args:
        message: what happened.
        silent: seconds without progress.
        hint: the setting that gives the tier longer.
        billed: whether the endpoint may have charged for the attempt.
    """

    def __init__(self, message: str, *, silent: float, hint: str = "", billed: Billed | None = None) -> None:
        super().__init__(message, hint=hint, billed=billed)
        self.silent = silent


class TierCrashed(TierError):
    """The tier's process died or its stream broke off."""

    _billed = "maybe"


class PromptTooLong(TierError):
    """The prompt doesn't fit the tier's context.

    Args:
        input_tokens: length of the rendered prompt, in tokens of this tier's model.
        context: the tier's context, in tokens.
        at_least: whether the tokens were not counted, because so many bytes can't be fewer tokens.
        hint: the setting that would make the prompt fit.
        whose: a clause that says what most of the tokens are for, if that isn't what the caller wrote.
    """

    def __init__(
        self, input_tokens: int, context: int, *, at_least: bool = False, hint: str = "", whose: str = ""
    ) -> None:
        tokens = f"{'at least ' if at_least else ''}{input_tokens:,} tokens"
        takes = f"the prompt takes {tokens} and the context holds {context:,}, the answer included"
        super().__init__(f"{takes}; {whose}" if whose else takes, hint=hint)
        self.input_tokens = input_tokens
        self.context = context
        self.at_least = at_least


class RateLimited(TierError):
    """The endpoint refuses more requests for now.

    Args:
        message: what happened.
        retry_after: seconds that the endpoint asked to wait; `None` if it didn't say.
        hint: the command or setting that helps.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Offline(RungError, ConnectionError):
    """A connection or a name look-up that is forbidden by the reach in force."""


class Cancelled(RungError):
    """The caller cancelled; nothing was escalated."""
