"""The local tier: GGUF models, each in a worker process of its own, decoded by our own loop over llama.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rung.lazily import lazily

if TYPE_CHECKING:
    from rung.tiers.llama.host.kind import from_config
    from rung.tiers.llama.host.tier import LlamaTier

__all__ = ["LlamaTier", "from_config"]

if not TYPE_CHECKING:
    # a worker, and the probe of a build, start without the host's side
    __getattr__ = lazily(__name__, {"host.kind": ("from_config",), "host.tier": ("LlamaTier",)})
