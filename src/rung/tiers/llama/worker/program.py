"""The worker: a separate program that holds one model, and can crash or be killed without harm to its host.

`python -m rung.tiers.llama.worker --rung-llama-worker PID` is what a host starts, and `start` is its beginning. Frames
go through standard input and output. These threads share the work. One reads frames, so that a cancel or the end of the
host is noticed at any moment. Two prepare calls (template, tokens, grammar), one short calls and one long calls. The
main thread loads the model and decodes, and a crew helps it with the logits of many answers. One gives a sign of life
each second. Whatever goes wrong with one call is that call's failure, and the others go on.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from rung.errors import PromptTooLong, TierUnavailable, Unsupported
from rung.tiers.llama import frames
from rung.tiers.llama.threads import Free, Threads
from rung.tiers.llama.worker import system
from rung.tiers.llama.worker.calls import Calls
from rung.tiers.llama.worker.crew import Crew
from rung.tiers.llama.worker.errand import Dropped, Errand
from rung.tiers.llama.worker.lanes import Lane, is_long
from rung.tiers.llama.worker.start import cause, spawn

if TYPE_CHECKING:
    import socket

    from rung.tiers.llama.worker.lanes import Task
    from rung.tiers.llama.worker.lingering import MadeOf, Vigil
    from rung.tiers.llama.worker.loaded import LoadedModel
    from rung.tiers.llama.worker.loop import Loop
    from rung.tiers.llama.worker.memory import Saved
    from rung.tiers.llama.worker.placing import Placed
    from rung.tiers.llama.worker.snapshots import Snapshots
    from rung.types import Delta

_CALM = 0.2
"""Seconds after which nobody is expected to ask at once."""

_SETTLES, _AGAIN = 0.6, 0.005
"""Seconds that a worker gets to leave what it is doing before it lingers, and seconds between two looks. Its host waits
for a second."""


class Wire:
    """Sends frames, from any thread.

    Args:
        sink: receives the bytes.
    """

    def __init__(self, sink: BinaryIO) -> None:
        self._sink: BinaryIO | None = sink
        self._lock = threading.Lock()

    def send(self, frame: frames.Frame) -> None:
        """Send a frame. If nobody reads it, the worker ends. If there is no host, nobody has to."""
        try:
            with self._lock:
                if self._sink is not None:
                    frames.write(self._sink, frame)
        except OSError:
            os._exit(0)

    def turn_to(self, sink: BinaryIO | None, *first: frames.Frame) -> None:
        """Send what follows to another host, or to none.

        Args:
            sink: receives the bytes.
            first: what it is sent before anything else.
        """
        try:
            with self._lock:
                if self._sink is not None:
                    self._sink.close()
                self._sink = sink
                for frame in first:
                    if sink is not None:
                        frames.write(sink, frame)
        except OSError:
            os._exit(0)


class Worker:
    """One model, and the threads around it.

    Args:
        source: stream of incoming frames.
        sink: stream of outgoing frames.
        survive: lets the process outlive its first host.
        load: what it loads.
        threads: says how many threads decode.
        most: the most that they will be.
    """

    def __init__(
        self,
        source: BinaryIO,
        sink: BinaryIO,
        survive: Callable[[], None],
        load: frames.LoadModel,
        threads: Threads,
        most: int,
    ) -> None:
        self._source = source
        self._wire = Wire(sink)
        self._survive = survive
        self._load = load
        self._threads = threads
        self._served: tuple[LoadedModel, Loop]
        self._said: frames.Loaded
        self._made_of: MadeOf | None = None
        self._imported = threading.Event()
        self._placed = threading.Event()
        self._vigil: Vigil | None = None
        self._connection: socket.socket | None = None
        self._serving = threading.Event()
        self._calls = Calls()
        self._crew = Crew(most - 1, spawn)
        self._lanes = tuple(Lane(n, self._calls, self._prepare, spawn) for n in ("rung-prepare", "rung-long"))

    def listen(self) -> None:
        """Give signs of life, and hear what the host says, from now on."""
        spawn(self._beat, "rung-beat")
        spawn(self._read, "rung-read")

    def serve(self, placed: Placed) -> None:
        """Serve a model that is in memory.

        Args:
            placed: the model.
        """
        self._placed.set()
        from rung.tiers.llama.worker.loaded import LoadedModel
        from rung.tiers.llama.worker.loop import Loop

        try:
            model = LoadedModel(self._load, placed)
        except TierUnavailable as error:
            self.refuse(error)
        self._calls.abort = model.native.abort
        loop = Loop(
            model.native,
            self._calls,
            self._progress,
            self._saver(model.snapshots),
            self._broke,
            self._crew,
            model.larger,
            cells=model.native.cells,
            slots=model.plan.slots,
        )
        header = model.plan.fit.header
        said = (model.name, model.context, model.longest_token, header.architecture, header.parameters)
        self._said = frames.Loaded(*said)
        self._served = model, loop
        self._wire.send(self._said)
        self._serving.set()
        loop.run()

    def _saver(self, snapshots: Snapshots | None) -> Callable[[Saved], None] | None:
        """Hands what is to be kept on disk to a separate thread, since writing would hold up the answers."""
        if snapshots is None:
            return None
        waiting: SimpleQueue[Saved] = SimpleQueue()

        def write() -> None:
            while True:
                snapshots.put(waiting.get())

        spawn(write, "rung-save")
        return waiting.put

    def _progress(self, request: int, delta: Delta) -> None:
        self._wire.send(frames.AnswerDelta(request, delta))

    def import_rest(self) -> None:
        """Import what a model needs to be served, and then what calls need, and let go of what nobody reads again. What
        is missing is noticed where it is used.
        """
        with suppress(Exception):
            # With it comes numpy, before which llama.cpp must be there: one with CUDA crashes otherwise.
            import rung.tiers.llama.worker.loaded
            import rung.tiers.llama.worker.loop  # noqa: F401
        # What calls need is imported while llama.cpp reads the file. Later it would hold up the model.
        if self._placed.is_set():
            self._serving.wait()
        with suppress(Exception):
            frames.prepare()

            import llguidance  # noqa: F401

            from rung.tiers.llama.worker.lingering import MadeOf

            self._made_of = MadeOf(self._load.path)
        self._imported.set()
        self._serving.wait()
        with suppress(Exception):  # it only saves memory
            system.let_go(self._load.path)

    def refuse(self, error: TierUnavailable) -> NoReturn:
        """Tell the host that the model can't be loaded, and end."""
        self._wire.send(frames.Failed("unavailable", error.message, error.hint))
        os._exit(0)

    def _read(self) -> None:
        short, long = self._lanes
        while True:
            try:
                frame = frames.read(self._source)
            except frames.WrongFrame as error:
                self._fail(frames.Failed("failed", f"the worker was sent {error}", id=error.request))
                continue
            if frame is None:
                self._leave()
            if isinstance(frame, frames.Release):
                self._linger(frame)
            elif isinstance(frame, frames.Drop):
                self._drop(frame.id)
            elif isinstance(frame, (frames.Ask, frames.Count, frames.Ready)):
                self._calls.add(frame.id, frame.candidates if isinstance(frame, frames.Ask) else 1)
                (long if is_long(frame) else short).put(frame)

    def _drop(self, request: int) -> None:
        self._calls.drop(request)
        for lane in self._lanes:
            lane.drop(request)

    def _leave(self) -> NoReturn:
        if self._vigil is not None:
            self._vigil.end()
        os._exit(0)

    def _linger(self, release: frames.Release) -> None:
        """Part from the host, and wait for the next one. The process ends if it can't, or if none comes.

        Only a worker with nothing left to do lingers: the next host's requests have the same ids.
        """
        for request in self._calls.live():
            self._drop(request)
        until = time.monotonic() + _SETTLES
        while not (self._served[1].quiet and all(lane.quiet for lane in self._lanes)):
            if time.monotonic() > until:
                self._leave()
            time.sleep(_AGAIN)
        if self._vigil is None:
            from rung.tiers.llama.worker.lingering import Vigil

            try:
                self._imported.wait(max(0.0, until - time.monotonic()))
                if self._made_of is None:
                    raise FileNotFoundError("something that a worker needs couldn't be imported")
                self._vigil = Vigil(release.key, self._said.model, self._made_of, spawn)
            except OSError:
                self._leave()
        self._vigil.begin(release.seconds)
        self._survive()
        self._wire.send(frames.Released())
        self._wire.turn_to(None)
        self._source.close()
        if self._connection is not None:
            self._connection.close()
        system.hush()
        self._connection, errors = self._vigil.next_host()
        system.speak_to(errors)
        if isinstance(self._threads, Free):
            self._threads.anew()
        self._source = self._connection.makefile("rb")
        hello = frames.Hello(frames.PROTOCOL, os.getpid())
        self._wire.turn_to(self._connection.makefile("wb"), hello, self._said)

    def _beat(self) -> None:
        while True:
            stuck = max((self._calls.stuck(), *(lane.stuck() for lane in self._lanes)))
            self._wire.send(frames.Beat(stuck))
            time.sleep(frames.BEAT)

    def _prepare(self, task: Task, errand: Errand) -> None:
        self._serving.wait()
        try:
            # Its caller may have gone while the model was being loaded.
            if task.id in self._calls:
                self._begin(task, errand, *self._served)
        except Dropped:
            return
        except PromptTooLong as error:
            failure = frames.Failed("too_long", "", "", task.id, error.input_tokens, error.context, error.at_least)
            self._fail(failure)
        except Unsupported as error:
            self._fail(frames.Failed("unsupported", error.message, error.hint, task.id))
        except BaseException as error:  # noqa: BLE001  a panic of the grammar's library is not even an Exception
            self._broke(task.id, error)

    def _begin(self, task: Task, errand: Errand, model: LoadedModel, loop: Loop) -> None:
        if isinstance(task, frames.Ask):
            answers, seconds = model.answers(task, errand)
            for answer in answers:
                first = answer.begin()
                self._progress(task.id, replace(first, load_seconds=seconds))
                seconds = 0.0
                if first.finish is None:
                    loop.submit(answer)
                else:
                    self._calls.done(task.id)
            return
        tokens = len(model.prompt(task.messages, errand)) if isinstance(task, frames.Count) else 0
        self._calls.drop(task.id)
        self._wire.send(frames.Counted(task.id, tokens, model.context))
        if isinstance(task, frames.Ready):
            spawn(lambda: self._warm(model), "rung-warm")

    def _warm(self, model: LoadedModel) -> None:
        """Build what constrained answers need, once nobody waits for anything: it keeps all other threads waiting. The
        first such answer builds it if it comes before that.
        """
        while True:
            time.sleep(_CALM)
            if not self._calls:
                model.warm()
                return

    def _broke(self, request: int, error: BaseException) -> None:
        """Something unforeseen went wrong. It is the failure of this request alone."""
        self._fail(frames.Failed("failed", f"the worker failed at this call: {cause(error)}", id=request))

    def _fail(self, failure: frames.Failed) -> None:
        if failure.id is not None:
            self._calls.drop(failure.id)
        self._wire.send(failure)
