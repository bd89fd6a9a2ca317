"""A job's tiers in a cluster of Ray: each step is a Ray Data pipeline with a pool of actors that hold the tier.

The job's process reads the rows and keeps the manifest. An actor gets blocks of questions and returns what came of
them, so it may be killed at any moment: Ray starts another one, and the block is asked again. Tiers that connect to a
host or may cost money are asked by the job's process: the cluster would gain nothing, and the budget is there.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import pickle
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from rung import hosts
from rung.batch.climbing import ClimbedRow, Climbs, LoadedModels
from rung.batch.manifest import KeptCall
from rung.batch.working import Asked
from rung.errors import ConfigError, RungError, TierUnavailable
from rung.limits import Cancel
from rung.tier import Rung
from rung.types import Zone

Equip = Callable[[int], Climbs]
"""Makes in an actor what questions are asked with, for the tier at a place. It is pickled, and raises `RungError`."""

_ROUNDS = 2
"""Blocks have this many times the rows that an actor asks together. More would lose more work at a kill; fewer would
leave an actor without work until its last row is through."""
_MOST_BLOCKS = 20_000
"""Blocks of a pipeline, each of which costs Ray some kilobytes and a millisecond. Larger steps have larger blocks."""
_LOOK = 0.2
"""Seconds between two looks whether the job is to stop."""
_START = 600
"""Seconds to wait for the first actor, such as for a cluster that starts machines when they are needed."""
_STARTS = 3
"""Tries to start Ray. It gives itself 30 seconds, which a busy machine may exceed the first time."""
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_worker_niceness": "0",
}
"""Ray reads these when it is imported and started. Without them it reports its use over the internet, is started again
by a thread that still waits for it when the job has ended, writes its own log to stderr, and runs actors at niceness
15, where a busy machine starves them."""
_COLUMN = "rung"
"""The only column of a block: pickled questions on their way out, and pickled results on their way back."""


class RayCluster:
    """The cluster. It is started, or joined, at its first step.

    Args:
        address: `None` starts Ray on this machine; `auto` joins the cluster that this machine is part of; host and
            port of a cluster's head join that one, which this machine has to be part of, too.
        equip: makes in an actor what questions are asked with.
        rungs: of the job's ladder.
        together: rows that an actor asks together.
        actors: for each tier; `None` takes one for each machine of the cluster.
        reach: how far prompts may travel, and so where the cluster's machines may be.

    Raises:
        ConfigError: Ray isn't installed, or would reach further than prompts may.
    """

    def __init__(
        self,
        address: str | None,
        equip: Equip,
        rungs: Sequence[Rung],
        together: int,
        actors: int | None,
        reach: Zone,
    ) -> None:
        self._address, self._equip, self._rungs = address, equip, rungs
        self._together, self._actors, self._reach = together, actors, reach
        self._ray: Any = None
        demand_reach(address, reach)
        if importlib.util.find_spec("ray") is None:
            raise ConfigError("--on ray needs Ray, which isn't installed", hint='pip install "rung[ray]"')

    def takes(self, place: int) -> bool:
        """Whether the tier at this place is asked in the cluster: it runs on this machine and costs nothing."""
        rung = self._rungs[place]
        return rung.tier.zone == Zone.HOST and not rung.may_cost and not getattr(rung.tier, "hosts", None)

    def block(self, left: int) -> int:
        """How many questions make a block."""
        return max(_ROUNDS * self._together, -(-left // _MOST_BLOCKS))

    def climb(self, place: int, blocks: Iterator[Sequence[Asked]], stop: Cancel) -> Iterator[ClimbedRow]:
        """Ask the tier at a place, in a pipeline of its own.

        Raises:
            RungError: an actor can't be equipped, or the cluster gave up.
        """
        first = next(blocks, None)
        if first is None:
            return
        ray = self._started()
        refs = [ray.put(_table(block)) for block in _chained(first, blocks)]
        for found in _watched(lambda: self._pipeline(place, refs), stop):
            for said in found[_COLUMN]:
                climbed = pickle.loads(said)
                if isinstance(climbed, RungError):
                    raise climbed
                yield climbed

    def close(self) -> None:
        """Leave the cluster; what was started here ends."""
        if self._ray is not None:
            self._ray.shutdown()
            self._ray = None

    def _pipeline(self, place: int, refs: Sequence[Any]) -> Iterator[Any]:
        import ray.data

        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.wait_for_min_actors_s = _START
        actors = min(self._actors or len(self._machines()), len(refs))
        cores = float(self._ray.cluster_resources().get("CPU", 1)) / actors
        rows = ray.data.from_arrow_refs(list(refs))
        done = rows.map_batches(
            TierActor,
            fn_constructor_args=(self._equip, place, self._together),
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(size=actors),
            # an actor is given the cores that are its due, so that they are spread over the machines
            num_cpus=int(cores) if cores >= 1 else round(cores - 0.005, 2),
        )
        yield from done.iter_batches(batch_size=None, prefetch_batches=0)

    def _started(self) -> Any:
        if self._ray is None:
            os.environ |= _ENVIRONMENT
            import ray

            options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
            if self._address is None:
                options |= {"address": "local", "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
            else:
                # not by Ray's client, through which a pipeline of Ray Data can't be run
                options["address"] = self._address
            with _own_signals(), _errors("it can't be started" if self._address is None else "it can't be reached"):
                _start(ray, options)
            self._ray = ray
            self._demand_near()
        return self._ray

    def _machines(self) -> list[str]:
        return [str(node["NodeManagerAddress"]) for node in self._ray.nodes() if node["Alive"]]

    def _demand_near(self) -> None:
        """Check that every machine of the cluster lies within the reach, because prompts travel to all of them."""
        for machine in self._machines():
            zone = hosts.zone_of(machine) if self._address is not None else Zone.HOST
            if zone is None or zone > self._reach:
                self.close()
                raise ConfigError(
                    f"the cluster has the machine {machine}, which lies beyond the reach {self._reach}",
                    hint="raise the reach if prompts may go there",
                )


class TierActor:
    """One tier in an actor, with its model.

    Args:
        equip: makes what questions are asked with.
        place: of the tier.
        together: rows that are asked together.
    """

    def __init__(self, equip: Equip, place: int, together: int) -> None:
        self._live = frozenset((place,))
        self._refusal: RungError | None = None
        self._asks = ThreadPoolExecutor(together, thread_name_prefix="rung-actor")
        try:
            self._climbs = equip(place)
            self._models = LoadedModels(self._climbs.ladder.rungs)
        except RungError as error:  # raised here, Ray would start the actor again and again
            self._refusal = error

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Ask a block of questions."""
        return {_COLUMN: list(self._asks.map(self._answer, batch[_COLUMN]))}

    def _answer(self, said: bytes) -> bytes:
        if self._refusal is not None:
            return pickle.dumps(self._refusal)
        claim, question = pickle.loads(said)
        return _dumped(self._climbs.climb(claim, question, self._live, _kept_nowhere, self._models.get_ready, Cancel()))


