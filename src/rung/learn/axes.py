"""Which forms are tried for a contract, the likeliest to help first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rung.contract import Contract
from rung.contract.forms import WORDINGS, can_reason, nullable_fields
from rung.types import PromptForm

DEFAULT = PromptForm()
FEW, MANY = 12, 20
"""Most forms that are tried, with few fit rows and with more. Of many forms on few rows, one looks better than it
is."""
ENOUGH = 100
"""Fit rows from which more forms are tried."""

_PLACES = {
    "system": "in the system turn",
    "before": "before the prompt",
    "after": "behind the prompt",
    "nowhere": "nowhere",
}


def forms_for(contract: Contract[object], own: Sequence[str], rows: int) -> list[PromptForm]:
    """The forms to try, rung's own first.

    The user's wordings come before rung's, each alone and with what is likely to help most. A place or wrapping that
    the contract has no use for isn't tried.

    Args:
        contract: what answers must be.
        own: the user's wordings.
        rows: number of fit rows.
    """
    shape = contract.shape
    similar, fixed = PromptForm(examples="similar"), PromptForm(examples="fixed")
    found = [DEFAULT, similar, fixed]
    if shape is not None:
        wordings = (*own, *(w for w in WORDINGS[shape.kind] if w not in own))
        mine = [PromptForm(wording=w) for w in own]
        found += [*mine, *(replace(form, examples="similar") for form in mine)]
        if shape.kind != "json":
            found += [PromptForm(wrap=True), replace(similar, wrap=True)]
        if nullable_fields(shape):
            found += [PromptForm(absent="null"), replace(similar, absent="null"), replace(fixed, absent="null")]
        if can_reason(shape):
            found.append(PromptForm(reason=True))
        found += [PromptForm(place="after"), replace(similar, place="after"), replace(similar, place="nowhere")]
        for wording in wordings[len(own) :]:
            found += [PromptForm(wording=wording), replace(similar, wording=wording)]
        found += [PromptForm(place="before"), replace(similar, place="before")]
        if shape.kind != "json":
            found += [replace(fixed, wrap=True), replace(similar, wrap=True, place="after")]
        found += [replace(fixed, place="after"), replace(fixed, place="nowhere")]
    distinct = list(dict.fromkeys(found))
    return distinct[: FEW if rows < ENOUGH else MANY]


def described(form: PromptForm) -> str:
    """A form in words, for a table."""
    said = []
    if form.wrap:
        said.append("as JSON")
    if form.reason:
        said.append("a reason first")
    if form.absent == "null":
        said.append("null for what is absent")
    if form.place != "system":
        what = "told nowhere" if form.place == "nowhere" else f"told {_PLACES[form.place]}"
        said.append(what)
    if form.wording:
        words = " ".join(form.wording.split())
        said.append(f'"{words if len(words) <= 32 else words[:31] + "…"}"')
    if form.examples != "none":
        said.append("4 fixed examples" if form.examples == "fixed" else "4 similar examples")
    return ", ".join(said) or "rung's own"


def turned(form: PromptForm) -> dict[str, str]:
    """What a form changes, by axis, in words."""
    found = {}
    for axis in ("wrap", "place", "wording", "examples", "reason", "absent"):
        if getattr(form, axis) != getattr(DEFAULT, axis):
            found[axis] = described(replace(DEFAULT, **{axis: getattr(form, axis)}))
    return found


def without(form: PromptForm, axis: str) -> PromptForm:
    """The form with one axis as in rung's own form."""
    return replace(form, **{axis: getattr(DEFAULT, axis)})
