"""The host's side of a worker process: it starts the process, talks to it, and finds out why it died.

Four threads belong to a worker. The keeper starts the process, or takes over one that lingers. It passes its frames to
whoever waits for them, and reaps it. It lives as long as the process, since Linux kills a child that asked to die with
its parent when the *thread* that started it ends. One thread writes, so that a stopped worker holds up no caller. One
keeps the tail of standard error. One looks for signs of life.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import IO

from rung import frozen
from rung.errors import PromptTooLong, TierCrashed, TierError, TierUnavailable
from rung.tiers.llama import frames
from rung.tiers.llama.frames import CAUSE
from rung.tiers.llama.host import system
from rung.tiers.llama.host.asking import check_size
from rung.tiers.llama.host.channel import PYTHON, Channel, ChildChannel, interpreter
from rung.tiers.llama.host.head_start import HeadStart
from rung.tiers.llama.host.lingering import take_over
from rung.tiers.llama.host.pulse import Pulse

_PATIENCE = 1.0
"""Seconds that a process gets to end by itself."""

_LAST_PATIENCE = 10.0
"""Seconds that a killed process gets to end."""

_TAIL = 8192
_CAUSES = ("GGML_ASSERT", "GGML_ABORT", "ggml_abort", "what():", "Fatal Python error", CAUSE)
_LONGEST_CAUSE = 200


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """No more frames come.

    Args:
        error: the error that a waiting call raises.
        anew: calls that were opened after this time (on the clock of `time.monotonic`), and that got no frame, can be
            asked of the next worker, because this one never heard them.
    """

    error: TierError
    anew: float = float("inf")


@dataclass(frozen=True, slots=True)
class Wake:
    """Nothing came: look at the flag and the clock."""


@dataclass(frozen=True, slots=True)
class LoadGetsOn:
    """The model is being loaded, and the load makes progress.

    Args:
        done: how much of the load is done, in [0, 1).
        held: bytes of memory that the worker holds.
    """

    done: float
    held: int = 0


Request = frames.Ask | frames.Count | frames.Ready | frames.Drop | frames.Release
Mail = frames.Frame | WorkerEnded | Wake | LoadGetsOn
Mailbox = SimpleQueue[Mail]


class Process:
    """One worker process, from its start to its end. Afterwards a new `Process` takes its place.

    There are two exceptions. If llama.cpp crashes in its first step, before any call was handed over, the process is
    started a second time, without the layouts of weights that llama.cpp has for some processors. Those for AMX crash in
    builds of older compilers. If a worker that was taken over ends before that, one is started in its place.

    Args:
        tier: name of the tier, for errors.
        load: what it has to load.
        python: the interpreter to run it; `None` takes the host's, or the app itself if it is frozen.
        key: under which a worker that lingers may be taken over, and this one left behind; empty for neither.
        begun: an interpreter for it that has started already.
    """

    def __init__(
        self,
        tier: str,
        load: frames.LoadModel,
        python: str | None,
        key: str = "",
        begun: HeadStart | None = None,
    ) -> None:
        self.name = worker_of(tier)
        self._load = load
        self._python = python
        self._key = key
        self._lock = threading.Lock()
        self._mailboxes: dict[int, Mailbox] = {}
        self._ids = itertools.count(1)
        self._outgoing: SimpleQueue[Request | None] = SimpleQueue()
        self._tail = b""
        self._channel: Channel | None = None
        self._greeted = False
        self._released = False
        self._loaded: frames.Loaded | None = None
        self._loaded_at: float | None = None
        self._failure: TierError | None = None
        self._ended: WorkerEnded | None = None
        self._idle_since = time.monotonic()
        self._settled = threading.Event()
        self._begun = begun = begun if begun is not None and begun.claim() else None
        if begun is None:
            self._keeper = threading.Thread(target=self._keep, name=f"rung-{tier}", daemon=True)
            self._keeper.start()
        else:
            self._keeper = begun.thread
            begun.keep(self._keep)

    @property
    def model(self) -> frames.Loaded | None:
        """What the worker said about its model; `None` until it is loaded."""
        return self._loaded

    @property
    def alive(self) -> bool:
        """Whether a call has a chance of an answer."""
        with self._lock:
            return self._ended is None and self._failure is None

    @property
    def pid(self) -> int | None:
        """Process id, once it has one."""
        return None if self._channel is None else self._channel.pid

    def open(self) -> tuple[int, Mailbox]:
        """The id of a new request, and the mailbox for its frames."""
        mailbox: Mailbox = SimpleQueue()
        with self._lock:
            request = next(self._ids)
            if self._ended is None:
                self._mailboxes[request] = mailbox
            else:
                mailbox.put(self._ended)
        return request, mailbox

    def forget(self, request: int) -> None:
        """Nobody reads this request's mailbox any more."""
        with self._lock:
            self._mailboxes.pop(request, None)
            self._idle_since = time.monotonic()

    @property
    def idle(self) -> float | None:
        """Seconds since the last call ended, or since the start if there was none; `None` while a call is under way."""
        with self._lock:
            return None if self._mailboxes else time.monotonic() - self._idle_since

    def send(self, frame: Request) -> None:
        """Hand a frame over once the model is loaded. It never waits. What can't be sent is answered with `Failed`."""
        self._outgoing.put(frame)

    def loading(self, since: float) -> float:
        """Seconds from `since` (on the clock of `time.monotonic`) until the model was loaded."""
        return 0.0 if self._loaded_at is None else max(0.0, self._loaded_at - since)

    def close(self, linger: float = 0.0) -> None:
        """End the process, kill it if it doesn't react, and reap it. Calls under way fail.

        Args:
            linger: seconds for which it may wait for another host instead.
        """
        with self._lock:
            self._failure = self._failure or TierUnavailable(f"{self.name} was closed")
            self._settled.set()
        if linger and self._key:
            self._outgoing.put(frames.Release(self._key, linger))
        self._outgoing.put(None)
        self._keeper.join(_PATIENCE)
        if self._keeper.is_alive() and self._channel is not None:
            self._channel.kill()
            # A process that waits for a disk which doesn't answer can't even be killed.
            self._keeper.join(_LAST_PATIENCE)

    def _keep(self) -> None:
        self._finish(self._live())

    def _live(self) -> TierError:
        """From the first start to the last end. Returns what it died of."""
        error, code = self._run(self._load)
        broke = code is not None and system.broke(code)
        # A worker that lingered may end just as it is taken over.
        missed = self._channel is not None and not self._channel.fresh
        if self.alive and self._loaded_at is None and (broke or missed):
            self._greeted, self._tail = False, b""
            error, _ = self._run(replace(self._load, safe_mode=self._load.safe_mode or broke))
        return error

    def _run(self, load: frames.LoadModel) -> tuple[TierError, int | None]:
        """The life of one process. Returns what it died of, and its exit code if it was started at all."""
        with self._lock:
            settled = self._settled = threading.Event()
            if self._failure is not None:
                return self._failure, None
        try:
            channel = self._channel = (take_over(self._key) if self._key else None) or self._start()
        except frozen.NotFreezable as error:
            return TierUnavailable(f"{self.name} can't be started: {error.message}", hint=error.hint), None
        except OSError as error:
            return TierUnavailable(
                f"{self.name} can't be started: {error.strerror}", hint=f"name a Python that has rung in {PYTHON}"
            ), None
        self._greeted = not channel.fresh
        writer = threading.Thread(
            target=self._write, args=(channel, load, settled), name=f"{self._keeper.name}-write", daemon=True
        )
        listener = threading.Thread(
            target=self._listen, args=(channel.errors,), name=f"{self._keeper.name}-errors", daemon=True
        )
        pulse = Pulse(channel.pid, lambda what, anew: self._give_up(channel, what, anew), self._gets_on)
        watcher = threading.Thread(target=pulse.watch, name=f"{self._keeper.name}-pulse", daemon=True)
        writer.start()
        listener.start()
        watcher.start()
        with channel.source:
            self._read(channel.source, pulse)
        pulse.end()
        if settled.is_set():
            self._outgoing.put(None)
        else:
            settled.set()
        code = None
        if self._released:
            channel.let_go()
        else:
            code = channel.end(_PATIENCE)
        writer.join(_PATIENCE)
        listener.join(_PATIENCE)
        return self._failure or self._autopsy(code), code

    def _start(self) -> ChildChannel:
        begun, self._begun = self._begun, None
        return ChildChannel(interpreter(self._python)) if begun is None else begun.take()

    def _give_up(self, channel: Channel, what: str, anew: float) -> None:
        """End a worker that shows no sign of life, and release its calls before it is gone."""
        error = TierCrashed(f"{self.name} {what}", hint="try again: a new one is started")
        self._fail(error)
        self._finish(error, anew)
        channel.kill()

    def _read(self, pipe: IO[bytes], pulse: Pulse) -> None:
        while True:
            try:
                frame = frames.read(pipe)
            except frames.WrongFrame as error:
                self._answer(frames.Failed("failed", f"{self.name} sent {error}", id=error.request))
                continue
            except frames.BrokenFrame as error:
                self._fail(TierCrashed(f"{self.name} sent {error}"))
                return
            if frame is None:
                return
            pulse.heard(frame)
            match frame:
                case frames.Hello(protocol=protocol):
                    self._greeted = True
                    if protocol != frames.PROTOCOL:
                        self._fail(
                            TierUnavailable(
                                f"{self.name} speaks protocol {protocol}, its host {frames.PROTOCOL}",
                                hint=f"install the same version of rung for both, or unset {PYTHON}",
                            )
                        )
                        return
                case frames.Loaded():
                    self._loaded, self._loaded_at = frame, time.monotonic()
                    self._settled.set()
                case frames.Failed(id=None):
                    self._fail(TierUnavailable(frame.message, hint=frame.hint))
                case frames.Released():
                    self._released = True
                    return
                case frames.AnswerDelta() | frames.Counted() | frames.Failed():
                    self._answer(frame)

    def _answer(self, frame: frames.AnswerDelta | frames.Counted | frames.Failed) -> None:
        with self._lock:
            mailbox = self._mailboxes.get(frame.id or 0)
        if mailbox is not None:
            mailbox.put(frame)

    def _gets_on(self, done: float, held: int) -> None:
        with self._lock:
            mailboxes = list(self._mailboxes.values())
        for mailbox in mailboxes:
            mailbox.put(LoadGetsOn(done, held))

    def _write(self, channel: Channel, load: frames.LoadModel, settled: threading.Event) -> None:
        try:
            if channel.fresh:
                channel.send(frames.encode(load))
            # If a worker crashes while it loads, whatever it was told would be lost.
            settled.wait()
            while self._loaded is not None and (frame := self._outgoing.get()) is not None:
                if data := self._packed(frame, self._loaded):
                    channel.send(data)
        except OSError:
            # The process is gone; the keeper finds out why.
            return
        finally:
            channel.hang_up()

    def _packed(self, frame: Request, loaded: frames.Loaded) -> bytes:
        """The frame's bytes; none if nobody wants it any more, or if its caller has to be told why it isn't sent.

        Args:
            frame: frame to be sent.
            loaded: what the worker said about its model.
        """
        if isinstance(frame, frames.Release):
            return frames.encode(frame)
        if not isinstance(frame, frames.Drop):
            with self._lock:
                wanted = frame.id in self._mailboxes
            if not wanted:
                return b""
        try:
            if isinstance(frame, (frames.Ask, frames.Count)):
                check_size(frame, loaded)
            return frames.encode(frame)
        except PromptTooLong as error:
            failed = frames.Failed("too_long", "", "", frame.id, error.input_tokens, error.context, at_least=True)
        except frames.TooLong as error:
            failed = frames.Failed("unsupported", f"the call takes {error}", "make it shorter", frame.id)
        except ValueError:
            failed = frames.Failed(
                "unsupported",
                "a text of the call holds half of a surrogate pair, which is not valid text",
                "decode it with errors='replace'",
                frame.id,
            )
        except Exception as error:  # noqa: BLE001  if this thread ended, all other calls would wait for ever
            failed = frames.Failed("failed", f"the call can't be written down: {type(error).__name__}", id=frame.id)
        self._answer(failed)
        return b""

    def _listen(self, pipe: IO[bytes]) -> None:
        with pipe:
            while chunk := os.read(pipe.fileno(), 4096):
                self._tail = (self._tail + chunk)[-_TAIL:]

    def _fail(self, error: TierError) -> None:
        with self._lock:
            self._failure = self._failure or error

    def _finish(self, error: TierError, anew: float = float("inf")) -> None:
        with self._lock:
            if self._ended is not None:
                return
            self._ended = WorkerEnded(error, anew)
            mailboxes = list(self._mailboxes.values())
            self._mailboxes.clear()
        for mailbox in mailboxes:
            mailbox.put(self._ended)

    def _autopsy(self, code: int | None) -> TierError:
        lines = [line.strip() for line in self._tail.decode("utf-8", "replace").splitlines() if line.strip()]
        if not self._greeted:
            # Before its greeting it has been told nothing, so whatever it says is safe to repeat.
            last = f": {lines[-1][:_LONGEST_CAUSE]}" if lines else ""
            return TierUnavailable(
                f"{self.name} {system.death(code)} before it could start{last}",
                hint=f"name a Python that has rung in {PYTHON}",
            )
        causes = [line[:_LONGEST_CAUSE] for line in lines if any(mark in line for mark in _CAUSES)]
        cause = f" ({causes[-1].removeprefix(CAUSE)})" if causes else ""
        loading = f" while it loaded {self._load.path}" if self._loaded_at is None else ""
        return TierCrashed(f"{self.name} {system.death(code)}{loading}{cause}", hint="try again: a new one is started")


def worker_of(tier: str) -> str:
    """What errors call the worker of a tier."""
    return f"the worker of {tier!r}"
