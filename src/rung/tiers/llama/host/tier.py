"""The local tier: a GGUF model in a worker process of its own."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rung import checking
from rung.allowed import given
from rung.errors import PromptTooLong, StoreError, TierUnavailable, Unsupported
from rung.limits import Cancel, Deadline
from rung.tiers.llama.host.channel import interpreter
from rung.tiers.llama.host.head_start import HeadStart
from rung.tiers.llama.host.settings import LlamaSettings, model_setting, unicode_text
from rung.types import Zone

if TYPE_CHECKING:
    from rung.store import ModelFile, Sourcing
    from rung.tiers.llama.frames import Loaded
    from rung.tiers.llama.host.calling import Calling
    from rung.tiers.llama.host.sharing import Lease
    from rung.types import Call, Delta, Preparing, Quote, Requirement, Shape, Threshold

_CALLING = "rung.tiers.llama.host.calling"
"""The module with which calls are made. It takes as long to import as an interpreter to start."""


@dataclass(slots=True)
class Owner:
    """What one process holds of a tier. After a fork the child gets its own owner, and so its own worker."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    lease: Lease | None = None


class LlamaTier:
    """A GGUF model on this machine, in a worker process that starts with the first call and ends with its host, or
    `linger` seconds later.

    Making one does no I/O. Tiers of the same file and settings share one worker, which ends with the last of them. A
    tier is safe from several threads: the worker decodes up to `slots` calls together, and others wait. They share the
    context's memory, so calls that each need all of it run one after another.

    A frozen app, where `sys.executable` is the app, calls `rung.freeze_support()` first, or names an interpreter that
    has rung, here or in `RUNG_WORKER_PYTHON`. The worker binds its OpenMP threads to cores (`OMP_PROC_BIND`, unless the
    environment sets it), because unbound threads can end up spinning on one core. It inherits the cores that its host
    may use. If the host has bound itself to one core, as an OpenMP library can do, the worker gets only that core.

    Args:
        model: path of a GGUF file, or anything that `rung.store.resolve` knows: a catalogue name,
            `hf:owner/repo/file.gguf@commit`.
        name: of the tier; by default the model's.
        python: interpreter of the worker; by default this one.
        sourcing: where `Ladder.prepare` may fetch the model from; by default the catalogue's sources without package
            wheels.
        settings: those of `LlamaSettings`, for example `context=8192`.

    Raises:
        ConfigError: a setting is out of range.
    """

    zone: Zone = Zone.HOST
    priced: bool = False
    destination: str = "this machine"
    stays_here: bool | None = True
    weights: str | None = None
    """sha256 of the weights that were loaded last, if the store pins it."""
    linger: float = 0.0
    """Seconds for which a worker may outlive its host; 0 ends it with its last tier. On Windows and in a frozen app it
    always does."""

    def __init__(
        self,
        model: str | Path,
        *,
        name: str | None = None,
        python: str | None = None,
        sourcing: Sourcing | None = None,
        **settings: Any,
    ) -> None:
        self.sourcing = sourcing
        usual = short_name(str(model_setting("model", model)))
        self.name = checking.text("a tier's name", name or usual)
        where = f"tier {self.name!r}"
        self._settings = given(LlamaSettings, {"model": model, **settings}, where)
        self._python = None if python is None else unicode_text(f"{where}: python", python)
        self._answered_by: Loaded | None = None
        self._size: int | None = None
        self._owners: dict[int, Owner] = {}
        self._end = weakref.finalize(self, _close, self._owners)

    @property
    def behaviour(self) -> dict[str, str]:
        """Settings that change answers of the same weights."""
        from rung.tiers.llama.host import describing

        return describing.behaviour(self._settings)

    @property
    def setup(self) -> dict[str, str]:
        """Settings that change answers only now and then."""
        from rung.tiers.llama.host import describing

        return describing.setup(self._settings)

    def __repr__(self) -> str:
        return f"LlamaTier({self.name!r})"

    def stream(self, call: Call) -> Iterator[Delta]:
        """Answer the call, token by token. Leaving the stream early frees its place in the worker.

        Raises:
            Unsupported: an image, too many stop strings, or a conversation that the chat template doesn't take.
            PromptTooLong: no room is left for an answer.
            TierUnavailable: the model can't be found or loaded.
            TierCrashed: the worker died, or was given up. The next call starts another.
            TierError: the worker failed only at this call.
            TierTimeout: the deadline passed.
            Cancelled: the flag was set.
        """
        answered = False
        try:
            with self._calling() as calling:
                for delta in calling.answer(call):
                    if not answered and delta.preparing is None:
                        self._answered_by = lease.process.model if (lease := self._worker) else None
                        answered = True
                    yield delta
        except (PromptTooLong, TierUnavailable, Unsupported) as error:
            error.sent = False  # no part of the prompt was evaluated
            raise

    def quote(self, call: Call) -> Quote:
        """Count the tokens of the prompt. Starts the worker if there is none.

        Raises:
            Unsupported: an image, or a conversation that the chat template doesn't take.
            PromptTooLong: it is so long that counting it would take too much time.
            TierUnavailable: the model can't be found or loaded.
            TierCrashed: the worker died.
            TierTimeout: the deadline passed.
            Cancelled: the flag was set.
        """
        with self._calling() as calling:
            counted = calling.count(call)
        from rung.types import Quote

        return Quote(counted.input_tokens, counted.context, call.max_tokens)

    def default_threshold(self, shape: Shape) -> Threshold | None:
        """How sure the model that answered last must be of an answer of this shape, from recorded public data."""
        from rung.tiers.llama.host.defaults import default_threshold

        model = self._answered_by
        return None if model is None else default_threshold(model.architecture, model.parameters, shape)

    def warm(self) -> None:
        """Start the worker and load the model.

        Raises:
            TierUnavailable: the model can't be found or loaded.
            TierCrashed: the worker died.
        """
        with self._calling() as calling:
            calling.ready(Cancel(), lambda _: None)

    def requirement(self) -> Requirement:
        """What the model takes of this machine. Nothing is fetched, hashed or loaded.

        Raises:
            StoreError: there is no model of this name.
        """
        from rung.tiers.llama.host.preparing import requirement

        return requirement(self.name, self._settings)

    def fetch(self, tell: Callable[[Preparing], None], cancel: Cancel, *, verify: bool = True) -> None:
        """Make sure that the model's file is here with the right bytes.

        Raises:
            LicenceNotAccepted: its licence asks for acceptance.
            Offline: it isn't here, and the network is forbidden.
            StoreError: it can't be had.
            Cancelled: the flag was set.
        """
        from rung.tiers.llama.host.preparing import fetch

        fetch(self.name, self._settings, self.sourcing, tell, cancel, verify=verify)

    def load(self, tell: Callable[[Preparing], None], cancel: Cancel) -> None:
        """Start the worker and load the model.

        Raises:
            TierUnavailable: the model can't be found or loaded.
            TierCrashed: the worker died.
            Cancelled: the flag was set. The load goes on.
        """
        from rung.types import Preparing

        size = self._file().size
        tell(Preparing(self.name, "loading", 0, size))
        with self._calling() as calling:
            calling.ready(cancel, tell)
        tell(Preparing(self.name, "ready", size, size))

    def _loading(self, held: int) -> Preparing:
        from rung.types import Preparing

        size = self._size
        return Preparing(self.name, "loading", min(held, size or held), size)

    @property
    def loaded(self) -> bool:
        """Whether a worker holds the model, or has begun to load it."""
        lease = self._worker
        return lease is not None and lease.alive

    @property
    def idle(self) -> float | None:
        """Seconds since the last call ended; `None` while a call is under way, or if there is no worker."""
        lease = self._worker
        return lease.idle if lease is not None and lease.alive else None

    def fits(self) -> bool:
        """Whether the model would fit into memory besides what is in it now.

        It is `True` if a GPU may hold the model, because only a worker can tell, and if the file can't be read, because
        the load reports that.
        """
        from rung.tiers.llama.devices import present
        from rung.tiers.llama.residents import would_fit

        if self.loaded or (self._settings.gpu_layers != 0 and present()):
            return True
        try:
            path = self._file().path
        except TierUnavailable:
            return True
        return would_fit(path, context=self._settings.context, slots=self._settings.slots)

    def strained(self) -> bool:
        """Whether less than 512 MiB of memory is free."""
        from rung.tiers.llama.headroom import strained

        return strained()

    def preload(self) -> None:
        """Start the worker and have it load the model, without waiting for that."""
        with suppress(TierUnavailable), self._calling() as calling, calling.started(Deadline(), Cancel()):
            pass

    def unload(self) -> None:
        """End the worker unless a call is under way. The next call starts another."""
        owner = self._owners.get(os.getpid())
        if owner is None:
            return
        with owner.lock:
            lease = owner.lease
            if lease is None or lease.idle is None:
                return
            owner.lease = None
        lease.close(linger=False)

    def close(self) -> None:
        """End the calls under way, and the worker, unless it may linger. The next call starts another, or takes that
        one over."""
        _close(self._owners)

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker; `None` if there is none."""
        lease = self._worker
        return None if lease is None else lease.process.pid

    @property
    def _worker(self) -> Lease | None:
        owner = self._owners.get(os.getpid())
        return None if owner is None else owner.lease

    @contextmanager
    def _calling(self) -> Iterator[Calling]:
        """What makes calls. Before the first of this process, an interpreter for the worker gets a head start, unless
        one that lingers may be there.
        """
        begun = None
        if _CALLING not in sys.modules and not self.linger:
            begun = HeadStart(f"rung-{self.name}", interpreter(self._python))
        try:
            from rung.tiers.llama.host.calling import Calling

            owner = self._owners.setdefault(os.getpid(), Owner())
            yield Calling(
                self.name,
                self._settings,
                self._python,
                self.linger,
                owner,
                self._file,
                self._loading,
                begun,
            )
        finally:
            if begun is not None:
                begun.drop()

    def _file(self) -> ModelFile:
        from rung.store import resolve

        model = self._settings.model
        try:
            file = resolve(str(model.absolute()) if isinstance(model, Path) else model)
            str(file.path).encode()
        except StoreError as error:
            raise TierUnavailable(error.message, hint=error.hint) from error
        except UnicodeEncodeError:
            raise TierUnavailable(f"the path of tier {self.name!r}'s model is not UTF-8", hint="rename it") from None
        self.weights, self._size = file.sha256, file.size
        return file


def _close(owners: dict[int, Owner]) -> None:
    owner = owners.get(os.getpid())
    if owner is None:
        return
    with owner.lock:
        lease, owner.lease = owner.lease, None
    if lease is not None:
        lease.close()


def short_name(model: str) -> str:
    """A name for a tier: that of the file, without its location."""
    file = model.replace("\\", "/").rpartition("/")[2].partition("@")[0]
    return file.removesuffix(".gguf") or model
