"""rung: answers a prompt on the smallest local model that can, and climbs only when the answer fails validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rung import checks, errors
from rung.errors import (
    BudgetExceeded,
    Cancelled,
    ChecksumMismatch,
    ConfigError,
    ContractError,
    ModelNotFound,
    Offline,
    PromptTooLong,
    RateLimited,
    RungError,
    StoreError,
    TierCrashed,
    TierError,
    TierTimeout,
    TierUnavailable,
    Unresolved,
    Unsupported,
)
from rung.ladder import Ladder, always, never
from rung.limits import Budget, Cancel, Deadline, MemoryPurse, Price, Purse, Reservation
from rung.redaction import redact
from rung.tier import Quotes, Rung, Tier, Travels, Warms
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
    Message,
    Outcome,
    Provisional,
    Quote,
    Request,
    Sampling,
    Shape,
    Text,
    Token,
    ToolCall,
    Usage,
    Validation,
    Verdict,
    Withdrawn,
    Zone,
)

if TYPE_CHECKING:
    from rung.engine import Consent
    from rung.tiers.llama import LlamaTier
    from rung.tiers.openai import OpenAITier

__version__ = "0.1.0"


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


def ask() -> Consent:
    """Consent of the person at the terminal: told which tier, which host, what is sent and what it costs at most.

    Each call gives one that remembers "always in this session" for as long as it is kept; hand it to
    `Ladder(consent=rung.ask())`. Without a terminal it refuses.
    """
    from rung.cli.consent import Nobody, terminal

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
    "Ladder",
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
    "Request",
    "Reservation",
    "Rung",
    "RungError",
    "Sampling",
    "Shape",
    "StoreError",
    "Text",
    "Tier",
    "TierCrashed",
    "TierError",
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
    "errors",
    "llama",
    "never",
    "openai",
    "redact",
]
