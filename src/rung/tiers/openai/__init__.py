"""The tier for OpenAI-compatible endpoints. Importing it doesn't import the SDK."""

from rung.tiers.openai.secret import Env
from rung.tiers.openai.tier import OpenAITier, from_config

__all__ = ["Env", "OpenAITier", "from_config"]
