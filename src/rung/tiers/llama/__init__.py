"""The local tier: GGUF models, each in a worker process of its own, decoded by our own loop over llama.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rung.tiers.llama.host.kind import from_config
    from rung.tiers.llama.host.tier import LlamaTier

__all__ = ["LlamaTier", "from_config"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import the host's side when it is asked for: a worker, and the probe of a build, start without it."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        module = import_module(f"{__name__}.host.{'kind' if name == 'from_config' else 'tier'}")
        return getattr(module, name)
