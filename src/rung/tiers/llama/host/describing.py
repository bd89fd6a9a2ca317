"""What the answers of a local tier depend on besides its weights and the call."""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import PackageNotFoundError, version

from rung.types import Sampling


def behaviour(sampling: Sampling, template: str | None, *, thinking: bool) -> dict[str, str]:
    """What changes answers of the same weights.

    Args:
        sampling: the tier's own sampling, for calls that name none.
        template: the chat template; `None` is the model's.
        thinking: whether the model may think aloud.
    """
    return {
        "top_p": str(sampling.top_p),
        "min_p": str(sampling.min_p),
        "chat template": "the model's" if template is None else hashlib.sha256(template.encode()).hexdigest(),
        "thinking": "on" if thinking else "off",
    }


def setup(gpu_layers: int | None, slots: int | None) -> dict[str, str]:
    """What changes answers now and then, because sums are rounded in another order.

    Args:
        gpu_layers: number of layers that go to a GPU; `None` means as many as fit.
        slots: number of calls that are decoded together; `None` follows from memory.
    """
    return {
        "build": f"llama-cpp-python {_version()}",
        "gpu_layers": "auto" if gpu_layers is None else str(gpu_layers),
        "slots": "auto" if slots is None else str(slots),
    }


@functools.cache
def _version() -> str:
    try:
        return version("llama-cpp-python")
    except PackageNotFoundError:  # in a frozen app
        return "of an unknown version"
