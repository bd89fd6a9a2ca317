"""The worker: a program of its own that holds one model and is killed, or crashes, without harm to its host.

`python -m rung.tiers.llama.worker --rung-llama-worker PID` is what a host starts. Standard input and output carry
frames. Three threads share the work: one reads frames, so that a cancel or the end of the host is seen at any moment;
one prepares calls (template, tokens, grammar); the main thread loads the model and decodes.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from rung import guard
from rung.errors import PromptTooLong, TierUnavailable, Unsupported
from rung.tiers.llama import frames, system
from rung.tiers.llama.calls import Calls
from rung.tiers.llama.system import CAUSE, FLAG
from rung.tiers.llama.threads import Fixed, Free, Threads
from rung.types import Delta, Zone

if TYPE_CHECKING:
    from rung.tiers.llama.loaded import LoadedModel
    from rung.tiers.llama.loop import Loop
    from rung.tiers.llama.memory import Saved
    from rung.tiers.llama.snapshots import Snapshots

_BROKEN = 70


def main() -> None:
    """Be a worker where the command line says so; otherwise return at once.

    A frozen app, whose executable is the app itself, calls this first thing.
    """
    if sys.argv[1:2] != [FLAG]:
        return
    system.ignore_interrupts()
    system.no_core_dump()
    system.die_with(int(sys.argv[2]))
    guard.install(Zone.HOST)
    source, sink = _pipes()
    wire = Wire(sink)
    wire.send(frames.Hello(frames.PROTOCOL, os.getpid()))
    _or_end(lambda: Worker(source, wire).run())


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """The frame streams, out of reach of whatever a native library reads or prints."""
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return source, sink


def _or_end(work: Callable[[], None]) -> None:
    """Run a thread's work; whatever goes wrong in it ends the process, with the cause on standard error."""
    try:
        work()
    except BaseException as error:  # noqa: BLE001  any thread that is missing would leave its callers waiting
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
        # The text of a foreign error may quote a prompt.
        text = f": {error}" if type(error).__module__.startswith("rung.") else ""
        os.write(2, f"{CAUSE}{type(error).__name__} at {where}{text}\n".encode("utf-8", "replace"))
        os._exit(_BROKEN)


class Wire:
    """Where frames go out, from any thread.

    Args:
        sink: of bytes.
    """

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._lock = threading.Lock()

    def send(self, frame: frames.Frame) -> None:
        """Send a frame. Without a reader there is nothing left to live for."""
        try:
            with self._lock:
                frames.write(self._sink, frame)
        except OSError:
            os._exit(0)


class Worker:
    """One model, and the threads around it.

    Args:
        source: where frames come in.
        wire: where they go out.
    """

    def __init__(self, source: BinaryIO, wire: Wire) -> None:
        self._source = source
        self._wire = wire
        self._inbox: SimpleQueue[frames.Ask | frames.Count | frames.Ready] = SimpleQueue()
        self._served: SimpleQueue[tuple[LoadedModel, Loop]] = SimpleQueue()
        self._calls = Calls()

    def run(self) -> None:
        """Load the model that the first frame names, and serve it."""
        load = frames.read(self._source)
        if load is None:
            os._exit(0)
        if not isinstance(load, frames.Load):
            raise frames.BrokenFrame(f"{load.kind} before load")
        # Loading llama.cpp ties this thread to one core, and whatever it starts from then on.
        threads = Fixed(load.threads) if load.threads else Free(system.free_cores())
        self._spawn(self._read, "rung-read")
        self._spawn(self._prepare, "rung-prepare")
        model = self._load(load, threads)
        # The loop's module needs the native libraries, whose absence `_load` tells in words.
        from rung.tiers.llama.fit import BATCH
        from rung.tiers.llama.loop import Loop

        self._calls.abort = model.native.abort
        loop = Loop(
            model.native,
            self._calls,
            self._progress,
            self._saver(model.snapshots),
            cells=model.native.cells,
            slots=model.plan.slots,
            batch=BATCH,
        )
        self._wire.send(frames.Loaded(model.name, model.context))
        self._served.put((model, loop))
        loop.run()

    def _spawn(self, work: Callable[[], None], name: str) -> None:
        threading.Thread(target=_or_end, args=(work,), name=name, daemon=True).start()

    def _saver(self, snapshots: Snapshots | None) -> Callable[[Saved], None] | None:
        """Hands what shall rest on disk to a thread of its own, since writing would hold up the answers."""
        if snapshots is None:
            return None
        waiting: SimpleQueue[Saved] = SimpleQueue()

        def write() -> None:
            while True:
                snapshots.put(waiting.get())

        self._spawn(write, "rung-save")
        return waiting.put

    def _progress(self, request: int, delta: Delta) -> None:
        self._wire.send(frames.Progress(request, delta))

    def _load(self, load: frames.Load, threads: Threads) -> LoadedModel:
        try:
            from rung.tiers.llama.loaded import LoadedModel
        except (ImportError, OSError, RuntimeError) as error:
            name = getattr(error, "name", None) or "llama-cpp-python"
            self._refuse(TierUnavailable(f"{name} can't be imported", mend="install llama-cpp-python and llguidance"))
        try:
            return LoadedModel(load, threads)
        except TierUnavailable as error:
            self._refuse(error)

    def _refuse(self, error: TierUnavailable) -> NoReturn:
        self._wire.send(frames.Failed("unavailable", error.message, error.mend))
        os._exit(0)

    def _read(self) -> None:
        while (frame := frames.read(self._source)) is not None:
            if isinstance(frame, frames.Drop):
                self._calls.drop(frame.id)
            elif isinstance(frame, (frames.Ask, frames.Count, frames.Ready)):
                self._calls.add(frame.id, frame.candidates if isinstance(frame, frames.Ask) else 1)
                self._inbox.put(frame)
        os._exit(0)

    def _prepare(self) -> None:
        model, loop = self._served.get()
        while True:
            frame = self._inbox.get()
            if frame.id not in self._calls:
                continue
            try:
                self._begin(frame, model, loop)
            except PromptTooLong as error:
                self._fail(frames.Failed("too_long", "", "", frame.id, error.input_tokens, error.context))
            except Unsupported as error:
                self._fail(frames.Failed("unsupported", error.message, error.mend, frame.id))

    def _begin(self, frame: frames.Ask | frames.Count | frames.Ready, model: LoadedModel, loop: Loop) -> None:
        if isinstance(frame, frames.Ask):
            answers, seconds = model.answers(frame)
            for answer in answers:
                first = answer.begin()
                self._progress(frame.id, replace(first, load_seconds=seconds))
                seconds = 0.0
                if first.finish is None:
                    loop.submit(answer)
                else:
                    self._calls.done(frame.id)
            return
        if isinstance(frame, frames.Ready):
            model.warm()
        tokens = len(model.prompt(frame.messages)) if isinstance(frame, frames.Count) else 0
        self._calls.drop(frame.id)
        self._wire.send(frames.Counted(frame.id, tokens, model.context))

    def _fail(self, failure: frames.Failed) -> None:
        if failure.id is not None:
            self._calls.drop(failure.id)
        self._wire.send(failure)


if __name__ == "__main__":
    main()
