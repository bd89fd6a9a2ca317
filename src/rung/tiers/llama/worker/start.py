"""The beginning of a worker: from its command line to a model in memory.

Until llama.cpp reads the file nothing is imported that this doesn't need. `program` and what it imports take longer
than a small model takes to load, so they come on a thread beside it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, BinaryIO

from rung import guard
from rung.errors import TierUnavailable
from rung.tiers.llama import opening
from rung.tiers.llama.flag import FLAG
from rung.tiers.llama.threads import Fixed, Free, free_cores
from rung.tiers.llama.worker import system
from rung.types import Zone

if TYPE_CHECKING:
    from rung.tiers.llama.worker.placing import Placed
    from rung.tiers.llama.worker.program import Worker

_BROKEN = 70

_ALONE = 0.3
"""Most seconds for which a load has the interpreter to itself before it reads the file, so that the host is heard even
then. It takes a tenth of that, unless another worker is just planning its own."""

_TURN = 0.0002
"""Seconds for which a thread keeps the interpreter while another one wants it: the load is not to wait for imports.
Python's usual 5 ms are as long as all that is computed between two of its calls."""

_FIRST = ("filelock", "rung.tiers.llama.worker.placing")
"""Modules that a load needs."""

_BESIDE = (
    *("rung.allowed", "rung.limits", "rung.types.messages", "rung.types.preparing", "rung.types.request"),
    *("rung.tiers.llama.frames", "rung.tiers.llama.worker.program"),
)
"""What is imported while nothing else is to be done: before the host names a model, or beside its load. The last one
imports the others, too. They stand before it so that a load never waits for more than one of them."""

_LIBRARIES = {"llama_cpp": "llama-cpp-python", "llguidance": "llguidance", "numpy": "numpy", "jinja2": "jinja2"}
"""What calls need, by the names of their packages. If one is missing, that is noticed before a model is read."""


def main() -> None:
    """Be a worker if the command line says so. Otherwise return at once."""
    if sys.argv[1:2] != [FLAG]:
        return
    system.ignore_interrupts()
    system.no_core_dump()
    survive = system.die_with(int(sys.argv[2]))
    guard.install(Zone.HOST)
    source, sink = _pipes()
    opening.write(sink, opening.Hello(opening.PROTOCOL, os.getpid()))
    _or_end(lambda: _work(source, sink, survive))


def spawn(work: Callable[[], None], name: str) -> None:
    """Do a thread's work. Any error in it ends the process.

    Args:
        work: the work.
        name: of the thread.
    """
    threading.Thread(target=_or_end, args=(work,), name=name, daemon=True).start()


def cause(error: BaseException) -> str:
    """What went wrong, and where. The text of a foreign error may quote a prompt, so it is left out."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    text = f": {error}" if type(error).__module__.startswith("rung.") else ""
    return f"{type(error).__name__} at {where}{text}"


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
    """Run a thread's work. Any error in it ends the process, with the cause on standard error."""
    try:
        work()
    except BaseException as error:  # noqa: BLE001  if one thread ended, its callers would wait for ever
        os.write(2, f"{opening.CAUSE}{cause(error)}\n".encode("utf-8", "replace"))
        os._exit(_BROKEN)


def _work(source: BinaryIO, sink: BinaryIO, survive: Callable[[], None]) -> None:
    """Load the model that the first frame names, and serve it."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    free = threading.Event()
    named: SimpleQueue[tuple[opening.LoadModel, Fixed | Free, int]] = SimpleQueue()
    begun: SimpleQueue[Worker] = SimpleQueue()

    def begin() -> None:
        patience = _ALONE
        for module in _BESIDE:
            if not free.wait(patience):
                patience = 0.0
            # what is missing is noticed where it is used
            with suppress(Exception), system.apart():
                import_module(module)
        from rung.tiers.llama.worker.program import Worker

        worker = Worker(source, sink, survive, *named.get())
        worker.listen()
        begun.put(worker)
        free.wait(patience)
        with system.apart():
            worker.import_rest()
        sys.setswitchinterval(usual)

    # Loading llama.cpp ties this thread to one core, and everything that it starts from then on.
    most = free_cores()
    measured = Free(most)
    spawn(begin, "rung-begin")
    # the host is still busy with imports of its own
    with suppress(Exception):
        for module in _FIRST:
            import_module(module)
    missing = _missing()
    free.set()
    load = opening.read_load(source)
    if load is None:
        os._exit(0)
    free.clear()
    measured.anew()
    threads = Fixed(load.threads) if load.threads else measured
    named.put((load, threads, load.threads or most))
    try:
        placed = _placed(load, threads, missing, free.set)
    except TierUnavailable as error:
        free.set()
        begun.get().refuse(error)
    begun.get().serve(placed)


def _missing() -> str | None:
    """The package of a library that calls will need and that isn't there."""
    return next((name for module, name in _LIBRARIES.items() if find_spec(module) is None), None)


def _placed(
    load: opening.LoadModel, threads: Fixed | Free, missing: str | None, meanwhile: Callable[[], None]
) -> Placed:
    """The model in memory.

    Args:
        load: what to load.
        threads: says how many threads decode.
        missing: a package that isn't there.
        meanwhile: called where llama.cpp is about to read the file.

    Raises:
        TierUnavailable: it can't be, or a library is missing.
    """
    hint = "install llama-cpp-python and llguidance"
    if missing is not None:
        raise TierUnavailable(f"{missing} can't be imported", hint=hint)
    try:
        from rung.tiers.llama.worker.placing import place
    except (ImportError, OSError, RuntimeError) as error:
        name = getattr(error, "name", None) or "llama-cpp-python"
        raise TierUnavailable(f"{name} can't be imported", hint=hint) from None
    return place(load, threads, meanwhile)
