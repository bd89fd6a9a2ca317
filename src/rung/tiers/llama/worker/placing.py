"""Loading a model where it fits: plan, load, and go back to the CPU if the GPU won't take it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from rung.errors import StoreError, TierUnavailable
from rung.store.gguf import read_header
from rung.tiers.llama.devices import Offload, devices, offload, together
from rung.tiers.llama.fit import BATCH, LoadPlan, outputs, plan
from rung.tiers.llama.frames import LoadModel
from rung.tiers.llama.residents import Residents
from rung.tiers.llama.threads import Threads
from rung.tiers.llama.worker.memory import sequences
from rung.tiers.llama.worker.native import Context, LoadError, Log, Model
from rung.tiers.llama.worker.system import let_go

_PLAIN = (
    "llama.cpp crashed with the weights laid out for this processor, and now computes without that, which is slower; "
    "see docs/install.md, 'A build that crashes'"
)


@dataclass(frozen=True, slots=True)
class Placed:
    """A model in memory.

    Args:
        model: the loaded file.
        context: room for its calls.
        plan: how model and context were sized.
        notes: what a person should know about that, as clauses.
    """

    model: Model
    context: Context
    plan: LoadPlan
    notes: tuple[str, ...]


def place(load: LoadModel, *, threads: Threads, log: Log) -> Placed:
    """Load a model if it fits.

    Args:
        load: what to load, and how.
        threads: says how many threads decode.
        log: receives llama.cpp's reasons for refusing.

    Raises:
        TierUnavailable: the file is not a model, doesn't fit, or is refused by llama.cpp.
    """
    path = Path(load.path)
    try:
        header = read_header(path)
    except StoreError as error:
        raise TierUnavailable(error.message, hint=error.hint) from None
    residents = Residents()
    with residents.planning():
        found = residents.devices(devices())
        free = together(residents.memory(), found)
        chosen = plan(header, context=load.context, slots=load.slots, memory=free)
        where = offload(chosen.fit, chosen.cells, found, load.gpu_layers)
        total = max(0, chosen.fit.need(chosen.cells).total - sum(where.takes.values()))
        residents.claim(total, where.takes)
    if where.cells is not None:
        chosen = replace(chosen, most=min(chosen.most, where.cells))
    notes = (where.note,) if where.note else ()
    try:
        try:
            model, context = _make(load, where, chosen, threads, log)
        except LoadError as error:
            if not where.layers or load.gpu_layers is not None:
                raise
            notes = (f"the CPU computes: with {where.layers} layers on the GPU llama.cpp said {error}",)
            with residents.planning():
                chosen = plan(header, context=load.context, slots=load.slots, memory=residents.memory())
                residents.claim(total := chosen.fit.need(chosen.cells).total)
            model, context = _make(load, Offload(), chosen, threads, log)
    except LoadError as error:
        raise TierUnavailable(
            f"{path} can't be loaded: {error}", hint="run `rung models verify`, or pull the model again"
        ) from None
    if where.takes:
        # what is on a GPU now is what its driver no longer calls free
        residents.claim(total)
    if not load.repack:
        notes = (*notes, _PLAIN)
    return Placed(model, context, chosen, notes)


def _make(load: LoadModel, where: Offload, chosen: LoadPlan, threads: Threads, log: Log) -> tuple[Model, Context]:
    model = Model(load.path, log, gpu_layers=where.layers, gpu_shares=where.shares, repack=load.repack)
    context = Context(
        model,
        cells=chosen.cells,
        sequences=sequences(chosen.slots),
        outputs=outputs(chosen.slots),
        threads=threads,
        batch=min(BATCH, chosen.cells),
        log=log,
    )
    let_go(load.path)
    context.rehearse()
    return model, context
