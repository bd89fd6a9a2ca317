"""Which ladder suits this machine. It measures and looks up; it loads no model and opens no connection."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rung.errors import StoreError, TierUnavailable
from rung.sizes import readable
from rung.tiers.llama.headroom import SHARE

if TYPE_CHECKING:
    from rung.store import Listed, WantedModel
    from rung.store.ladders import MachineLadder
    from rung.tiers.llama.devices import Device


@dataclass(frozen=True, slots=True)
class Hardware:
    """What there is to compute with.

    Args:
        system: operating system and processor.
        cores: number of cores that this process may use.
        free: memory that can be taken now, in bytes.
        total: memory of the machine, in bytes.
        limited_by: what limits `free`.
        gpus: GPUs with memory of their own that the build of llama-cpp-python can use.
        note: what stands in the way of a better answer, as a sentence; empty if nothing does.
    """

    system: str
    cores: int
    free: int
    total: int
    limited_by: str
    gpus: tuple[Device, ...] = ()
    note: str = ""

    @property
    def gpu_free(self) -> int:
        """Free memory of the GPUs, in bytes."""
        return sum(gpu.free for gpu in self.gpus)


@dataclass(frozen=True, slots=True)
class LadderChoice:
    """The models of a ladder.

    Args:
        models: the models, smallest first.
        reason: why these models, as a sentence.
        better: what else was considered, as a sentence; empty if nothing was.
    """

    models: tuple[Listed, ...]
    reason: str
    better: str = ""

    @property
    def missing(self) -> tuple[WantedModel, ...]:
        """The models that are still to be fetched."""
        return tuple(it.model for it in self.models if it.file is None)


def measure() -> Hardware:
    """This machine as it is now."""
    import psutil

    from rung.tiers.llama.devices import gpus, present
    from rung.tiers.llama.headroom import free_memory
    from rung.tiers.llama.host.build import NoBuild, build
    from rung.tiers.llama.residents import Residents
    from rung.tiers.llama.threads import free_cores

    memory, seen, note = free_memory(), present(), ""
    found: tuple[Device, ...] = ()
    try:
        found = tuple(gpu for gpu in gpus(Residents().devices(build().devices)) if gpu.kind == "gpu")
    except NoBuild:
        note = "llama-cpp-python can't be used yet: `rung doctor` says why."
    else:
        if seen and not found and seen[0].name != "Apple":
            note = f"There is a GPU ({seen[0].name}) that llama-cpp-python was not built for: see `rung doctor`."
    system = f"{platform.system()} {platform.machine()}"
    free, limited_by = memory.available, memory.limited_by
    if memory.address_space is not None and memory.address_space < free:
        free, limited_by = memory.address_space, "the limit on address space"
    return Hardware(system, free_cores(), free, psutil.virtual_memory().total, limited_by, found, note)


def room(machine: Hardware) -> int:
    """What models may take of a machine's memory, in bytes."""
    return int(SHARE * (machine.free + machine.gpu_free))


def choose(
    machine: Hardware, listed: Sequence[Listed], known: Sequence[MachineLadder], *, best: bool = False
) -> LadderChoice:
    """The ladder for a machine. It prefers models that are here, so that it works without fetching anything.

        choice = choose(measure(), models(), ladders(user_store().catalogue))
        print([it.model.name for it in choice.models], choice.reason)

    Args:
        machine: the hardware.
        listed: the models of the catalogue.
        known: ladders of the catalogue, those that need least first.
        best: whether to choose what suits the machine best, whatever is here.

    Raises:
        TierUnavailable: not even the ladder that needs least fits.
    """
    space = room(machine)
    fitting = [ladder for ladder in known if ladder.bytes <= (SHARE * machine.gpu_free if ladder.gpu else space)]
    suited = fitting[-1] if fitting else None
    here = [] if best else _here(listed, space)
    if here:
        return _of_here(here, space, suited)
    if suited is None:
        raise TierUnavailable(
            f"{readable(machine.free)} of memory are free ({machine.limited_by}), "
            f"and the most modest ladder needs {readable(int(known[0].bytes / SHARE))}",
            hint="free some memory, then run `rung init` again",
        )
    by_name = {it.model.name: it for it in listed}
    where = "memory of the GPU" if suited.gpu else "memory"
    reason = f"The ladder for {suited.machine}: it takes about {readable(suited.bytes)} of {where}."
    return LadderChoice(tuple(by_name[name] for name in suited.models), reason, _next(suited, known))


def _here(listed: Sequence[Listed], space: int) -> list[tuple[int, Listed]]:
    """The memory that each model here needs, smallest first. Models that don't fit by themselves are left out."""
    from rung.store.gguf import read_header
    from rung.tiers.llama.fit import CONTEXT, MOST_SLOTS, Fit

    found = []
    for it in listed:
        if it.file is None:
            continue
        try:
            header = read_header(it.file.path)
        except StoreError:
            # `rung doctor` and `rung models verify` say what is wrong with it
            continue
        context = min(CONTEXT, header.context_length or CONTEXT)
        need = Fit(header, MOST_SLOTS).need(context).total
        if need <= space:
            found.append((need, it))
    return sorted(found, key=lambda pair: pair[0])


def _of_here(here: list[tuple[int, Listed]], space: int, suited: MachineLadder | None) -> LadderChoice:
    """The smallest model, and the largest that fits beside it."""
    need, small = here[0]
    beside = [(more, it) for more, it in here[1:] if need + more <= space]
    chosen = [small] if not beside else [small, beside[-1][1]]
    if beside:
        need += beside[-1][0]
    names = tuple(it.model.name for it in chosen)
    what = "the smallest, and the largest that fits beside it" if beside else "the only one that fits"
    reason = f"Of the models that are here already: {what}. They take about {readable(need)} of memory."
    better = ""
    if suited is not None and suited.models != names:
        better = f"Suited best: {', then '.join(suited.models)} (for {suited.machine}); `rung init --best` takes these."
    return LadderChoice(tuple(chosen), reason, better)


def _next(suited: MachineLadder, known: Sequence[MachineLadder]) -> str:
    """What would be possible with more free memory."""
    larger = next((it for it in known[known.index(suited) + 1 :] if it.gpu == suited.gpu), None)
    if larger is None:
        return ""
    need = readable(int(larger.bytes / SHARE))
    return f"With {need} free it would be {', then '.join(larger.models)}: run `rung init` again then."
