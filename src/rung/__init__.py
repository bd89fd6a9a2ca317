"""rung: answers a prompt on the smallest local model that can, and climbs only when the answer fails validation."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rung import checks, deferral, errors
    from rung.consent import Consent, always, never
    from rung.errors import (
        BudgetExceeded,
        Cancelled,
        ChecksumMismatch,
        ConfigError,
        ContractError,
        LedgerError,
        LicenceNotAccepted,
        MalformedModel,
        ModelNotFound,
        Offline,
        PromptTooLong,
        RateLimited,
        RungError,
        StoreError,
        TierCrashed,
        TierError,
        TierStalled,
        TierTimeout,
        TierUnavailable,
        Unsupported,
    )
    from rung.ladder import Ladder, Shadow
    from rung.ledger import Ledger
    from rung.limits import Budget, Cancel, Deadline
    from rung.money import MemoryPurse, Purse, Reservation
    from rung.redaction import redact
    from rung.tier import Quotes, Rung, Tier, Travels, Warms
    from rung.tiers.llama import LlamaTier
    from rung.tiers.openai import OpenAITier
    from rung.types import (
        Accepted,
        Attempt,
        AttemptEnded,
        AttemptStarted,
        Call,
        Candidate,
        CheckContext,
        Delta,
        Event,
        Finished,
        Hop,
        Image,
        Issue,
        IssueCode,
        Message,
        Outcome,
        Price,
        Provisional,
        Quote,
        Reason,
        Request,
        Sampling,
        Score,
        Shadowed,
        Shape,
        Text,
        Threshold,
        Token,
        ToolCall,
        Unresolved,
        Usage,
        Validation,
        Verdict,
        Withdrawn,
        Zone,
    )

__version__ = "0.1.0"

_MODULES = ("checks", "deferral", "errors")
_ROOMS = (
    "rung.errors",
    "rung.limits",
    "rung.types",
    "rung.redaction",
    "rung.tier",
    "rung.money",
    "rung.consent",
    "rung.ladder",
    "rung.ledger",
)
"""Where the other names live, from the bottom up: a room imports those before it anyway, so that looking through
them in this order loads nothing in vain."""

if not TYPE_CHECKING:
    # Type checkers would take it for leave to use any name; they read the imports above.
    def __getattr__(name: str) -> Any:
        """Import a name's room when the name is first asked for: `rung --help` needs none of them."""
        from importlib import import_module

        if name in _MODULES:
            return import_module(f"rung.{name}")
        if name in __all__:
            for room in map(import_module, _ROOMS):
                if hasattr(room, name):
                    value = globals()[name] = getattr(room, name)
                    return value
        raise AttributeError(f"module 'rung' has no attribute {name!r}", name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def llama(model: str, **settings: Any) -> LlamaTier:
    """A local model as a tier. Nothing is loaded before its first call.

    Args:
        model: a catalogue name, a path to a GGUF file, or `hf:owner/repo/file.gguf@revision`.
        settings: as `rung.tiers.llama.LlamaTier` takes them.
    """
    from rung.tiers.llama import LlamaTier

    return LlamaTier(model, **settings)


def openai(model: str, **settings: Any) -> OpenAITier:
    """An OpenAI-compatible endpoint as a tier: a paid API, a server on the LAN, or one on this machine.

    Args:
        model: as the endpoint calls it.
        settings: as `rung.tiers.openai.OpenAITier` takes them.
    """
    from rung.tiers.openai import OpenAITier

    return OpenAITier(model, **settings)


def load(path: str | os.PathLike[str] | None = None) -> Ladder:
    """The ladder of a `rung.toml`.

    Args:
        path: the file; naming it is trusting it. `None` looks where `rung ask` looks.

    Raises:
        ConfigError: the file is missing or wrong, or not trusted.
    """
    from rung import checking
    from rung.config import load as read

    if path is not None:
        checking.instance("path", path, (str, os.PathLike), "the path of a file")
    return read(path).ladder()


def ask() -> Consent:
    """Consent of the person at the terminal: told which tier, which host, what is sent and what it costs at most.

    Each call gives one that remembers "always in this session" for as long as it is kept; hand it to
    `Ladder(consent=rung.ask())`. Without a terminal it refuses.
    """
    from rung.consent.person import Nobody, terminal

    return terminal() or Nobody()


__all__ = [
    "Accepted",
    "Attempt",
    "AttemptEnded",
    "AttemptStarted",
    "Budget",
    "BudgetExceeded",
    "Call",
    "Cancel",
    "Cancelled",
    "Candidate",
    "CheckContext",
    "ChecksumMismatch",
    "ConfigError",
    "ContractError",
    "Deadline",
    "Delta",
    "Event",
    "Finished",
    "Hop",
    "Image",
    "Issue",
    "IssueCode",
    "Ladder",
    "Ledger",
    "LedgerError",
    "LicenceNotAccepted",
    "MalformedModel",
    "MemoryPurse",
    "Message",
    "ModelNotFound",
    "Offline",
    "Outcome",
    "Price",
    "PromptTooLong",
    "Provisional",
    "Purse",
    "Quote",
    "Quotes",
    "RateLimited",
    "Reason",
    "Request",
    "Reservation",
    "Rung",
    "RungError",
    "Sampling",
    "Score",
    "Shadow",
    "Shadowed",
    "Shape",
    "StoreError",
    "Text",
    "Threshold",
    "Tier",
    "TierCrashed",
    "TierError",
    "TierStalled",
    "TierTimeout",
    "TierUnavailable",
    "Token",
    "ToolCall",
    "Travels",
    "Unresolved",
    "Unsupported",
    "Usage",
    "Validation",
    "Verdict",
    "Warms",
    "Withdrawn",
    "Zone",
    "always",
    "ask",
    "checks",
    "deferral",
    "errors",
    "llama",
    "load",
    "never",
    "openai",
    "redact",
]
