"""What identifies a job: hashes of everything its answers depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from rung.batch.intake import Shard
from rung.contract import Contract
from rung.ladder import Ladder


def fingerprint(
    contract: Contract[Any],
    prompt: Mapping[str, Any],
    ladder: Ladder,
    identities: Mapping[str, str],
    limits: Mapping[str, Any],
    shard: Shard | None,
) -> dict[str, str]:
    """The hashes. Each key says what is hashed, in the words of an error message.

    Args:
        contract: what answers must satisfy.
        prompt: how prompts and ids are made: column, template, task, system turn.
        ladder: its tiers. Reach and budgets are left out, because they may be raised in the middle of a job.
        identities: of the tiers, by name.
        limits: other options that change answers.
        shard: the share of the rows.
    """
    tiers = [
        [
            rung.tier.name,
            identities.get(rung.tier.name),
            rung.most_repairs,
            rung.min_confidence,
            rung.feedback,
            rung.max_tokens,
        ]
        for rung in ladder.rungs
    ]
    found = {
        "the contract": contract.sha256,
        "the prompt": prompt,
        "the tiers": tiers,
        "the limits of an answer": limits,
        "the shard": None if shard is None else str(shard),
    }
    return {what: _hash(value) for what, value in found.items()}


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:32]