def demand_reach(address: str | None, reach: Zone) -> None:
    """Check that Ray may be started or joined at a reach.

    When it starts, Ray looks for a cloud's metadata server at a link-local address and asks a resolver for this
    machine's address, whatever it is told. So at reach `host` it has to run where there is no network at all.

    Raises:
        ConfigError: it may not.
    """
    if reach == Zone.HOST and not alone():
        raise ConfigError(
            "--on ray can't run at reach 'host': when it starts, Ray tries a link-local metadata address and a public "
            "resolver",
            hint="run it in a network namespace: unshare -rn sh -c 'ip link set lo up; rung batch …'; or allow it: "
            "--reach lan for a cluster in your network, --reach internet otherwise",
        )
    if address is None or address == "auto":
        return
    host = address.rpartition(":")[0] or address
    zone = hosts.zone_of(host.strip("[]"))
    if reach < Zone.INTERNET and (zone is None or zone > reach):
        raise ConfigError(
            f"the cluster {address} lies beyond the reach {reach}", hint="raise the reach if prompts may go there"
        )


def alone() -> bool:
    """Whether this process is in a network namespace that has nothing but the loopback interface."""
    return sys.platform == "linux" and [name for _, name in socket.if_nameindex()] == ["lo"]


def _table(block: Sequence[Asked]) -> Any:
    import pyarrow

    return pyarrow.table({_COLUMN: pyarrow.array([pickle.dumps(it) for it in block], pyarrow.large_binary())})


def _chained(first: Sequence[Asked], rest: Iterator[Sequence[Asked]]) -> Iterator[Sequence[Asked]]:
    yield first
    yield from rest


def _dumped(climbed: ClimbedRow) -> bytes:
    from ray import cloudpickle  # answers may be of classes that only the user's own module has

    said: bytes = cloudpickle.dumps(climbed)
    return said


def _kept_nowhere(question: int, number: int, call: KeptCall, reservation: int | None) -> None:
    raise AssertionError("a tier that may cost money isn't asked in a cluster")


def _watched(begin: Callable[[], Iterator[Any]], stop: Cancel) -> Iterator[Any]:
    """The batches of a pipeline, until the job is to stop. A thread waits for Ray, whose waiting can't be interrupted.

    Raises:
        TierUnavailable: the pipeline ended with an error.
    """
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=2)
    ended = threading.Event()

    def tell(word: str, what: Any) -> None:
        while not ended.is_set():
            with suppress(queue.Full):
                ready.put((word, what), timeout=_LOOK)
                return

    def follow() -> None:
        try:
            for batch in begin():
                tell("batch", batch)
                if ended.is_set():
                    return
            tell("end", None)
        except BaseException as error:  # noqa: BLE001  raised again where it is waited for
            tell("error", error)

    threading.Thread(target=follow, name="rung-ray", daemon=True).start()
    try:
        while not stop.is_set():
            try:
                word, what = ready.get(timeout=_LOOK)
            except queue.Empty:
                continue
            if word == "end":
                return
            if word == "error":
                raise _given_up("it gave up", what) from what
            yield what
    finally:
        ended.set()


def _start(ray: Any, options: Mapping[str, Any]) -> None:
    for left in reversed(range(_STARTS)):
        try:
            ray.init(**options)
            return
        except Exception:
            ray.shutdown()
            if not left:
                raise


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise _given_up(what, error) from error


def _given_up(what: str, error: BaseException) -> TierUnavailable:
    # the class alone: Ray's messages quote what was asked
    return TierUnavailable(
        f"Ray: {what} ({type(error).__name__})",
        hint="see Ray's logs; this machine has to be part of the cluster (ray start --address HOST:PORT) and have its "
        "token (RAY_AUTH_MODE, RAY_AUTH_TOKEN_PATH); the same command goes on from here",
    )


@contextmanager
def _own_signals() -> Iterator[None]:
    """Put back the handlers that `ray.init` replaces: its own ends the process without a word."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
