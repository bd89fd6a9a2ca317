"""The local tier: GGUF models, each in a worker process of its own, decoded by our own loop over llama.cpp."""

from rung.tiers.llama.host.tier import LlamaTier, from_config

__all__ = ["LlamaTier", "from_config"]
