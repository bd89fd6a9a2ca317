"""Which GPU the build of llama.cpp can use, and how many of a model's layers go there.

It is written from llama.cpp's headers. `docs/install.md` says on which GPUs it ran; the tests go by recorded lists.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from rung.sizes import readable
from rung.tiers.llama.fit import GPU_BATCH, GRAIN, Fit, LoadPlan
from rung.tiers.llama.headroom import SHARE, FreeMemory

Kind = Literal["cpu", "gpu", "igpu", "accelerator", "other"]
_KINDS: tuple[Kind, ...] = ("cpu", "gpu", "igpu", "accelerator")


@dataclass(frozen=True, slots=True)
class Device:
    """A device that a build of llama.cpp can compute on.

    Args:
        name: llama.cpp's name, for example `CUDA0`.
        description: its maker's name.
        kind: an `igpu` shares the machine's memory.
        free: free memory in bytes.
        total: all memory in bytes.
    """

    name: str
    description: str
    kind: Kind
    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Offload:
    """How much of a model goes to the GPU.

    Args:
        layers: number of layers on the GPU. 0 keeps everything on the CPU; one more than the number of blocks puts
            everything there.
        cells: tokens of context for which the GPU has room; `None` if the GPU isn't used.
        note: what the person should know, as a clause; empty if everything is as expected.
        shares: share of the layers that each GPU takes, in llama.cpp's order; they add up to 1. Empty where no two GPUs
            share them.
        takes: bytes that each GPU with memory of its own will hold, by its name.
        whole: whether all layers are on a GPU, so that the CPU only looks up words.
    """

    layers: int = 0
    cells: int | None = None
    note: str = ""
    shares: tuple[float, ...] = ()
    takes: Mapping[str, int] = field(default_factory=dict)
    whole: bool = False


def devices() -> tuple[Device, ...]:
    """The devices that this build can compute on. Loads llama.cpp; none if the library can't be asked."""
    from rung.tiers.llama import binding

    binding.llama.llama_backend_init()
    ggml: Any = binding.ggml.libggml
    try:
        ggml.ggml_backend_dev_count.restype = ctypes.c_size_t
        ggml.ggml_backend_dev_get.restype = ctypes.c_void_p
        ggml.ggml_backend_dev_get.argtypes = [ctypes.c_size_t]
        for function in (ggml.ggml_backend_dev_name, ggml.ggml_backend_dev_description):
            function.restype, function.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
        ggml.ggml_backend_dev_type.restype, ggml.ggml_backend_dev_type.argtypes = ctypes.c_int, [ctypes.c_void_p]
        sizes = ctypes.POINTER(ctypes.c_size_t)
        ggml.ggml_backend_dev_memory.restype = None
        ggml.ggml_backend_dev_memory.argtypes = [ctypes.c_void_p, sizes, sizes]
    except AttributeError:
        return ()
    return tuple(_device(ggml, ggml.ggml_backend_dev_get(i)) for i in range(ggml.ggml_backend_dev_count()))


def _device(ggml: Any, pointer: Any) -> Device:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    ggml.ggml_backend_dev_memory(pointer, ctypes.byref(free), ctypes.byref(total))
    number = ggml.ggml_backend_dev_type(pointer)
    kind: Kind = _KINDS[number] if 0 <= number < len(_KINDS) else "other"
    name = ggml.ggml_backend_dev_name(pointer).decode("utf-8", "replace")
    if kind == "gpu" and name.startswith(("Metal", "MTL")):
        # llama.cpp calls it a GPU with memory of its own, but its memory is the machine's.
        kind = "igpu"
    description = ggml.ggml_backend_dev_description(pointer).decode("utf-8", "replace")
    return Device(name, description, kind, free.value, total.value)


def gpus(found: Sequence[Device]) -> tuple[Device, ...]:
    """The GPUs over which llama.cpp spreads layers: those with memory of their own, or else one that shares it."""
    own = tuple(d for d in found if d.kind == "gpu")
    return own or tuple(d for d in found if d.kind == "igpu")[:1]


@dataclass(frozen=True, slots=True)
class Maker:
    """A GPU that the machine seems to have.

    Args:
        name: name of the maker.
        backends: prefixes of llama.cpp's names for such a device.
        build: the setting of llama-cpp-python's build that makes use of it.
    """

    name: str
    backends: tuple[str, ...]
    build: str


