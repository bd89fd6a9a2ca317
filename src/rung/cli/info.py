"""`rung models info`: what a model is, what it needs, and which tier it suits here. Nothing is loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.cli.options import Json
from rung.sizes import readable

if TYPE_CHECKING:
    from rung.store import ModelFile, WantedModel
    from rung.store.gguf import Header
    from rung.store.ladders import MachineLadder


def info(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name of `rung models list`, or the path of a file.")],
    tokens: Annotated[
        int | None, typer.Option("--context", metavar="N", min=1, help="Compute the memory for a context of N tokens.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what a model is, the memory that it needs, and which tier it suits on this machine."""
    from rung import guard
    from rung.store import resolve, user_store
    from rung.store.architectures import read_usable
    from rung.store.files import in_store, wanted
    from rung.store.resolving import is_path
    from rung.types import Zone

    guard.install(Zone.HOST)
    output, store = context.obj.output, user_store()
    known = None if is_path(model) else wanted(model, store)
    if known is not None and in_store(known, store) is None and store.place(known.sha256 or "") is None:
        facts = _catalogued(known)
    else:
        file = resolve(model, store=store)
        facts = _described(file, read_usable(file.path), tokens)
    if output.json:
        output.object({"status": "ok", **facts})
        return
    width = max(map(len, facts))
    output.answer("\n".join(f"{key.replace('_', ' '):{width}}  {_words(key, it)}" for key, it in facts.items()))


def _catalogued(it: WantedModel) -> dict[str, Any]:
    """What is known of a model that isn't on this machine."""
    return {
        "name": it.name,
        "path": None,
        "size": it.size,
        "sha256": it.sha256,
        "context": it.context,
        "licence": it.licence,
        "note": it.note,
        "get_it": it.command,
    }


def _described(file: ModelFile, header: Header, tokens: int | None) -> dict[str, Any]:
    need = _need(header, tokens)
    return {
        "name": file.name,
        "path": str(file.path),
        "size": file.size,
        "sha256": file.sha256,
        "architecture": header.architecture,
        "parameters": header.parameters,
        "quantization": header.quantization,
        "context": header.context_length,
        "template": header.chat_template is not None,
        "licence": file.licence or header.licence,
        "memory": need.bytes,
        "memory_for_context": need.tokens,
        "suits": _suited(file.size, need.bytes),
    }


@dataclass(frozen=True, slots=True)
class _Need:
    bytes: int
    tokens: int


def _need(header: Header, tokens: int | None) -> _Need:
    """The memory that the model needs with a context, by default the one that a tier begins with."""
    from rung.tiers.llama.fit import CONTEXT, MOST_SLOTS, Fit

    tokens = tokens or min(CONTEXT, header.context_length or CONTEXT)
    return _Need(Fit(header, MOST_SLOTS).need(tokens).total, tokens)


def _suited(size: int, need: int) -> str:
    """Which tier it suits, in words: that of the model nearest in size in the ladder for this machine."""
    from rung.errors import TierUnavailable
    from rung.machine.choosing import choose, measure, room
    from rung.store import user_store
    from rung.store.files import models
    from rung.store.ladders import ladders

    machine = measure()
    if need > room(machine):
        return f"no tier: {readable(machine.free)} free ({machine.limited_by}), {readable(room(machine))} may be used"
    listed = models()
    known: tuple[MachineLadder, ...] = ladders(user_store().catalogue.keys())
    try:
        ladder = choose(machine, listed, known, best=True).models
    except TierUnavailable:
        return "the only tier: not even the smallest ladder fits beside it"
    sizes = [it.model.size or 1 for it in ladder]
    n = min(range(len(sizes)), key=lambda n: abs(math.log(size / sizes[n])))
    return f"{_ORDINALS[min(n, 2)]} tier, as {ladder[n].model.name} in the ladder for this machine"


_ORDINALS = ("the first", "the second", "a later")


def _words(key: str, value: Any) -> str:

    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key in ("size", "memory"):
        return readable(value)
    if key == "parameters":
        return f"{value / 1e9:.2f} billion" if value >= 1e9 else f"{value / 1e6:.0f} million"
    return f"{value:,} tokens" if isinstance(value, int) else str(value)
