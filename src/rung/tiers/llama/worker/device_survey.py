"""A survey of all rows of logits of a step, by the device that computes them.

A row has a number for each word of a vocabulary, often 600 KB of them. On a GPU, looking through the rows of 16 answers
on the CPU took a quarter of a step, and copying them came on top. So the two likeliest tokens, their logits and the
probability of the first are worked out where the rows are, for all of them at once, as a part of the step itself. A row
is copied only if somebody asks for it.

llama.cpp lets a *backend sampler* add to what a step computes. This interface is experimental. It is used only where
all of it is there, and what it says is believed only if the CPU says the same of the first rows.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from rung.tiers.llama.binding import llama
from rung.tiers.llama.worker.exponentials import LogitsSurvey, survey
from rung.tiers.llama.worker.faults import DecodeError
from rung.tiers.llama.worker.sampling import LogitsRow

if TYPE_CHECKING:
    from rung.tiers.llama.worker.sampling import Logits

FEWEST = 4
"""Fewest rows that a device surveys. It takes about as long for one row as for dozens, because each row goes to one
part of the device."""

_LOW = -3e38
"""Replaces the likeliest token's logit while the second is looked for: near the least float."""

_CLOSE = 1e-4
"""Most by which a device's log-probability may be off."""

_LOGITS = b"result_output"
"""llama.cpp's name for the logits of a step."""

_POINTER = ctypes.c_void_p
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "get_tensor": (_POINTER, [_POINTER, ctypes.c_char_p]),
    "argmax": (_POINTER, [_POINTER, _POINTER]),
    "soft_max": (_POINTER, [_POINTER, _POINTER]),
    "cont": (_POINTER, [_POINTER, _POINTER]),
    "cast": (_POINTER, [_POINTER, _POINTER, ctypes.c_int]),
    "clamp": (_POINTER, [_POINTER, _POINTER, ctypes.c_float, ctypes.c_float]),
    "get_rows": (_POINTER, [_POINTER, _POINTER, _POINTER]),
    "set_rows": (_POINTER, [_POINTER, _POINTER, _POINTER, _POINTER]),
    "scale_bias": (_POINTER, [_POINTER, _POINTER, ctypes.c_float, ctypes.c_float]),
    "reshape_2d": (_POINTER, [_POINTER, _POINTER, ctypes.c_int64, ctypes.c_int64]),
    "reshape_3d": (_POINTER, [_POINTER, _POINTER, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64]),
    "concat": (_POINTER, [_POINTER, _POINTER, _POINTER, ctypes.c_int]),
    "nelements": (ctypes.c_int64, [_POINTER]),
    "set_output": (None, [_POINTER]),
    "build_forward_expand": (None, [_POINTER, _POINTER]),
    "backend_tensor_get": (None, [_POINTER, _POINTER, ctypes.c_size_t, ctypes.c_size_t]),
}
"""What is called of ggml, the library of tensors under llama.cpp: result and arguments, without the prefix `ggml_`."""

_NAMES = (
    *("llama_sampler_init", "llama_sampler_free", "llama_sampler_chain_init", "llama_sampler_chain_add"),
    *("llama_sampler_chain_default_params", "llama_sampler_i_name", "llama_sampler_i_backend_init"),
    *("llama_sampler_i_backend_apply", "llama_sampler_i_backend_reset", "GGML_TYPE_F32", "GGML_TYPE_I32"),
)
"""What is used of llama-cpp-python."""

_FIELDS = {
    "llama_sampler_i": {"name", "backend_init", "backend_apply", "backend_reset"},
    "llama_sampler_data": {"logits"},
    "llama_sampler_seq_config": {"seq_id", "sampler"},
    "llama_context_params": {"samplers", "n_samplers", "n_outputs_max", "n_outputs_max_per_seq"},
}
"""What is read and set of llama.cpp's structures."""