_NVIDIA = Maker("NVIDIA", ("CUDA", "Vulkan"), "-DGGML_CUDA=on")
_AMD = Maker("AMD", ("ROCm", "HIP", "Vulkan"), "-DGGML_HIP=on")
_APPLE = Maker("Apple", ("Metal", "MTL"), "-DGGML_METAL=on")
_OTHER = Maker("some maker's", ("Vulkan", "SYCL", "CUDA", "ROCm"), "-DGGML_VULKAN=on")


def present(
    *, root: Path = Path("/"), system: str = sys.platform, machine: str | None = None, path: str | None = None
) -> tuple[Maker, ...]:
    """The GPUs that this machine seems to have, whether or not the build of llama.cpp can use them.

    Args:
        root: root of the file system in which device files are looked for.
        system: as in `sys.platform`.
        machine: as in `platform.machine()`.
        path: folders of programs; `None` takes those of the environment.
    """
    import platform
    import shutil

    found = []
    if system == "darwin" and (machine or platform.machine()) == "arm64":
        found.append(_APPLE)
    if any((root / "dev").glob("nvidia[0-9]*")) or shutil.which("nvidia-smi", path=path):
        found.append(_NVIDIA)
    if (root / "dev/kfd").exists():
        found.append(_AMD)
    if not found and any((root / "dev/dri").glob("renderD*")):
        found.append(_OTHER)
    return tuple(found)


def together(memory: FreeMemory, found: Sequence[Device]) -> FreeMemory:
    """The machine's free memory and that of GPUs with their own."""
    own = sum(d.free for d in gpus(found) if d.kind == "gpu")
    return replace(memory, available=memory.available + own, limited_by="this machine with its GPU") if own else memory


def offload(fit: Fit, cells: int, found: Sequence[Device], wanted: int | None) -> Offload:
    """How many layers go to the GPU.

    Args:
        fit: the model's memory.
        cells: tokens of context at first.
        found: what the build can compute on.
        wanted: number of layers that the person asked for; `None` means as many as fit.
    """
    usable = gpus(found)
    if wanted == 0 or not usable:
        return Offload(0, note="this build of llama-cpp-python has no GPU, so the CPU computes" if wanted else "")
    blocks = fit.header.layers
    need = fit.need(cells)
    names = ", ".join(f"{d.name} ({d.description})" for d in usable)
    room = int(SHARE * sum(d.free for d in usable)) - need.buffers * len(usable)
    each = max(1, (need.weights + need.kv) // (blocks + 1))
    layers = min(blocks + 1, max(0, room // each)) if wanted is None else min(blocks + 1, wanted)
    if not layers:
        free = sum(d.free for d in usable)
        return Offload(0, note=f"the CPU computes: {names} has {readable(free)} free, too little for a layer")
    context = (room - layers * need.weights // (blocks + 1)) // fit.cell // GRAIN * GRAIN
    note = f"{layers} of {blocks + 1} layers are on {names}, the others on the CPU" if layers <= blocks else ""
    free = sum(d.free for d in usable)
    # asked for more than there is, llama.cpp is to say so itself
    shares = tuple(d.free / free if free else 1 / len(usable) for d in usable)
    takes = {
        d.name: int(share * layers * each) + need.buffers
        for d, share in zip(usable, shares, strict=True)
        if d.kind == "gpu"
    }
    several = shares if len(shares) > 1 else ()
    return Offload(layers, max(cells, context), note, several, takes, whole=layers > blocks)


def placements(chosen: LoadPlan, found: Sequence[Device], wanted: int | None) -> list[tuple[LoadPlan, Offload]]:
    """How a model may be placed, the best way first.

    In the first, steps are larger and the GPU surveys the rows of logits, if it has memory of its own with room for all
    layers and no context is lost by it. llama.cpp may still refuse that, where it needs more memory than its sums on a
    CPU say.

    Args:
        chosen: how model and context are sized.
        found: what the build can compute on.
        wanted: number of layers that the person asked for; `None` means as many as fit.
    """
    where = offload(chosen.fit, chosen.cells, found, wanted)
    plain = [(_bounded(chosen, where), where)]
    if not (where.whole and where.takes):
        return plain
    fit = replace(chosen.fit, batch=GPU_BATCH, surveyed=True)
    larger = offload(fit, chosen.cells, found, None)
    if not larger.whole or (larger.cells or 0) < min(chosen.together, where.cells or 0):
        return plain
    return [(_bounded(replace(chosen, fit=fit), larger), larger), *plain]


def _bounded(chosen: LoadPlan, where: Offload) -> LoadPlan:
    """A plan whose context grows no further than there is room where the layers are."""
    if where.cells is None:
        return chosen
    return replace(chosen, most=min(chosen.most, where.cells), together=min(chosen.together, where.cells))
