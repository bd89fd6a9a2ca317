"""What stands in the way of a local answer on this machine, and what could leave it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rung.errors import StoreError, TierUnavailable
from rung.limits import Cancel
from rung.machine.findings import Finding
from rung.machine.hardware import flags, graphics, library, machine, openmp, processor, python
from rung.machine.leaving import Leaving, leaving
from rung.machine.lingering import lingering_findings
from rung.machine.trial import TierTrial, tried

if TYPE_CHECKING:
    from rung.config import Config
    from rung.tiers.llama.headroom import FreeMemory
    from rung.tiers.llama.host.build import Build


@dataclass(frozen=True, slots=True)
class Fitting:
    """A model of this machine, and whether it fits into memory now.

    Args:
        name: name of the tier, or of the model if no tier has it.
        tier: whether it is a tier of the ladder in force.
        context: largest context that fits, in tokens; `None` if none does.
        slots: calls that would be decoded together.
        bytes: memory that it takes at first.
        reason: why it doesn't fit or can't be read.
        hint: the command or setting that helps.
    """

    name: str
    tier: bool
    context: int | None = None
    slots: int | None = None
    bytes: int | None = None
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Checkup:
    """Everything that was found.

    Args:
        machine: findings on what there is to compute with, in the order in which a reader wants them.
        build: the build of llama-cpp-python; `None` if it can't be used.
        leaving: what could leave this machine.
        models: the models on this machine, and those that tiers name.
        trials: results of trying the local tiers; empty if none was tried.
    """

    machine: tuple[Finding, ...]
    build: Build | None
    leaving: Leaving
    models: tuple[Fitting, ...]
    trials: tuple[TierTrial, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them."""
        none = Finding("models", "problem", "no model is here and fits", "run `rung models list`")
        return (*self.machine, *self.leaving.findings, *(() if any(m.context for m in self.models) else (none,)))

    @property
    def runs(self) -> bool:
        """Whether at least one local tier can run."""
        if self.trials:
            return any(trial.answered for trial in self.trials)
        return self.build is not None and any(m.context for m in self.models if m.tier)

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        wrong = any(f.level == "problem" for f in self.findings) or any(trial.problem for trial in self.trials)
        return self.runs and not wrong


def check(config: Path | None, *, quick: bool, report: Callable[[str], None], cancel: Cancel) -> Checkup:
    """Look at everything. Only for a process that holds itself to this machine.

        guard.install(Zone.HOST)
        found = check(None, quick=True, report=print, cancel=Cancel())
        print(found.runs, [it.text for it in found.findings if it.level == "problem"])

    Args:
        config: the only file to read; `None` looks where every command looks.
        quick: whether to hash no file and load no model.
        report: told what is being done.
        cancel: ends the checkup.

    Raises:
        Cancelled: `cancel` was set.
    """
    from rung.tiers.llama.devices import present, together
    from rung.tiers.llama.headroom import free_memory
    from rung.tiers.llama.host.build import NoBuild, build
    from rung.tiers.llama.residents import Residents

    memory = free_memory()
    findings = [python(), *machine(memory), *openmp(os.environ)]
    found: Build | None = None
    try:
        found = build()
        # a worker that is loading has claimed memory that the GPU's driver still calls free
        found = replace(found, devices=Residents().devices(found.devices))
    except NoBuild as error:
        hint = "install it: docs/install.md names the ways"
        findings.append(Finding("llama.cpp", "problem", f"llama-cpp-python can't be used: {error}", hint))
        findings += [Finding("GPU", "note", f"there is a GPU ({maker.name})") for maker in present()]
    else:
        findings += [library(found), *processor(found, flags()), *graphics(found, present())]
        memory = together(memory, found.devices)
    left = leaving(config)
    findings += lingering_findings(left.config)
    models = tuple(fittings(left.config, memory))
    trials = () if quick else tuple(_trials(left, models, report, cancel))
    return Checkup(tuple(findings), found, left, models, trials)


def _trials(
    left: Leaving, models: tuple[Fitting, ...], report: Callable[[str], None], cancel: Cancel
) -> Iterator[TierTrial]:
    if left.ladder is None:
        return
    named = {name: model for name, model, _ in _local(left.config)}
    fits = {m.name: m for m in models if m.tier}
    for rung in left.ladder.rungs:
        name = rung.tier.name
        if name in named:
            if rung.lingers is not None:
                rung.lingers.linger = 0.0  # one that lingers has loaded its model long ago, which shows nothing
            fit = fits[name]
            trial = tried(rung.tier, named[name], loads=fit.context is not None, report=report, cancel=cancel)
            if fit.context is None and not trial.problem:
                trial = replace(trial, problem=fit.reason, hint=fit.hint)
            yield trial


def _local(config: Config | None) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Name, model and further settings of the tiers in force that are GGUF files."""
    for table in () if config is None else config.local_tiers if config.tiers.value else config.default_tiers():
        model = table.settings.get("model")
        if isinstance(model, str):
            yield table.rung.name, model, table.settings


def fittings(config: Config | None, memory: FreeMemory) -> Iterator[Fitting]:
    """The local tiers in force, then the other models of the store."""
    from rung.store import models

    shown = set()
    for name, model, wishes in _local(config):
        shown.add(model)
        yield _fitting(name, model, wishes, memory)
    for listed in models():
        if listed.file is not None and listed.model.name not in shown:
            # If the configuration is broken, only the default tiers are left to look at.
            yield _fitting(listed.model.name, listed.model.name, {}, memory, tier=config is None)


def _fitting(name: str, model: str, wishes: Mapping[str, Any], memory: FreeMemory, *, tier: bool = True) -> Fitting:
    from rung.store import resolve
    from rung.store.gguf import read_header
    from rung.tiers.llama.fit import plan

    try:
        header = read_header(resolve(model).path)
        context, slots = _whole(wishes.get("context")), _whole(wishes.get("slots"))
        chosen = plan(header, context=context, slots=slots, memory=memory)
    except (StoreError, TierUnavailable) as error:
        return Fitting(name, tier, reason=error.message, hint=error.hint)
    return Fitting(name, tier, chosen.context, chosen.slots, chosen.fit.need(chosen.cells).total)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
