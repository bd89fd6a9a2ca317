"""Which model answers, with which settings: everything that an answer depends on besides the call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from rung.errors import StoreError, TierUnavailable
from rung.limits import Cancel

_INDIFFERENT = {
    "llama": frozenset({"threads", "slots", "gpu_layers", "prefix_mib"}),
    "openai": frozenset(
        {
            *("api_key", "price", "zone", "leads_to", "stays_here", "proxy", "ca_bundle"),
            *("retries", "connect_seconds", "stall_seconds", "max_answer_bytes"),
        }
    ),
}
"""Settings of each kind of tier that don't change its answers. For other kinds every setting counts."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers.

    Args:
        digest: a hash of everything that its answers depend on.
        weights: sha256 of the model file, in hexadecimal; `None` for an endpoint.
        model: as the tier's table names it.
    """

    digest: str
    weights: str | None = None
    model: str | None = None


def identify(
    kind: str,
    settings: Mapping[str, Any],
    behaviour: Mapping[str, str] = MappingProxyType({}),
    *,
    report: Callable[[str], None] = lambda _: None,
    cancel: Cancel,
) -> Identity:
    """The identity of the tier that a table of settings describes. Loads no model and opens no connection.

    Args:
        kind: of the tier: `llama`, `openai`, or another package's.
        settings: its table, without the keys that the ladder uses.
        behaviour: what the tier says that its answers depend on, such as the content of a template's file.
        report: told about steps that take long: a model file that nothing pins is hashed.
        cancel: ends it.

    Raises:
        TierUnavailable: the model file isn't here, or can't be read.
        Cancelled: the flag was set.
    """
    kept = {key: value for key, value in settings.items() if key not in _INDIFFERENT.get(kind, ())}
    model, weights = settings.get("model"), None
    if kind == "llama" and isinstance(model, str):
        weights = _weights(model, report, cancel)
        kept["model"] = weights
    what = json.dumps([kind, kept, dict(behaviour)], sort_keys=True, default=str)
    return Identity(hashlib.sha256(what.encode()).hexdigest(), weights, model if isinstance(model, str) else None)


def _weights(model: str, report: Callable[[str], None], cancel: Cancel) -> str:
    from rung.sizes import readable
    from rung.store import resolve
    from rung.store.layout import sha256_of

    try:
        file = resolve(model)
        if file.sha256 is not None:
            return file.sha256
        report(f"hashing {readable(file.size)} of {model}")
        return sha256_of(file.path, cancel=cancel, report=lambda _: None)
    except StoreError as error:
        raise TierUnavailable(error.message, hint=error.hint) from error
    except OSError as error:
        raise TierUnavailable(f"the file of {model!r} can't be read: {error.strerror or error}") from None
