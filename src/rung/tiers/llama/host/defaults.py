"""How sure a model has to be where nobody calibrated it, by kind of contract and family of model.

The figures come from recorded answers of SmolLM2-135M and Qwen2.5-Coder-0.5B, each before Qwen2.5-Coder-1.5B, to public
sets and two small ones of our own (`scripts/record_outputs.py`, 2026-11-26; 95 rows of the development sets). A
threshold is the least probability, in steps of 0.05, above which no answer of a development set differed from the
1.5B's. So few rows can't show 3 in 100, and with a few rows of each kind the kinds of a family share the strictest
figure. Where no answer stayed above it, no answer is believed. `scripts/bench_default_threshold.py` prints both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rung.types import Shape, Threshold

Kind = Literal["choice", "object", "scalar"]

ORIGIN = "default threshold (public data, not yours)"


FEATURES: Mapping[Kind, str] = {"choice": "allowed_minimum", "object": "allowed_minimum", "scalar": "allowed_minimum"}
"""The feature that is compared with the threshold: the least sure token among what the shape allowed. It depends
neither on the answer's length nor on what the model would rather have written."""


@dataclass(frozen=True, slots=True)
class Family:
    """Models that share one measurement.

    Args:
        architecture: llama.cpp's name for the kind of network; `None` means any.
        least: smallest number of weights.
        below: number of weights that all of them stay below.
        probability: by kind of contract, the least probability of the least sure token; 1 believes no answer.
    """

    architecture: str | None
    least: int
    below: int
    probability: Mapping[Kind, float]


FAMILIES: tuple[Family, ...] = (
    # SmolLM2-135M. None of its answers above a threshold agreed with the 1.5B's, so no model of that size is believed.
    Family(None, 0, 300_000_000, {"choice": 1.0, "object": 1.0, "scalar": 1.0}),
    # Qwen2.5-Coder-0.5B. Its file holds 630 million weights, because it has the embedding twice.
    Family("qwen2", 300_000_000, 1_000_000_000, {"choice": 0.8, "object": 0.8, "scalar": 0.8}),
)
UNMEASURED: Mapping[Kind, float] = {"choice": 0.9, "object": 0.9, "scalar": 0.9}
"""For models that were never measured. This is stricter than for any that were measured and are believed at all."""


def default_threshold(architecture: str, parameters: int, shape: Shape) -> Threshold:
    """The threshold of a model for answers of a shape.

    Args:
        architecture: llama.cpp's name for the kind of network.
        parameters: its number of weights.
        shape: shape of the answer.
    """
    return threshold_of(architecture, parameters, kind_of(shape))


def threshold_of(architecture: str, parameters: int, kind: Kind) -> Threshold:
    """The threshold of a model for a kind of contract.

    Args:
        architecture: llama.cpp's name for the kind of network.
        parameters: its number of weights.
        kind: kind of contract.
    """
    alike = (f for f in FAMILIES if f.architecture in (None, architecture) and f.least <= parameters < f.below)
    family = next(alike, None)
    probability = (UNMEASURED if family is None else family.probability)[kind]
    return Threshold(math.log(probability), {FEATURES[kind]: 1.0}, origin=ORIGIN, soft=True)


def kind_of(shape: Shape) -> Kind:
    """Which kind of contract a shape belongs to: one of several strings, one value, or an object or list of values."""
    if shape.kind == "choice":
        return "choice"
    if shape.kind == "regex":
        return "scalar"
    properties = shape.schema.get("properties")
    only = properties.get("value") if isinstance(properties, Mapping) and set(properties) == {"value"} else None
    if not isinstance(only, Mapping):
        return "object"
    if "enum" in only or only.get("type") == "boolean":
        return "choice"
    return "object" if only.get("type") in ("object", "array") else "scalar"
