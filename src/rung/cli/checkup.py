"""What stands in the way of a local answer on this machine, found without loading a model."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rung.errors import ConfigError, StoreError, TierUnavailable

if TYPE_CHECKING:
    from rung.config import Config
    from rung.tiers.llama.build import Build
    from rung.tiers.llama.devices import Maker
    from rung.tiers.llama.headroom import Memory

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        topic: what, in a word.
        level: a `problem` keeps something from working, a `note` costs speed or may surprise.
        text: what was found, in a clause.
        mend: the command or setting that mends it; empty where nothing is to be mended.
    """

    topic: str
    level: Level
    text: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Fitting:
    """A model of this machine, and whether it fits into memory now.

    Args:
        name: of the tier, or of the model where no tier has it.
        tier: whether it is a tier of the ladder in force.
        context: largest that fits, in tokens; `None` where none does.
        slots: calls that would be decoded together.
        bytes: that it takes at first.
        reason: why it doesn't fit or can't be read.
        mend: what mends that.
    """

    name: str
    tier: bool
    context: int | None = None
    slots: int | None = None
    bytes: int | None = None
    reason: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Checkup:
    """Everything that was found.

    Args:
        findings: in the order in which a reader wants them.
        models: those on this machine, and those that tiers name.
    """

    findings: tuple[Finding, ...]
    models: tuple[Fitting, ...]

    @property
    def runs(self) -> bool:
        """Whether some local tier can run."""
        broken = any(f.topic == "llama.cpp" and f.level == "problem" for f in self.findings)
        return not broken and any(m.context for m in self.models if m.tier)

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return self.runs and all(f.level != "problem" for f in self.findings)


def check(config: Path | None = None) -> Checkup:
    """Look at everything.

    Args:
        config: the only file to read; `None` looks where every command looks.
    """
    from rung.config import load
    from rung.tiers.llama.build import NoBuild, build
    from rung.tiers.llama.devices import present, together
    from rung.tiers.llama.headroom import free_memory

    memory = free_memory()
    findings = [python(), *machine(memory), *openmp(os.environ)]
    try:
        found = build()
    except NoBuild as error:
        mend = "install it: docs/install.md names the ways"
        findings.append(Finding("llama.cpp", "problem", f"llama-cpp-python can't be used: {error}", mend))
        findings += [Finding("GPU", "note", f"there is a GPU ({maker.name})") for maker in present()]
    else:
        findings += [library(found), *processor(found, _flags()), *graphics(found, present())]
        memory = together(memory, found.devices)
    loaded: Config | None = None
    try:
        loaded = load(config)
        findings += settings(loaded)
    except ConfigError as error:
        findings.append(Finding("config", "problem", error.message, error.mend))
    models = tuple(fittings(loaded, memory))
    if not any(m.context for m in models):
        findings.append(Finding("models", "problem", "no model is here and fits", "run `rung models list`"))
    return Checkup(tuple(findings), models)


def python() -> Finding:
    """Which Python and which rung."""
    from rung import __version__

    return Finding("python", "ok", f"{platform.python_version()} at {sys.executable}, rung {__version__}")


def machine(memory: Memory) -> Iterator[Finding]:
    """Cores and memory."""
    from rung.tiers.llama.system import free_cores
    from rung.tiers.llama.threads import sample

    cores = free_cores()
    free = sample(cores)
    text = f"{platform.system()} {platform.machine()}, {free} of {cores} cores free"
    yield Finding("cores", "ok" if free == cores else "note", text)
    limit = "" if memory.address_space is None else f"; {_size(memory.address_space)} of address space"
    yield Finding("memory", "ok", f"{_size(memory.available)} free ({memory.limited_by}){limit}")


def openmp(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Settings of OpenMP that the person made, and that a worker inherits."""
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
    commit = f", llama.cpp {found.commit}" if found.commit else ""
    return Finding("llama.cpp", "ok", f"llama-cpp-python {found.version}{commit}: {', '.join(found.features)}")


def processor(found: Build, flags: frozenset[str]) -> Iterator[Finding]:
    """Vector units that the processor has and the build leaves unused.

    Args:
        found: the build.
        flags: of the processor, in the kernel's spelling; none where it doesn't tell.
    """
    unused = [name for name, flag in (("AVX2", "avx2"), ("FMA", "fma"), ("F16C", "f16c")) if flag in flags]
    unused = [name for name in unused if name not in found.features]
    if unused:
        text = f"the processor has {', '.join(unused)}, which the build doesn't use"
        yield Finding("llama.cpp", "note", text, _rebuild("-DGGML_NATIVE=on"))


def graphics(found: Build, makers: Sequence[Maker]) -> Iterator[Finding]:
    """GPUs that the build uses, and those that it can't."""
    from rung.tiers.llama.devices import gpus

    used = gpus(found.devices)
    for device in used:
        text = f"{device.name} ({device.description}), {_size(device.free)} of {_size(device.total)} free"
        yield Finding("GPU", "ok", text)
    for maker in makers:
        if not any(device.name.startswith(maker.backends) for device in used):
            text = f"this machine has a GPU ({maker.name}) that this build of llama-cpp-python can't use"
            yield Finding("GPU", "note", text, _rebuild(maker.build))


def settings(config: Config) -> Iterator[Finding]:
    """What the configuration says, and what it asks for in vain."""
    for file in config.files:
        yield Finding("config", "ok", f"{file.path} ({file.origin.source})")
    for note in config.notes:
        yield Finding("config", "note", note)
    try:
        if asks := config.asks():
            path = config.files[0].path
            mend = f"look at it, then run `rung config trust {path}`"
            yield Finding("config", "problem", f"{path} is not trusted, and asks to {'; to '.join(asks)}", mend)
        else:
            config.ladder()
    except ConfigError as error:
        yield Finding("config", "problem", error.message, error.mend)
    except TierUnavailable:
        # No tier is configured and no model is here: told with the models.
        return


def fittings(config: Config | None, memory: Memory) -> Iterator[Fitting]:
    """The local tiers in force, then the other models of the store."""
    from rung.store import models

    shown = set()
    tables = () if config is None else config.tiers.value or config.default_tiers()
    for table in tables:
        model = table.settings.get("model")
        if table.rung.kind == "llama" and isinstance(model, str):
            shown.add(model)
            yield _fitting(table.rung.name, model, table.settings, memory)
    for listed in models():
        if listed.file is not None and listed.model.name not in shown:
            # With a broken configuration the default tiers are what is left to speak of.
            yield _fitting(listed.model.name, listed.model.name, {}, memory, tier=config is None)


def _fitting(name: str, model: str, wishes: Mapping[str, Any], memory: Memory, *, tier: bool = True) -> Fitting:
    from rung.store import resolve
    from rung.store.gguf import read_header
    from rung.tiers.llama.fit import plan

    try:
        header = read_header(resolve(model).path)
        context, slots = _whole(wishes.get("context")), _whole(wishes.get("slots"))
        chosen = plan(header, context=context, slots=slots, memory=memory)
    except (StoreError, TierUnavailable) as error:
        return Fitting(name, tier, reason=error.message, mend=error.mend)
    return Fitting(name, tier, chosen.context, chosen.slots, chosen.fit.need(chosen.cells).total)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _flags() -> frozenset[str]:
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


def _size(count: int) -> str:
    from rung.store import readable

    return readable(count)
