"""`rung batch --on`: the cluster of a job, and what its actors are equipped with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rung import guard
from rung.batch.climbing import Climbs
from rung.cli.output import Output
from rung.errors import ConfigError
from rung.limits import Cancel

if TYPE_CHECKING:
    from rung.batch.on_ray import RayCluster
    from rung.cli.batching import BatchWishes, Terms

_RAY = "ray"
_WHERE = "ray for this machine, ray://HOST:PORT for the head of a cluster that it is part of, or ray://auto for any"


@dataclass(frozen=True, slots=True)
class Equipment:
    """Makes in an actor what the job's process has: ladder, contract and options, from the same command line and files.

    Args:
        wishes: of the command.
        folder: in which it was typed. Relative paths are meant from there.
        fingerprint: of the job.
    """

    wishes: BatchWishes
    folder: Path
    fingerprint: Mapping[str, str]

    def __call__(self, place: int) -> Climbs:
        """What questions are asked with. A model that isn't on this machine is fetched; its other actors wait for that.

        Args:
            place: of the only tier that is asked here.

        Raises:
            ConfigError: the files on this machine make another job of the same command.
            RungError: the model can't be had.
        """
        from rung.cli import batching

        try:
            os.chdir(self.folder)
        except OSError:
            raise ConfigError(
                f"a machine of the cluster has no folder {self.folder}",
                hint="every machine needs the files that the command names, at the same paths",
            ) from None
        output, cancel = Output(json=True), Cancel()
        terms = batching.terms(self.wishes, output, cancel, fetches=place)
        guard.install(terms.config.reach.value)
        other = [what for what, known in self.fingerprint.items() if terms.fingerprint.get(what) != known]
        if other:
            raise ConfigError(
                f"a machine of the cluster has something else for {' and '.join(other)}",
                hint="give every machine the same configuration, task and models",
            )
        return Climbs(terms.ladder, terms.identities, terms.contract, (), terms.options)


def cluster(wishes: BatchWishes, terms: Terms, rows: int) -> RayCluster | None:
    """The cluster that `--on` names; `None` without it.

    Args:
        wishes: of the command.
        terms: of the job.
        rows: that are asked together.

    Raises:
        ConfigError: the option can't be used, or the reach doesn't allow it.
    """
    if wishes.on is None:
        if wishes.actors is not None:
            raise ConfigError("--actors says nothing without --on", hint="add --on ray")
        return None
    if wishes.order == "stream":
        raise ConfigError("--on asks tier by tier, so --order stream can't go with it", hint="leave one of them out")
    from rung.batch.on_ray import RayCluster

    equipment = Equipment(wishes, Path.cwd(), terms.fingerprint)
    return RayCluster(_address(wishes.on), equipment, terms.ladder.rungs, rows, wishes.actors, terms.ladder.reach)


def _address(on: str) -> str | None:
    """Host and port of a cluster, `auto`, or `None` for this machine."""
    if on == _RAY:
        return None
    scheme, found, rest = on.partition("://")
    if scheme != _RAY or not found or not rest.strip("/"):
        raise ConfigError(f"--on {on[:40]!r} is not a cluster", hint=f"write {_WHERE}")
    return rest.strip("/")
