"""Loading a model where it fits: plan, load, and go back to the CPU if the GPU won't take it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rung.errors import StoreError, TierUnavailable
from rung.store.gguf import Header
from rung.tiers.llama import binding
from rung.tiers.llama.devices import Device, Offload, devices, placements, together
from rung.tiers.llama.fit import LoadPlan, outputs, plan
from rung.tiers.llama.opening import LoadModel
from rung.tiers.llama.residents import Residents
from rung.tiers.llama.threads import Threads
from rung.tiers.llama.worker.described import DescribedFile
from rung.tiers.llama.worker.faults import LoadError
from rung.tiers.llama.worker.log import Log
from rung.tiers.llama.worker.native import Context, Model
from rung.tiers.llama.worker.profile import ComputeProfile, profile_of
from rung.tiers.llama.worker.rehearsed import Rehearsal
from rung.tiers.llama.worker.words import WordsFile

_SAFE_MODE = (
    "llama.cpp crashed while it loaded, and now computes without weights laid out for this processor{survey}, which is "
    "slower; see docs/install.md, 'A build that crashes'"
)
_SURVEY = " and without the GPU's survey of the logits"
_DOUBTED = "the GPU's survey of the logits doesn't agree with the CPU, which now looks at them itself; that is slower"


@dataclass(frozen=True, slots=True)
class Placed:
    """A model in memory.

    Args:
        model: the loaded file.
        context: room for its calls.
        plan: how model and context were sized.
        notes: what a person should know about that, as clauses.
        log: what llama.cpp goes on calling.
    """

    model: Model
    context: Context
    plan: LoadPlan
    notes: tuple[str, ...]
    log: Log


def place(load: LoadModel, threads: Threads, meanwhile: Callable[[], None] = lambda: None) -> Placed:
    """Load a model if it fits.

    Args:
        load: what to load, and how.
        threads: says how many threads decode.
        meanwhile: called where llama.cpp is about to read the file, which leaves the interpreter to others.

    Raises:
        TierUnavailable: the file is not a model, doesn't fit, or is refused by llama.cpp.
    """
    log = Log()
    path = Path(load.path)
    folder = None if load.cache is None else Path(load.cache)
    file = DescribedFile(path, folder)
    try:
        about = file.read()
    except StoreError as error:
        raise TierUnavailable(error.message, hint=error.hint) from None
    header = about.header
    residents = Residents()
    with residents.planning():
        try:
            found, chosen = _planned(load, header, residents)
        except TierUnavailable:
            # A model that nobody uses just now gives way to one that somebody waits for.
            from rung.tiers.llama.visits import dismiss

            if not dismiss(idle=True):
                raise
            found, chosen = _planned(load, header, residents)
        ways = placements(chosen, found, load.gpu_layers)
        chosen, where = ways[0]
        total = max(0, chosen.fit.need(chosen.cells).total - sum(where.takes.values()))
        residents.claim(total, where.takes)
    before = devices() if where.takes else ()
    notes = (where.note,) if where.note else ()
    kept = _Kept(folder, about.digest)
    meanwhile()
    try:
        try:
            model, context, chosen, where = _first(load, ways, threads, log, kept)
        except LoadError as error:
            if not where.layers or load.gpu_layers is not None:
                raise
            notes = (f"the CPU computes: with {where.layers} layers on the GPU llama.cpp said {error}",)
            where = Offload()
            with residents.planning():
                chosen = plan(header, context=load.context, slots=load.slots, memory=residents.memory())
                residents.claim(total := chosen.fit.need(chosen.cells).total)
            model, context = _make(load, where, chosen, threads, log, kept)
    except LoadError as error:
        raise TierUnavailable(
            f"{path} can't be loaded: {error}", hint="run `rung models verify`, or pull the model again"
        ) from None
    file.keep()
    if where.takes:
        residents.claim(total, _uncounted(where.takes, before, devices()))
    if load.safe_mode:
        notes = (*notes, _SAFE_MODE.format(survey=_SURVEY if chosen.fit.surveyed else ""))
    if context.doubted:
        notes = (*notes, _DOUBTED)
    return Placed(model, context, chosen, notes, log)


def context_of(
    model: Model, chosen: LoadPlan, profile: ComputeProfile, threads: Threads, log: Log, *, surveyed: bool
) -> Context:
    """The context that a plan asks for.

    Args:
        model: the loaded file.
        chosen: the plan.
        profile: how what computes the model is best used.
        threads: says how many threads decode.
        log: receives llama.cpp's reasons for refusing.
        surveyed: whether the device surveys the rows of logits, if this build can do that.

    Raises:
        LoadError: memory is short.
    """
    from rung.tiers.llama.worker.memory import sequences  # imported meanwhile

    return Context(
        model,
        cells=chosen.cells,
        sequences=sequences(chosen.slots, profile.spare),
        outputs=outputs(chosen.slots),
        threads=threads,
        batch=min(chosen.fit.batch, chosen.cells),
        log=log,
        profile=profile,
        surveyed=surveyed,
    )


def _planned(load: LoadModel, header: Header, residents: Residents) -> tuple[tuple[Device, ...], LoadPlan]:
    """The devices, and how model and context are sized for what is free now.

    Raises:
        TierUnavailable: the model doesn't fit.
    """
    found = residents.devices(devices())
    free = together(residents.memory(), found)
    return found, plan(header, context=load.context, slots=load.slots, memory=free)


def _uncounted(takes: Mapping[str, int], before: Sequence[Device], after: Sequence[Device]) -> dict[str, int]:
    """What a model holds on GPUs whose drivers go on calling it free. Some drivers know only how much there is in all:
    SYCL's unless `ZES_ENABLE_SYSMAN` is set, and Vulkan's without `VK_EXT_memory_budget`.

    Args:
        takes: bytes that each GPU holds now, by its name.
        before: the devices before that.
        after: the same devices now.
    """
    free = {device.name: device.free for device in after}
    return {d.name: takes[d.name] for d in before if d.name in takes and free.get(d.name, 0) >= d.free}


class _Kept:
    """What is kept on disk of a file and this build of llama.cpp.

    Args:
        folder: where it is kept; `None` keeps nothing.
        digest: of what the file says of itself.
    """

    def __init__(self, folder: Path | None, digest: bytes) -> None:
        self._folder = folder
        self._key = b"" if folder is None else digest + _build()

    def words(self) -> WordsFile | None:
        """The words of the file's vocabulary."""
        return None if self._folder is None else WordsFile(self._folder, self._key)

    def rehearsal(self, where: Offload, *, repack: bool, surveyed: bool) -> Rehearsal:
        """The first step with the file.

        Args:
            where: which layers are on a GPU.
            repack: whether weights are laid out anew for the processor.
            surveyed: whether the device surveys the rows of logits.
        """
        system = binding.llama.llama_print_system_info().decode("utf-8", "replace")
        how = (system, where.layers, where.shares, repack, surveyed)
        return Rehearsal(self._folder, self._key + json.dumps(how).encode())


