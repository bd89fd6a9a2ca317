"""How much memory a model takes, computed before it is loaded, and which context and how many slots fit.

The formulas are llama.cpp's own sums, and the tests check them against what it reports. Over three models, contexts
from 256 to 131,072 tokens and 1 to 16 slots, keys and values are exact to 0.1%. Buffers are at most 5% too small. With
room for drafted tokens, which llama.cpp allocates only when they come, buffers are at most half and 4 MiB too large.
For architectures with experts the sums are an estimate. The fixed-size memory of recurrent layers (a few MiB per slot)
is not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rung.errors import TierUnavailable
from rung.sizes import readable
from rung.tiers.llama.headroom import SHARE, FreeMemory

if TYPE_CHECKING:
    # importing the store takes a third of a second, and the probe of a build doesn't need it
    from rung.store.gguf import Header

GRAIN = 256
"""Contexts are multiples of this number of tokens. Other sizes fail at the end of the context."""

BATCH = 256
"""Most tokens in one step: enough for a prefill at full speed on a CPU, few enough for small compute buffers."""

GPU_BATCH = 1024
"""Most tokens in one step where all layers are on a GPU with memory of its own and the context doesn't have to give
way. A prompt of 870 tokens took half the time in one step of an H200 (0.5B: 18 and 37 ms, 1.5B: 29 and 50)."""

DRAFTED = 15
"""Most drafted tokens in one step."""

ASIDE = 2048
"""Most tokens of earlier answers that are kept outside the context, in all. It is never more than half a context."""

CONTEXT = 4096
"""Tokens that a context has room for at first, by default. It grows by doubling."""

MOST_SLOTS = 8
"""Calls that are decoded together, by default and if memory allows it."""

_ANSWER = 1024
"""Fewest tokens of room for an answer without a cap."""

_LEAST_CONTEXT = 512
_SLOT_CELLS = 1024
_WORKER = 160 << 20
"""Bytes of Python, the libraries, and a vocabulary of 150,000 tokens with its prefix tree for constraints. Measured."""

_KEPT_IF_SURVEYED = 4
"""Buffers of the size of the logits that llama.cpp reserves where there are backend samplers: for logits, what samplers
make of them, probabilities and tokens."""

_MORE_IF_SURVEYED = 2
"""Rows of logits beyond `outputs` on a GPU: llama.cpp reserves one for each sequence, and kept answers are sequences,
too."""

_COMPUTED_IF_SURVEYED = 2
"""Tensors of the size of the logits that a surveyed step needs at once: the logits, and a copy without the likeliest
token."""

_KV_BYTES = 2
_REPACKED = frozenset({"q2_K", "q4_0", "q4_K", "iq4_nl"})
"""Types that llama.cpp lays out anew for the vector units of x86-64. ARM has more. Only for figures in messages."""


def outputs(slots: int) -> int:
    """The most tokens of one step that may need their logits."""
    return slots + DRAFTED


@dataclass(frozen=True, slots=True)
class Need:
    """The memory of a loaded model, in bytes.

    Args:
        weights: all tensors. They are mapped. Those that were laid out anew stay mapped but are no longer read.
        copies: weights laid out anew for the processor. They are private to the process.
        kv: keys and values of every token that the context has room for.
        buffers: for one step of computing, and its logits.
        worker: the process itself, and what it may keep of earlier answers outside the context.
    """

    weights: int
    copies: int
    kv: int
    buffers: int
    worker: int

    @property
    def total(self) -> int:
        """What must stay in memory for full speed. For weights with a copy that is only the copy."""
        return self.weights + self.kv + self.buffers + self.worker

    @property
    def resident(self) -> int:
        """The most that the process can show as resident, including pages that the system can drop at any time."""
        return self.total + self.copies


@dataclass(frozen=True, slots=True)
class Fit:
    """The memory sums of one model.

    Args:
        header: of its file.
        slots: number of calls that are decoded together.
        batch: most tokens in one step.
        surveyed: whether there is to be room for the device's survey of the logits.
    """

    header: Header
    slots: int
    batch: int = BATCH
    surveyed: bool = False

    @property
    def cell(self) -> int:
        """Bytes that one more token of context takes: its keys and values, and its column in the attention mask."""
        return self._kv + self._mask

    @property
    def _kv(self) -> int:
        h = self.header
        return sum(h.kv_heads) * (h.key_length + h.value_length) * _KV_BYTES

    @property
    def _mask(self) -> int:
        return 2 * self.batch

    def need(self, cells: int) -> Need:
        """The memory of the model with room for this many tokens."""
        h = self.header
        rows = outputs(self.slots) + (_MORE_IF_SURVEYED if self.surveyed else 0)
        logits = 4 * rows * h.vocabulary
        step = 4 * self.batch * (3 * h.feed_forward_length + 5 * h.embedding_length)
        copies = sum(t.bytes for t in h.tensors if t.type in _REPACKED and t.name != "token_embd.weight")
        kept, computed = (_KEPT_IF_SURVEYED, _COMPUTED_IF_SURVEYED) if self.surveyed else (1, 1)
        buffers = kept * logits + max(step, computed * logits) + cells * self._mask
        return Need(h.weights, copies, cells * self._kv, buffers, _WORKER + ASIDE * self._kv)

    def most(self, memory: FreeMemory) -> int:
        """The largest context that fits, in tokens: a multiple of `GRAIN`, or 0 if none fits."""
        none = self.need(0)
        left = SHARE * memory.available - none.total
        if memory.address_space is not None:
            left = min(left, SHARE * memory.address_space - none.resident)
        return max(0, int(left / self.cell) // GRAIN * GRAIN)


@dataclass(frozen=True, slots=True)
class Room:
    """The share of the context that one call gets.

    Args:
        cells: tokens that the context must have room for before the call can begin.
        limit: most tokens of the answer.
    """

    cells: int
    limit: int


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """How to load a model.

    Args:
        fit: its memory sums.
        cells: room for tokens at first, of all calls together.
        most: the largest that this may grow to for one call; equal to `cells` if the user set a context.
        together: the same for several calls. Each of them may have no more than the model was trained for, but all of
            them may.
    """

    fit: Fit
    cells: int
    most: int
    together: int

    @property
    def slots(self) -> int:
        """Number of calls that are decoded together."""
        return self.fit.slots

    @property
    def context(self) -> int:
        """The most tokens that prompt and answer of one call may have, when the context has grown as far as it can."""
        return min(self.most, self.fit.header.context_length or self.most)

    def room(self, prompt: int, max_tokens: int | None, *, held: int, free: Callable[[], FreeMemory]) -> Room | None:
        """The room for one call; `None` if its prompt leaves no room for an answer.

        Args:
            prompt: length of the prompt, in tokens.
            max_tokens: cap on the answer; `None` gives it the rest of a context with room for 1,024 tokens or more.
            held: present size of the context, in tokens.
            free: returns the memory that is free now. Called only if the context would have to grow.
        """
        cells = self._step(prompt + (max_tokens or _ANSWER))
        if cells > held and (cells - held) * self.fit.cell > SHARE * free().available:
            cells = held
        left = min(cells, self.context) - prompt
        return Room(cells, min(left, max_tokens or left)) if left > 0 else None

    def larger(self, tokens: int, *, held: int, free: FreeMemory) -> int:
        """The context that there may be for calls which together outgrow it; `held` if it may not grow.

        Args:
            tokens: of all calls together.
            held: present size of the context, in tokens.
            free: the memory that is free now. While the context grows, a copy of its present one lies beside it.
        """
        cells = held
        while cells < min(tokens, self.together):
            cells = min(2 * cells, self.together)
        return cells if cells > held and cells * self.fit.cell <= SHARE * free.available else held

    def _step(self, tokens: int) -> int:
        cells = self.cells
        while cells < tokens and cells < self.most:
            cells *= 2
        return min(cells, self.most)


def plan(header: Header, *, context: int | None, slots: int | None, memory: FreeMemory) -> LoadPlan:
    """Decide how to load a model, from the settings and the free memory.

    Args:
        header: of the model.
        context: tokens; a fixed size that is neither exceeded nor lowered. `None` begins with 4,096 or what fits, and
            grows up to what the model was trained for, as far as memory allows.
        slots: calls decoded together; `None` is one for each 1,024 tokens of the largest context, up to 8.
        memory: what is free.

    Raises:
        TierUnavailable: it doesn't fit. The message says what it takes, what is free, and which context would fit.
    """

    wanted = Fit(header, slots or MOST_SLOTS)
    fitting = wanted.most(memory)
    if context is None:
        trained = _grains(header.context_length or CONTEXT)
        most = min(trained, fitting)
        together = fitting
        cells = min(CONTEXT, most)
        if cells < min(_LEAST_CONTEXT, trained):
            raise _refusal(wanted, min(CONTEXT, trained), fitting, memory)
    else:
        cells = most = together = _grains(context)
        if cells > fitting:
            raise _refusal(wanted, cells, fitting, memory)
    chosen = slots or max(1, min(MOST_SLOTS, most // _SLOT_CELLS))
    return LoadPlan(Fit(header, chosen), cells, most, max(most, min(together, chosen * most)))


def least(size: int) -> int:
    """Bytes of memory that a model takes at least, by the size of its file alone: its weights and its process."""
    return size + _WORKER


def _grains(tokens: int) -> int:
    return -(-tokens // GRAIN) * GRAIN


def _refusal(fit: Fit, cells: int, fitting: int, memory: FreeMemory) -> TierUnavailable:
    need = fit.need(cells)
    free, by = memory.available, memory.limited_by
    total = need.total
    if memory.address_space is not None and memory.address_space - need.resident < free - need.total:
        free, by, total = memory.address_space, "the limit on address space", need.resident
    hint = (
        f"set the tier's context to {fitting:,} or less, or name a smaller model"
        if fitting >= _LEAST_CONTEXT
        else "name a smaller model, or free some memory"
    )
    return TierUnavailable(
        f"the model takes {readable(total)} of memory with a context of {cells:,} tokens "
        f"(weights {readable(need.weights)}, keys and values {readable(need.kv)}, buffers {readable(need.buffers)}, "
        f"the process {readable(need.worker)}), "
        f"but of {readable(free)} that {by} leaves free, only {SHARE:.0%} may be used",
        hint=hint,
    )
