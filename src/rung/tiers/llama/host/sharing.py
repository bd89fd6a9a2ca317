"""One worker for all tiers of this process that load the same file with the same settings."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field

from rung.errors import TierUnavailable
from rung.files import Fingerprint, fingerprint
from rung.tiers.llama import frames
from rung.tiers.llama.host.channel import interpreter
from rung.tiers.llama.host.head_start import HeadStart
from rung.tiers.llama.host.lingering import key_of
from rung.tiers.llama.host.process import Mailbox, Process, Request, WorkerEnded, worker_of
from rung.tiers.llama.rendezvous import why_not

_Key = tuple[frames.LoadModel, str | None, Fingerprint | None]


@dataclass(slots=True)
class _Shared:
    """A worker process, and how many tiers hold it."""

    process: Process
    holders: int = 0


@dataclass(slots=True)
class _Workers:
    """The workers of one host process. After a fork, the child starts its own."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    shared: dict[_Key, _Shared] = field(default_factory=dict)


_WORKERS: dict[int, _Workers] = {}


class Lease:
    """A tier's hold on a worker. The worker ends when its last lease is closed.

    A lease doesn't affect other tiers: `close` ends only the calls that came through this lease.

    Args:
        tier: name of the tier, for errors.
        load: what the worker has to load.
        python: the worker's interpreter; `None` uses the host's or, in a frozen app, the app itself.
        linger: seconds for which the worker may wait for another host behind its last lease. A worker that waits is
            taken over.
        begun: an interpreter that has started already, for the worker if one has to be started.
    """

    def __init__(
        self,
        tier: str,
        load: frames.LoadModel,
        python: str | None,
        linger: float = 0.0,
        begun: HeadStart | None = None,
    ) -> None:
        self._tier = tier
        self._linger = linger
        self._workers = _WORKERS.setdefault(os.getpid(), _Workers())
        self._key: _Key = (load, python, fingerprint(load.path))
        with self._workers.lock:
            shared = self._workers.shared.get(self._key)
            if shared is None or not shared.process.alive:
                key = key_of(load, interpreter(python), self._key[2]) if linger and not why_not() else ""
                shared = self._workers.shared[self._key] = _Shared(Process(tier, load, python, key, begun))
            elif begun is not None:
                begun.drop()
            shared.holders += 1
        self._shared = shared
        self._lock = threading.Lock()
        self._mailboxes: dict[int, Mailbox] = {}
        self._idle_since = time.monotonic()
        self._closed = False

    @property
    def process(self) -> Process:
        """The worker."""
        return self._shared.process

    @property
    def alive(self) -> bool:
        """Whether a call may still get an answer."""
        return not self._closed and self.process.alive

    @property
    def idle(self) -> float | None:
        """Seconds since this tier's last call ended, or since the start; `None` while one is under way."""
        with self._lock:
            return None if self._mailboxes else time.monotonic() - self._idle_since

    def open(self) -> tuple[int, Mailbox]:
        """The id of a new request, and the mailbox for its frames."""
        request, mailbox = self.process.open()
        with self._lock:
            self._mailboxes[request] = mailbox
            closed = self._closed
        if closed:
            mailbox.put(self._end())
        return request, mailbox

    def send(self, frame: Request) -> None:
        """Send a frame once the model is loaded. It never blocks."""
        self.process.send(frame)

    def forget(self, request: int) -> None:
        """Close a request's mailbox."""
        self.process.forget(request)
        with self._lock:
            self._mailboxes.pop(request, None)
            self._idle_since = time.monotonic()

    def close(self, *, reap: bool = True, linger: bool = True) -> None:
        """End this tier's calls, and end the worker if no other tier holds it.

        Args:
            reap: whether to wait for the worker's end. There is nothing to wait for if it is dead already.
            linger: whether the worker may wait for another host. It may not if its memory is needed.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            calls = dict(self._mailboxes)
        with self._workers.lock:
            self._shared.holders -= 1
            last = self._shared.holders == 0
            if last and self._workers.shared.get(self._key) is self._shared:
                del self._workers.shared[self._key]
        if last and reap:
            self.process.close(self._linger if linger else 0.0)
        for request, mailbox in calls.items():
            self.process.forget(request)
            self.process.send(frames.Drop(request))
            mailbox.put(self._end())

    def _end(self) -> WorkerEnded:
        return WorkerEnded(TierUnavailable(f"{worker_of(self._tier)} was closed"))
