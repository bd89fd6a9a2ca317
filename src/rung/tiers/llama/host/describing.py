"""What the answers of a local tier depend on besides its weights and the call."""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import PackageNotFoundError, version

from rung.tiers.llama.host.settings import LlamaSettings


def behaviour(settings: LlamaSettings) -> dict[str, str]:
    """What changes answers of the same weights.

    Args:
        settings: the tier's.
    """
    template = settings.chat_template
    return {
        "top_p": str(settings.top_p),
        "min_p": str(settings.min_p),
        "chat template": "the model's" if template is None else hashlib.sha256(template.encode()).hexdigest(),
        "thinking": "on" if settings.thinking else "off",
    }


def setup(settings: LlamaSettings) -> dict[str, str]:
    """What changes answers now and then, because sums are rounded in another order.

    Args:
        settings: the tier's.
    """
    return {
        "build": f"llama-cpp-python {_version()}",
        "gpu_layers": "auto" if settings.gpu_layers is None else str(settings.gpu_layers),
        "slots": "auto" if settings.slots is None else str(settings.slots),
    }


@functools.cache
def _version() -> str:
    try:
        return version("llama-cpp-python")
    except PackageNotFoundError:  # in a frozen app
        return "of an unknown version"
