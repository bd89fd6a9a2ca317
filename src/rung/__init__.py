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
        QuotaExceeded,
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
        Preparing,
        Price,
        Provisional,
        Quote,
        Reason,
        Request,
        Requirement,
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
"""Modules that hold the other names, from the bottom up. A module imports those before it anyway, so looking through
them in this order loads nothing in vain.
"""

if not TYPE_CHECKING:
    # Type checkers would take `__getattr__` as leave to use any name. They read the imports above.
    def __getattr__(name: str) -> Any:
        """Import a name's module when the name is first used: `rung --help` needs none of them."""
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

        tier = rung.llama("smollm2-135m", context=4096, threads=2)
        tier.name  # smollm2-135m

    Args:
        model: a catalogue name, a path to a GGUF file, or `hf:owner/repo/file.gguf@revision`.
        settings: the keys of a `[[tier]]` of the kind `llama` (docs/configuration.md), for example `context=8192`; the
            tier's `name`, and `python`, the interpreter of its worker.
    """
    from rung.tiers.llama import LlamaTier

    return LlamaTier(model, **settings)


def openai(model: str, **settings: Any) -> OpenAITier:
    """An OpenAI-compatible endpoint as a tier: a paid API, a server on the LAN, or one on this machine.

        tier = rung.openai("qwen2.5-coder:1.5b", base_url="http://127.0.0.1:11434/v1", stays_here=True)
        tier.zone  # host

    Args:
        model: the endpoint's name for the model.
        settings: the keys of a `[[tier]]` of the kind `openai` (docs/configuration.md), for example `price`; the
            tier's `name`, and the `seed` of the jitter between retries.
    """
    from rung.tiers.openai import OpenAITier

    return OpenAITier(model, **settings)


def load(path: str | os.PathLike[str] | None = None) -> Ladder:
    """The ladder that a `rung.toml` describes.

        with rung.load("rung.toml") as ladder:
            outcome = ladder.run("Is water wet?", ["yes", "no"], timeout=20)

    Args:
        path: the file. Naming it means trusting it. `None` looks where `rung ask` looks.

    Raises:
        ConfigError: the file is missing or wrong, or not trusted.
    """
    from rung import checking
    from rung.config import load as read

    if path is not None:
        checking.instance("path", path, (str, os.PathLike), "the path of a file")
    return read(path).ladder()


def home(path: str | os.PathLike[str]) -> None:
    """Keep everything in an app's own folder: models, ledger, trusted files, caches, and the user's `rung.toml`.

        rung.home("app-data")
        rung.store.user_store().root.parts[-2:]  # ('app-data', 'models')

    Call it before anything else of rung. Without it an app shares all that with the `rung` command and with other apps
    of the same user. The variables `RUNG_MODELS_DIR`, `RUNG_LEDGER` and `RUNG_CONFIG` move nothing then. Only workers'
    claims on memory stay where every program of this user finds them.

    Args:
        path: the folder, for example the one that `platformdirs.user_data_path("my-app")` names. It is made when
            something is stored.

    Raises:
        ConfigError: rung has already looked into another folder.
    """
    from pathlib import Path

    from rung import checking, paths

    checking.instance("path", path, (str, os.PathLike), "the path of a folder")
    paths.home(Path(path).absolute())


def freeze_support(*, end_with_launcher: bool = False) -> None:
    """Let a frozen app run local models. Call it first in the app's main script, right after its imports.

        rung.freeze_support()  # None

    A local model runs in a worker process. A frozen app has no Python to start for it, so it starts itself again, and
    this call makes that second process the worker. In an app that isn't frozen it does nothing. See docs/apps.md.

    Args:
        end_with_launcher: an app that PyInstaller made one file of is two processes, and the first has only unpacked
            it. If that one is killed, the app goes on by itself, and its unpacked files stay behind. With this it gets
            SIGTERM, ends a second later, and the files are removed. Not on Windows.
    """
    from rung import frozen

    frozen.freeze_support(end_with_launcher=end_with_launcher)


def ask() -> Consent:
    """Consent of the person at the terminal, who is told which tier and host, what is sent and what it costs at most.

        ladder = rung.Ladder(small, paid, reach=rung.Zone.INTERNET, consent=rung.ask())
        ladder.run("Is water wet?").left_machine  # False

    Each call returns a consent that remembers "always in this session" for as long as it is kept. Hand it to
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
    "Preparing",
    "Price",
    "PromptTooLong",
    "Provisional",
    "Purse",
    "QuotaExceeded",
    "Quote",
    "Quotes",
    "RateLimited",
    "Reason",
    "Request",
    "Requirement",
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
    "freeze_support",
    "home",
    "llama",
    "load",
    "never",
    "openai",
    "redact",
]
