"""How the calls of a tier reach its worker, and how the answers come back.

A tier imports this with its first call, while its worker's interpreter starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rung.limits import Cancel, Deadline
from rung.paths import user_cache
from rung.tiers.llama import frames
from rung.tiers.llama.host.asking import draft_of, sampled, texts
from rung.tiers.llama.host.line import WorkerRequest
from rung.tiers.llama.host.process import LoadGetsOn, Mailbox
from rung.tiers.llama.host.settings import LlamaSettings, read_template
from rung.tiers.llama.host.sharing import Lease
from rung.types import Call, Delta, Message, Preparing

if TYPE_CHECKING:
    from rung.store import ModelFile
    from rung.tiers.llama.host.head_start import HeadStart
    from rung.tiers.llama.host.tier import Owner


@dataclass(frozen=True, slots=True)
class Calling:
    """One call of a tier, or one wish to have its model loaded.

    Args:
        tier: its name.
        settings: its settings.
        python: the worker's interpreter; `None` takes this one or, in a frozen app, the app itself.
        linger: seconds for which the worker may outlive its host.
        owner: what this process holds of the tier.
        file: finds the model's file. Raises `TierUnavailable`.
        loading: what the caller is told of a load.
        begun: an interpreter for the worker that has started already.
    """

    tier: str
    settings: LlamaSettings
    python: str | None
    linger: float
    owner: Owner
    file: Callable[[], ModelFile]
    loading: Callable[[int], Preparing]
    begun: HeadStart | None

    def answer(self, call: Call) -> Iterator[Delta]:
        """The answer, token by token. `LlamaTier.stream` says what is raised."""
        messages = self._texts(call)
        sampling = sampled(self.tier, self.settings, call.sampling)
        draft = draft_of(call.rejected)

        def ask(request: int) -> frames.Ask:
            return frames.Ask(request, messages, sampling, call.max_tokens, call.shape, call.candidates, draft)

        with self._line(ask, call.deadline, call.cancel) as line:
            first, left, written = True, call.candidates, 0
            while left:
                frame = line.receive()
                if isinstance(frame, LoadGetsOn):
                    yield Delta(progress=frame.done, preparing=self.loading(frame.held))
                if not isinstance(frame, frames.AnswerDelta):
                    continue
                delta = frame.delta
                if first:
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

    def count(self, call: Call) -> frames.Counted:
        """The tokens of a call's prompt. `LlamaTier.quote` says what is raised."""
        messages = self._texts(call)
        return self._once(lambda request: frames.Count(request, messages), call.deadline, call.cancel)

    def ready(self, cancel: Cancel, gets_on: Callable[[Preparing], None]) -> None:
        """Wait until the model is loaded.

        Args:
            cancel: ends the wait. The load goes on.
            gets_on: called with how far the load is.
        """
        self._once(frames.Ready, Deadline(), cancel, gets_on)

    def _texts(self, call: Call) -> tuple[Message, ...]:
        return texts(self.tier, call)

    def _once(
        self, request: Any, deadline: Deadline, cancel: Cancel, gets_on: Callable[[Preparing], None] = lambda _: None
    ) -> frames.Counted:
        with self._line(request, deadline, cancel) as line:
            while True:
                frame = line.receive()
                if isinstance(frame, LoadGetsOn):
                    gets_on(self.loading(frame.held))
                if isinstance(frame, frames.Counted):
                    line.finish()
                    return frame

    def _line(self, request: Any, deadline: Deadline, cancel: Cancel) -> WorkerRequest:
        return WorkerRequest(self.tier, lambda: self._open(deadline, cancel), request, deadline, cancel)

    def _open(self, deadline: Deadline, cancel: Cancel) -> tuple[Lease, int, Mailbox]:
        with self.started(deadline, cancel) as lease:
            return lease, *lease.open()

    @contextmanager
    def started(self, deadline: Deadline, cancel: Cancel) -> Iterator[Lease]:
        """The worker, started if need be. It isn't unloaded before the end of the block."""
        load: frames.LoadModel | None = None
        while True:
            with self.owner.lock:
                lease = self.owner.lease
                if load is not None and (lease is None or not lease.alive):
                    if lease is not None:
                        lease.close(reap=False)
                    lease = self.owner.lease = Lease(self.tier, load, self.python, self.linger, self.begun)
                if lease is not None and (load is not None or lease.alive):
                    yield lease
                    return
            # Files are read outside the lock, because whoever waits for it has a deadline, too.
            load = self._load(deadline, cancel)

    def _load(self, deadline: Deadline, cancel: Cancel) -> frames.LoadModel:
        settings = self.settings
        template = settings.chat_template
        chat_template = None if template is None else read_template(template, deadline, cancel)
        file = self.file()
        return frames.LoadModel(
            path=str(file.path),
            context=settings.context,
            slots=settings.slots,
            threads=settings.threads,
            chat_template=chat_template,
            gpu_layers=settings.gpu_layers,
            thinking=settings.thinking,
            snapshots=str(user_cache() / "prefixes") if settings.prefix_mib else None,
            snapshot_bytes=settings.prefix_mib * 2**20,
            sha256=file.sha256,
            cache=str(user_cache() / "llama"),
        )