@functools.cache
def _ggml() -> Any:
    """Those functions; `None` if this build lacks one, or can't add to what a step computes. On Windows they are in a
    library of their own, which isn't looked into.
    """
    found = SimpleNamespace()
    try:
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(llama._lib, f"ggml_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(found, name, function)
        for name in _NAMES:
            getattr(llama, name)
        whole = all(fields <= {name for name, *_ in getattr(llama, of)._fields_} for of, fields in _FIELDS.items())
    except AttributeError:
        return None
    return found if whole else None


@dataclass(frozen=True, slots=True)
class _Results:
    """Where a step leaves its results: pointers to tensors.

    Args:
        rows: how many there are.
        logits: all rows.
        first: the likeliest token of each row; `None` if nothing was added.
        second: the likeliest but for that one.
        numbers: of each row the logit of the first, that of the second, and the probability of the first.
    """

    rows: int
    logits: int
    first: int | None = None
    second: int | None = None
    numbers: int | None = None


def _copy_nothing(sampler: Any, context: int, graph: int, data: Any) -> None:
    """Called by llama.cpp for each row of a sequence: nothing of the row is handed on."""
    ctypes.memset(data, 0, ctypes.sizeof(llama.llama_sampler_data))


def _interface(apply: Callable[[Any, int, int, Any], None]) -> Any:
    """What llama.cpp calls of a sampler.

    Args:
        apply: may add to the graph of a step.
    """
    interface = llama.llama_sampler_i()
    interface.name = llama.llama_sampler_i_name(lambda sampler: b"survey")
    interface.backend_init = llama.llama_sampler_i_backend_init(lambda sampler, buffer, outputs: True)
    interface.backend_apply = llama.llama_sampler_i_backend_apply(apply)
    return interface


class DeviceSurvey:
    """Adds a survey of its rows to each step of a context, and reads it.

    Each context has one. `attach` it before the context is made, call `after_step` after each step, and `release` it
    when the context is gone. Rows are asked for by the loop's thread; what is in one may be fetched by any.

    Args:
        vocabulary_size: length of a row.
        view: gives a view of a row's floats at an address.
    """

    def __init__(self, vocabulary_size: int, view: Callable[[int], Logits]) -> None:
        self._size = vocabulary_size
        self._view = view
        self._chains: list[Any] = []
        self._results: _Results | None = None
        self._address = 0
        self._rows: dict[int, int] = {}
        self._copied: set[int] = set()
        self._surveys: list[LogitsSurvey] | None = None
        self.believed: bool | None = None
        """Whether the CPU says the same; `None` as long as it wasn't asked."""
        # llama.cpp holds pointers to both
        self._adds, self._keeps_still = _interface(self._add), _interface(_copy_nothing)
        self._adds.backend_reset = llama.llama_sampler_i_backend_reset(self._reset)

    @staticmethod
    def possible() -> bool:
        """Whether this build of llama.cpp can do it."""
        return _ggml() is not None

    @property
    def attached(self) -> bool:
        """Whether llama.cpp has let it add to a step. It has, as soon as there is a context."""
        return self._results is not None

    def attach(self, params: Any, sequences: int) -> None:
        """Have it called for every step of the context that is made next.

        llama.cpp copies all rows if one sequence has no sampler. So each sequence has one, and the first adds the
        survey. No sampler may be attached twice, so this makes new ones each time.

        Args:
            params: llama.cpp's settings of the context.
            sequences: of the context.
        """
        self.release(params)
        self._results = None
        configs = (llama.llama_sampler_seq_config * sequences)()
        for sequence in range(sequences):
            chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
            does = self._keeps_still if sequence else self._adds
            llama.llama_sampler_chain_add(chain, llama.llama_sampler_init(ctypes.pointer(does), None))
            self._chains.append(chain)
            configs[sequence].seq_id = sequence
            configs[sequence].sampler = ctypes.cast(chain, ctypes.c_void_p)
        params.samplers, params.n_samplers = configs, sequences
        # drafted tokens have rows, too
        params.n_outputs_max_per_seq = params.n_outputs_max

    def release(self, params: Any) -> None:
        """Give back what `attach` took, if it was called. The context is gone.

        Args:
            params: llama.cpp's settings of the context.
        """
        params.samplers, params.n_samplers = None, 0
        for chain in self._chains:
            llama.llama_sampler_free(chain)
        self._chains.clear()

    def _reset(self, sampler: Any) -> None:
        """Called by llama.cpp before it builds a step's graph, or reserves memory for one."""
        self._results = None

    def _add(self, sampler: Any, context: int, graph: int, data: Any) -> None:
        """Called by llama.cpp for each row of the first sequence, and once if it has none in this step.

        Args:
            sampler: of the first sequence.
            context: where ggml keeps the tensors of the graph.
            graph: what the step computes.
            data: what llama.cpp would copy of the row.
        """
        _copy_nothing(sampler, context, graph, data)
        if self._results is not None:
            return
        logits = _ggml().get_tensor(context, _LOGITS)
        if not logits:
            return  # only a test of what this would add
        rows = _ggml().nelements(logits) // self._size
        self._results = _Results(rows, logits) if rows < FEWEST else self._added(context, graph, logits, rows)

    def _added(self, context: int, graph: int, logits: int, rows: int) -> _Results:
        """The results, which every step that is built like this one works out."""
        g, words = _ggml(), self._size

        def within(tokens: int) -> int:
            """Of a row without a single number argmax is -1 on some devices. Nothing may be read or written there."""
            floats = g.clamp(context, g.cast(context, tokens, llama.GGML_TYPE_F32), 0.0, words - 1.0)
            return int(g.cast(context, floats, llama.GGML_TYPE_I32))

        def picked(of: int, tokens: int) -> int:
            """One number of each row."""
            apart = g.reshape_3d(context, of, 1, words, rows)
            return int(g.get_rows(context, apart, g.reshape_2d(context, tokens, 1, rows)))

        first = g.argmax(context, logits)
        there = within(first)
        top = picked(logits, there)
        probability = picked(g.soft_max(context, logits), there)
        # expanded now, so that the probabilities' memory can be used again
        g.build_forward_expand(graph, probability)
        others = g.set_rows(
            context,
            g.cont(context, g.reshape_3d(context, logits, 1, words, rows)),  # a copy, since it is written to
            g.scale_bias(context, top, 0.0, _LOW),  # there are no constants in a graph
            g.reshape_2d(context, there, 1, rows),
        )
        second = g.argmax(context, g.reshape_2d(context, others, words, rows))
        runner_up = picked(others, within(second))
        numbers = g.concat(context, g.concat(context, top, runner_up, 1), probability, 1)
        for result in (first, second, numbers):
            g.set_output(result)
            g.build_forward_expand(graph, result)
        return _Results(rows, logits, first, second, numbers)

    def after_step(self, address: int, outputs: Sequence[int]) -> None:
        """A step is done.

        Args:
            address: of llama.cpp's own buffer for logits, into which rows are copied: a GPU writes there faster than
                into other memory.
            outputs: indices of the step's tokens that have a row, in order.
        """
        self._address = address
        self._rows = {index: row for row, index in enumerate(outputs)}
        self._copied.clear()
        self._surveys = None

    def row(self, index: int) -> LogitsRow:
        """The row of a token of the last step.

        Args:
            index: index of the token in the step.

        Raises:
            DecodeError: the token has no row.
        """
        row = self._row_of(index)
        if self._surveys is None:
            self._surveys = self._read()
        return LogitsRow(functools.partial(self.logits, index), self._surveys[row] if self._surveys else None)

    def logits(self, index: int) -> Logits:
        """The whole row of a token of the last step. It is valid until the next step.

        Args:
            index: index of the token in the step.

        Raises:
            DecodeError: the token has no row.
        """
        row, size = self._row_of(index), 4 * self._size
        address = self._address + row * size
        if row not in self._copied:
            _ggml().backend_tensor_get(self._last().logits, address, row * size, size)
            self._copied.add(row)
        return self._view(address)

    def _row_of(self, index: int) -> int:
        row = self._rows.get(index)
        if row is None or not self._address:
            raise DecodeError(f"no logits at {index}")
        return row

    def _last(self) -> _Results:
        if self._results is None or self._results.rows != len(self._rows):
            raise DecodeError("the last step was built without a survey, or in parts")
        return self._results

    def _read(self) -> list[LogitsSurvey]:
        """The surveys of all rows of the last step; none if there are too few, one isn't finite, or the device isn't
        believed.
        """
        results, count = self._last(), len(self._rows)
        if results.numbers is None or self.believed is False:
            return []
        first, second = np.empty((2, count), np.int32)
        numbers = np.empty((count, 3), np.float32)
        for tensor, into in ((results.first, first), (results.second, second), (results.numbers, numbers)):
            _ggml().backend_tensor_get(tensor, into.ctypes.data, 0, into.nbytes)
        whole = np.isfinite(numbers).all() and numbers[:, 2].all() and min(first.min(), second.min()) >= 0
        if not whole or (first == second).any():
            return []
        found = [
            LogitsSurvey(first=one, second=other, top=top, mass=1 / probability, runner_up=runner_up)
            for one, other, (top, runner_up, probability) in zip(
                first.tolist(), second.tolist(), numbers.tolist(), strict=True
            )
        ]
        if self.believed is None:
            self.believed = all(_agrees(found[row], self.logits(index)) for index, row in self._rows.items())
        return found if self.believed else []


def _agrees(found: LogitsSurvey, logits: Logits) -> bool:
    """Whether the CPU says the same of a row. Of equal logits it may name another token."""
    exact = survey(logits)
    return (
        logits.item(found.first) == found.top == exact.top
        and logits.item(found.second) == found.runner_up == exact.runner_up
        and abs(math.log(found.mass) - math.log(exact.mass)) <= _CLOSE
    )
