"""What this machine has to compute with, and how much of it the build of llama-cpp-python uses."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rung.machine.findings import Finding
from rung.sizes import readable

if TYPE_CHECKING:
    from rung.tiers.llama.devices import Maker
    from rung.tiers.llama.headroom import FreeMemory
    from rung.tiers.llama.host.build import Build


def python() -> Finding:
    """Which Python and which rung."""
    from rung import __version__

    return Finding("python", "ok", f"{platform.python_version()} at {sys.executable}, rung {__version__}")


def machine(memory: FreeMemory) -> Iterator[Finding]:
    """Cores and memory."""
    from rung.tiers.llama.threads import free_cores, sample

    cores = free_cores()
    free = sample(cores)
    text = f"{platform.system()} {platform.machine()}, {free} of {cores} cores free"
    yield Finding("cores", "ok" if free == cores else "note", text)
    limit = "" if memory.address_space is None else f"; {readable(memory.address_space)} of address space"
    yield Finding("memory", "ok", f"{readable(memory.available)} free ({memory.limited_by}){limit}")


def openmp(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Settings of OpenMP that the person made and a worker inherits."""
    given = {name: environment[name] for name in sorted(environment) if name.startswith(("OMP_", "GOMP_"))}
    if given:
        yield Finding("openmp", "ok", ", ".join(f"{name}={value}" for name, value in given.items()))
    if given.get("OMP_PROC_BIND", "true").lower() == "false":
        text = "OMP_PROC_BIND=false lets threads gather on one core, where decoding is up to 50 times slower"
        yield Finding("openmp", "note", text, "unset OMP_PROC_BIND")
    if given.get("OMP_WAIT_POLICY", "").lower() == "passive":
        yield Finding("openmp", "note", "OMP_WAIT_POLICY=passive halves the speed", "unset OMP_WAIT_POLICY")


def library(found: Build) -> Finding:
    """The library and what it was built with."""
    inside = f", llama.cpp {found.inside}" if found.inside else ""
    return Finding("llama.cpp", "ok", f"llama-cpp-python {found.version}{inside}: {', '.join(found.features)}")


def processor(found: Build, flags: frozenset[str]) -> Iterator[Finding]:
    """Vector units that the processor has and the build leaves unused.

    Args:
        found: the build.
        flags: instruction sets of the processor, as the kernel spells them; none if it doesn't tell.
    """
    unused = [name for name, flag in (("AVX2", "avx2"), ("FMA", "fma"), ("F16C", "f16c")) if flag in flags]
    unused = [name for name in unused if name not in found.features]
    if unused:
        text = f"the processor has {', '.join(unused)}, which the build doesn't use"
        yield Finding("llama.cpp", "note", text, _rebuild("-DGGML_NATIVE=on"))


def graphics(found: Build, makers: Sequence[Maker]) -> Iterator[Finding]:
    """GPUs that the build uses, and those that it can't use."""
    from rung.tiers.llama.devices import gpus

    used = gpus(found.devices)
    for device in used:
        text = f"{device.name} ({device.description}), {readable(device.free)} of {readable(device.total)} free"
        yield Finding("GPU", "ok", text)
    for maker in makers:
        if not any(device.name.startswith(maker.backends) for device in used):
            text = f"this machine has a GPU ({maker.name}) that this build of llama-cpp-python can't use"
            yield Finding("GPU", "note", text, _rebuild(maker.build))


def flags() -> frozenset[str]:
    """Instruction sets of the processor, as the kernel spells them; none if it doesn't tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ()))


def _rebuild(flag: str) -> str:
    return (
        f'build it anew: CMAKE_ARGS="{flag}" pip install --force-reinstall --no-cache-dir --no-binary '
        "llama-cpp-python llama-cpp-python"
    )