def _build() -> bytes:
    """Tells llama.cpp's own files from those of other builds."""
    libraries = sorted(library for folder in binding.folders() for library in folder.glob("*"))
    built = [(library.name, status.st_size, status.st_mtime_ns) for library in libraries if (status := library.stat())]
    return json.dumps((binding.VERSION, built)).encode()


def _first(
    load: LoadModel, ways: Sequence[tuple[LoadPlan, Offload]], threads: Threads, log: Log, kept: _Kept
) -> tuple[Model, Context, LoadPlan, Offload]:
    """Model, context, plan and place of the first way that llama.cpp doesn't refuse.

    Raises:
        LoadError: it refuses the last one, too.
    """
    *others, last = ways
    for chosen, where in others:
        with suppress(LoadError):
            return (*_make(load, where, chosen, threads, log, kept), chosen, where)
    chosen, where = last
    return (*_make(load, where, chosen, threads, log, kept), chosen, where)


def _make(
    load: LoadModel, where: Offload, chosen: LoadPlan, threads: Threads, log: Log, kept: _Kept
) -> tuple[Model, Context]:
    model = Model(
        load.path, log, gpu_layers=where.layers, gpu_shares=where.shares, repack=not load.safe_mode, words=kept.words()
    )
    # llama.cpp splits steps of a recurrent model by sequence, so its rows come in another order
    surveyed = chosen.fit.surveyed and model.cuttable and not load.safe_mode
    profile = profile_of(where, cuttable=model.cuttable)
    try:
        context = context_of(model, chosen, profile, threads, log, surveyed=surveyed)
        rehearsal = kept.rehearsal(where, repack=not load.safe_mode, surveyed=context.surveyed)
        # whether the device's survey is to be believed may change with its driver, which the rehearsal doesn't know
        if context.surveyed or not rehearsal.done:
            context.rehearse()
            if not context.doubted:
                rehearsal.passed()
    except LoadError:
        model.close()  # the next way needs the room
        raise
    return model, context
