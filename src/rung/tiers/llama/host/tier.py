"""The local tier: a GGUF model in a worker process of its own."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rung import checking
from rung.errors import PromptTooLong, StoreError, TierUnavailable, Unsupported
from rung.limits import Cancel, Deadline
from rung.paths import user_cache
from rung.settings import given
from rung.tier import tier_kind
from rung.tiers.llama import frames
from rung.tiers.llama.host import describing
from rung.tiers.llama.host.asking import draft_of, sampled, texts
from rung.tiers.llama.host.defaults import default_threshold
from rung.tiers.llama.host.line import WorkerRequest
from rung.tiers.llama.host.process import LoadGetsOn, Mailbox
from rung.tiers.llama.host.settings import LlamaSettings, model_setting, read_template, unicode_text
from rung.tiers.llama.host.sharing import Lease
from rung.types import Call, Delta, Preparing, Quote, Requirement, Sampling, Shape, Threshold, Zone

if TYPE_CHECKING:
    from rung.store import ModelFile, Sourcing


@dataclass(slots=True)
class _Owner:
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
        usual = describing.short_name(str(model_setting("model", model)))
        self.name = checking.text("a tier's name", name or usual)
        where = f"tier {self.name!r}"
        self._settings = given(LlamaSettings, {"model": model, **settings}, where)
        self._python = None if python is None else unicode_text(f"{where}: python", python)
        self._defaults = Sampling(top_p=self._settings.top_p, min_p=self._settings.min_p)
        self._answered_by: frames.Loaded | None = None
        self._size: int | None = None
        self._owners: dict[int, _Owner] = {}
        self._end = weakref.finalize(self, _close, self._owners)

    @property
    def behaviour(self) -> dict[str, str]:
        """Settings that change answers of the same weights."""
        return describing.behaviour(self._defaults, self._settings.chat_template, thinking=self._settings.thinking)

    @property
    def setup(self) -> dict[str, str]:
        """Settings that change answers only now and then."""
        return describing.setup(self._settings.gpu_layers, self._settings.slots)

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
        try:
            yield from self._answer(call)
        except (PromptTooLong, TierUnavailable, Unsupported) as error:
            error.sent = False  # no part of the prompt was evaluated
            raise

    def _answer(self, call: Call) -> Iterator[Delta]:
        messages = texts(self.name, call)
        sampling = sampled(self.name, self._defaults, call.sampling)
        draft = draft_of(call.rejected)

        def ask(request: int) -> frames.Ask:
            return frames.Ask(request, messages, sampling, call.max_tokens, call.shape, call.candidates, draft)

        with self._line(ask, call.deadline, call.cancel) as line:
            first, left, written = True, call.candidates, 0
            while left:
                frame = line.receive()
                if isinstance(frame, LoadGetsOn):
                    yield Delta(progress=frame.done, preparing=self._loading(frame))
                if not isinstance(frame, frames.AnswerDelta):
                    continue
                delta = frame.delta
                if first:
                    self._answered_by = lease.process.model if (lease := self._worker) else None
                    delta = replace(delta, load_seconds=delta.load_seconds + line.load_seconds)
                    first = False
                if delta.usage is not None:
                    left -= 1
                    written += delta.usage.output_tokens or 0
                    # The prompt is evaluated once, so its token count comes with the last candidate.
                    usage = None if left else replace(delta.usage, output_tokens=written)
                    delta = replace(delta, usage=usage)
                if not left:
                    line.finish()
                yield delta

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
        messages = texts(self.name, call)
        counted = self._once(lambda request: frames.Count(request, messages), call.deadline, call.cancel)
        return Quote(counted.input_tokens, counted.context, call.max_tokens)

    def default_threshold(self, shape: Shape) -> Threshold | None:
        """How sure the model that answered last must be of an answer of this shape, from recorded public data."""
        model = self._answered_by
        return None if model is None else default_threshold(model.architecture, model.parameters, shape)

    def warm(self) -> None:
        """Start the worker and load the model.

        Raises:
            TierUnavailable: the model can't be found or loaded.
            TierCrashed: the worker died.
        """
        self._once(frames.Ready, Deadline(), Cancel())

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
        size = self._file().size
        tell(Preparing(self.name, "loading", 0, size))
        self._once(frames.Ready, Deadline(), cancel, lambda frame: tell(self._loading(frame)))
        tell(Preparing(self.name, "ready", size, size))

    def _loading(self, frame: LoadGetsOn) -> Preparing:
        size = self._size
        return Preparing(self.name, "loading", min(frame.held, size or frame.held), size)

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
        with suppress(TierUnavailable), self._started(Deadline(), Cancel()):
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

    def _once(
        self,
        request: Any,
        deadline: Deadline,
        cancel: Cancel,
        gets_on: Callable[[LoadGetsOn], None] = lambda _: None,
    ) -> frames.Counted:
        with self._line(request, deadline, cancel) as line:
            while True:
                frame = line.receive()
                if isinstance(frame, LoadGetsOn):
                    gets_on(frame)
                if isinstance(frame, frames.Counted):
                    line.finish()
                    return frame

    def _line(self, request: Any, deadline: Deadline, cancel: Cancel) -> WorkerRequest:
        return WorkerRequest(self.name, lambda: self._open(deadline, cancel), request, deadline, cancel)

    def _open(self, deadline: Deadline, cancel: Cancel) -> tuple[Lease, int, Mailbox]:
        with self._started(deadline, cancel) as lease:
            return lease, *lease.open()

    @contextmanager
    def _started(self, deadline: Deadline, cancel: Cancel) -> Iterator[Lease]:
        """The worker, started if need be. It isn't unloaded before the end of the block."""
        owner = self._owners.setdefault(os.getpid(), _Owner())
        load: frames.LoadModel | None = None
        while True:
            with owner.lock:
                lease = owner.lease
                if load is not None and (lease is None or not lease.alive):
                    if lease is not None:
                        lease.close(reap=False)
                    lease = owner.lease = Lease(self.name, load, self._python, self.linger)
                if lease is not None and (load is not None or lease.alive):
                    yield lease
                    return
            # Files are read outside the lock, because whoever waits for it has a deadline, too.
            template = self._settings.chat_template
            load = self._load(None if template is None else read_template(template, deadline, cancel))

    def _load(self, template: str | None) -> frames.LoadModel:
        file = self._file()
        return frames.LoadModel(
            path=str(file.path),
            context=self._settings.context,
            slots=self._settings.slots,
            threads=self._settings.threads,
            chat_template=template,
            gpu_layers=self._settings.gpu_layers,
            thinking=self._settings.thinking,
            snapshots=str(user_cache() / "prefixes") if self._settings.prefix_mib else None,
            snapshot_bytes=self._settings.prefix_mib * 2**20,
            sha256=file.sha256,
            cache=str(user_cache() / "llama"),
        )

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


def _close(owners: dict[int, _Owner]) -> None:
    owner = owners.get(os.getpid())
    if owner is None:
        return
    with owner.lock:
        lease, owner.lease = owner.lease, None
    if lease is not None:
        lease.close()


@tier_kind(LlamaSettings)
def from_config(name: str, settings: LlamaSettings) -> LlamaTier:
    """Make the tier of a configuration table: the entry point of the kind `llama`.

    Args:
        name: of the tier.
        settings: the other keys of its table.
    """
    return LlamaTier(name=name, **dict(settings))
