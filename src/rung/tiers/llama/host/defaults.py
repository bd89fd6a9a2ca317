"""How sure a model has to be where nobody calibrated it, by kind of contract and family of model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rung.types import Shape, Threshold

Kind = Literal["choice", "object", "scalar"]

ORIGIN = "default threshold (public data, not yours)"


@dataclass(frozen=True, slots=True)
class Family:
    """Models that go by one measurement.

    Args:
        architecture: llama.cpp's name for the kind of network.
        least: number of weights of the smallest.
        most: number of weights of the largest.
        above: per kind of contract, what the score has to be above.
    """

    architecture: str
    least: int
    most: int
    above: Mapping[Kind, float]


FEATURES: Mapping[Kind, str] = {"choice": "allowed_minimum", "object": "allowed_minimum", "scalar": "allowed_minimum"}
_NEVER = 0.0
FAMILIES: tuple[Family, ...] = ()
UNMEASURED: Mapping[Kind, float] = {"choice": -0.05, "object": -0.05, "scalar": -0.05}


def default_threshold(architecture: str, parameters: int, shape: Shape) -> Threshold:
    """The threshold of a model for answers of a shape.

    Args:
        architecture: llama.cpp's name for the kind of network.
        parameters: its number of weights.
        shape: of the answer.
    """
    return threshold_of(architecture, parameters, kind_of(shape))


def threshold_of(architecture: str, parameters: int, kind: Kind) -> Threshold:
    """The threshold of a model for a kind of contract.

    Args:
        architecture: llama.cpp's name for the kind of network.
        parameters: its number of weights.
        kind: of contract.
    """
    known = (f for f in FAMILIES if f.architecture == architecture and f.least <= parameters <= f.most)
    family = next(known, None)
    above = UNMEASURED[kind] if family is None else family.above[kind]
    return Threshold(above, {FEATURES[kind]: 1.0}, origin=ORIGIN, soft=True)


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
