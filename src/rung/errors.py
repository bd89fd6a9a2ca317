"""The exception tree.

    RungError
    ├── ConfigError                      a setting is unknown, malformed or not allowed
    ├── ContractError                    a schema, type or validator can't be used
    ├── Unsupported                      a tier can't take this call
    ├── BudgetExceeded                   a reservation would pass the budget
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
        hint: the command or setting that mends it, as an imperative clause; empty where nothing does.

    Of an error that ends an attempt, `sent` says whether the prompt was handed over before: `False` only where it is
    certain that nothing of it left, for example because nobody took the connection.
    """

    sent: bool = True

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by calling the class again: what some classes are made of is not what they keep.
        return _restored, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


def _restored(kind: type[RungError], args: tuple[Any, ...], state: dict[str, Any]) -> RungError:
    """An error that comes out of a pickle."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(RungError):
    """A setting is unknown, malformed, or not allowed where it stands.

    Args:
        message: which setting, and what is wrong with it.
        hint: what would be right.
        unknown_key: the key that nobody knows, as it was written; empty where something else is wrong.
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
        left: US dollars that a smaller reservation could still have; `None` where nobody knows.
        hint: the setting that would allow it.
    """

    def __init__(self, message: str, *, left: Decimal | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.left = left


class StoreError(RungError):
    """A model file can't be read, fetched or written.

    `fault` is what is wrong with one file, in a clause without its name; empty where the error is not about one file.
    """

    fault: str = ""

    @classmethod
    def of_file(cls, path: Path, fault: str, *, hint: str = "") -> Self:
        """The error of one file.

        Args:
            path: the file.
            fault: what is wrong with it, as a clause whose subject is the file.
            hint: the command or setting that mends it.
        """
        error = cls(f"{path} {fault}", hint=hint)
        error.fault = fault
        return error


class ModelNotFound(StoreError, FileNotFoundError):
    """No such model, or its file is not on this machine."""


class ChecksumMismatch(StoreError):
    """A file's bytes are not the ones that its catalogue entry pins."""


class LicenceNotAccepted(StoreError):
    """A file has a licence that asks for acceptance, and nobody has accepted it."""


class MalformedModel(StoreError):
    """A file is not a model: its header is cut off, is of another format, or contradicts itself."""


class LedgerError(RungError):
    """The ledger's file can't be read or written, or is none of this version's."""


@dataclass(frozen=True, slots=True)
class Said:
    """An endpoint's own words about what is wrong, for a person who asks for them.

    They may repeat the prompt, so they are in no message, no `repr`, no log and no ledger.
    """

    text: str = field(repr=False)


class TierError(RungError):
    """An attempt failed before it gave an answer. The engine records it and falls back to the next tier.

    Args:
        message: what happened, without any of the prompt.
        hint: the command or setting that mends it.
        billed: whether the endpoint may have charged for the failed attempt; by default `no`, and `maybe` for what
            breaks off in the middle (`TierTimeout`, `TierCrashed`).

    `said` is what the endpoint itself said, where it did.
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
    """The tier was given up before the deadline, so that another one still can answer.

    Args:
        message: what happened.
        silent: seconds for which it had shown no progress.
        hint: the setting that gives it longer.
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
        at_least: whether nobody counted the tokens, since so many bytes can't be fewer.
        hint: the setting that would make it fit.
        whose: a clause that says what most of the tokens are for, where that isn't what the caller wrote.
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
        retry_after: seconds that the endpoint asked to wait; `None` where it didn't say.
        hint: the command or setting that mends it.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Offline(RungError, ConnectionError):
    """A connection or a name look-up that the reach in force forbids."""


class Cancelled(RungError):
    """The caller cancelled; nothing was escalated."""
