"""A survey of all rows of logits of a step, by the device that computes them.

A row has a number for each word of a vocabulary, often 600 KB of them. On a GPU, copying the rows of 16 answers and
looking through them on the CPU took a third of a step. So the two likeliest tokens, their logits and the probability of
the first are worked out where the rows are, for all of them at once, as a part of the step itself. A row comes over
only if somebody asks for it.

llama.cpp lets a *backend sampler* add to what a step computes. This interface is experimental. It is used only where
all of it is there, and what it says is believed only if the CPU says the same of the first step's rows.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from rung.tiers.llama.binding import llama
from rung.tiers.llama.worker.exponentials import LogitsSurvey, survey
from rung.tiers.llama.worker.sampling import LogitsRow

if TYPE_CHECKING:
    from rung.tiers.llama.worker.sampling import Logits

FEWEST = 4
"""Rows from which on a device surveys them. It takes about as long for one as for dozens, since each row has a part of
the device to itself, and for one or two the CPU is as fast."""

_LOW = -3e38
"""Stands for a logit that is out of the question: near the least float."""

_CLOSE = 1e-4
"""Most by which a device's log-probability may be off."""

_LOGITS = b"result_output"
"""llama.cpp's name for the logits of a step."""

_TENSOR = ctypes.c_void_p
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "get_tensor": (_TENSOR, [_TENSOR, ctypes.c_char_p]),
    "argmax": (_TENSOR, [_TENSOR, _TENSOR]),
    "soft_max": (_TENSOR, [_TENSOR, _TENSOR]),
    "cont": (_TENSOR, [_TENSOR, _TENSOR]),
    "get_rows": (_TENSOR, [_TENSOR, _TENSOR, _TENSOR]),
    "set_rows": (_TENSOR, [_TENSOR, _TENSOR, _TENSOR, _TENSOR]),
    "scale_bias": (_TENSOR, [_TENSOR, _TENSOR, ctypes.c_float, ctypes.c_float]),
    "reshape_2d": (_TENSOR, [_TENSOR, _TENSOR, ctypes.c_int64, ctypes.c_int64]),
    "reshape_3d": (_TENSOR, [_TENSOR, _TENSOR, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64]),
    "concat": (_TENSOR, [_TENSOR, _TENSOR, _TENSOR, ctypes.c_int]),
    "nelements": (ctypes.c_int64, [_TENSOR]),
    "set_output": (None, [_TENSOR]),
    "build_forward_expand": (None, [_TENSOR, _TENSOR]),
    "backend_tensor_get": (None, [_TENSOR, _TENSOR, ctypes.c_size_t, ctypes.c_size_t]),
}
"""What is called of ggml, the library of tensors under llama.cpp: result and arguments, without the prefix `ggml_`."""


@functools.cache
def _ggml() -> Any:
    """Those functions; `None` if this build lacks one, or can't add to what a step computes."""
    found = SimpleNamespace()
    try:
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(llama._lib, f"ggml_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(found, name, function)
        fields = {name for name, _ in llama.llama_sampler_i._fields_}
    except AttributeError:
        return None
    return found if {"backend_init", "backend_apply"} <= fields else None


@dataclass(frozen=True, slots=True)
class _Graph:
    """Where a step leaves its results: pointers to tensors.

    Args:
        logits: all rows.
        first: the likeliest token of each row; `None` if nothing was added.
        second: the likeliest but for that one.
        numbers: of each row the logit of the first, that of the second, and the probability of the first.
    """

    logits: int
    first: int | None = None
    second: int | None = None
    numbers: int | None = None


class DeviceSurvey:
    """Adds a survey of its rows to each step of a context, and reads it.

    One is made for a context, in three parts: `attach` to its settings, `release` after it is gone, and `begin` after
    each step. Rows may be asked for from several threads.

    Args:
        vocabulary_size: length of a row.
    """

    def __init__(self, vocabulary_size: int) -> None:
        self._size = vocabulary_size
        self._chains: list[Any] = []
        self._graph: _Graph | None = None
        self._leader = 0
        self._believed: bool | None = None
        self._address = 0
        self._rows: dict[int, int] = {}
        self._views: dict[int, Logits] = {}
        self._copied: set[int] = set()
        self._surveys: list[LogitsSurvey] | None = None
        # llama.cpp holds pointers to all of these
        self._interface = llama.llama_sampler_i()
        self._interface.name = llama.llama_sampler_i_name(lambda sampler: b"survey")
        self._interface.backend_init = llama.llama_sampler_i_backend_init(lambda sampler, buffer, outputs: True)
        self._interface.backend_apply = llama.llama_sampler_i_backend_apply(self._apply)

    @staticmethod
    def possible() -> bool:
        """Whether this build of llama.cpp can do it."""
        return _ggml() is not None

    @property
    def attached(self) -> bool:
        """Whether llama.cpp has let it add to a step. It has, as soon as there is a context."""
        return self._graph is not None

    def attach(self, params: Any, sequences: int) -> None:
        """Have it called for every step of the context that is made next.

        Rows of a sequence without a sampler would be copied, and with them all others. So each sequence has one, and
        the first of these adds to the step.

        Args:
            params: llama.cpp's settings of the context.
            sequences: of the context.
        """
        self._graph = None
        configs = (llama.llama_sampler_seq_config * sequences)()
        for sequence in range(sequences):
            chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
            sampler = llama.llama_sampler_init(ctypes.pointer(self._interface), None)
            llama.llama_sampler_chain_add(chain, sampler)
            self._chains.append(chain)
            configs[sequence].seq_id = sequence
            configs[sequence].sampler = ctypes.cast(chain, ctypes.c_void_p)
            if not sequence:
                self._leader = ctypes.addressof(sampler.contents)
        params.samplers, params.n_samplers = configs, sequences
        # drafted tokens have rows, too
        params.n_outputs_max_per_seq = params.n_outputs_max

    def release(self, params: Any) -> None:
        """Give back what `attach` took. The context is gone.

        Args:
            params: llama.cpp's settings of the context.
        """
        params.samplers, params.n_samplers = None, 0
        for chain in self._chains:
            llama.llama_sampler_free(chain)
        self._chains.clear()
        self._views.clear()

    def _apply(self, sampler: Any, context: int, graph: int, data: Any) -> None:
        """llama.cpp builds a step, or makes room for one."""
        # nothing of a row is handed on by llama.cpp
        ctypes.memset(data, 0, ctypes.sizeof(llama.llama_sampler_data))
        if ctypes.addressof(sampler.contents) != self._leader:
            return
        logits = _ggml().get_tensor(context, _LOGITS)
        if not logits:
            return  # it only asks what would be added
        self._graph = None
        rows = _ggml().nelements(logits) // self._size
        self._graph = _Graph(logits) if rows < FEWEST else self._added(context, graph, logits, rows)

    def _added(self, context: int, graph: int, logits: int, rows: int) -> _Graph:
        """The results, worked out behind the logits in every step that is built like this one."""
        g, words = _ggml(), self._size

        def picked(of: int, tokens: int) -> int:
            """One number of each row."""
            apart = g.reshape_3d(context, of, 1, words, rows)
            return int(g.get_rows(context, apart, g.reshape_2d(context, tokens, 1, rows)))

        first = g.argmax(context, logits)
        top = picked(logits, first)
        probability = picked(g.soft_max(context, logits), first)
        g.build_forward_expand(graph, probability)  # so that what comes now may have the probabilities' memory
        others = g.set_rows(
            context,
            g.cont(context, g.reshape_3d(context, logits, 1, words, rows)),
            g.scale_bias(context, top, 0.0, _LOW),
            g.reshape_2d(context, first, 1, rows),
        )
        second = g.argmax(context, g.reshape_2d(context, others, words, rows))
        numbers = g.concat(context, g.concat(context, top, picked(logits, second), 1), probability, 1)
        for result in (first, second, numbers):
            g.set_output(result)
            g.build_forward_expand(graph, result)
        return _Graph(logits, first, second, numbers)

    def begin(self, address: int, outputs: Sequence[int]) -> None:
        """A step is done.

        Args:
            address: where llama.cpp keeps room for its logits.
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
        """
        row = self._rows[index]
        if self._surveys is None:
            self._surveys = self._read()
        return LogitsRow(functools.partial(self.logits, index), self._surveys[row] if self._surveys else None)

    def logits(self, index: int) -> Logits:
        """The whole row of a token of the last step. It is valid until the next step.

        Args:
            index: index of the token in the step.
        """
        row, size = self._rows[index], 4 * self._size
        address = self._address + row * size
        view = self._views.get(address)
        if view is None:
            numbers = (ctypes.c_float * self._size).from_address(address)
            view = self._views[address] = np.ctypeslib.as_array(numbers)
        if row not in self._copied:
            _ggml().backend_tensor_get(self._results().logits, address, row * size, size)
            self._copied.add(row)
        return view

    def _results(self) -> _Graph:
        if self._graph is None:
            raise AssertionError("a step was built")
        return self._graph

    def _read(self) -> list[LogitsSurvey]:
        """The surveys of all rows of the last step; none if there are too few, or the device isn't believed."""
        results, count = self._results(), len(self._rows)
        if results.numbers is None or self._believed is False:
            return []
        first, second = np.empty((2, count), np.int32)
        numbers = np.empty((count, 3), np.float32)
        for tensor, into in ((results.first, first), (results.second, second), (results.numbers, numbers)):
            _ggml().backend_tensor_get(tensor, into.ctypes.data, 0, into.nbytes)
        if not np.isfinite(numbers).all() or not numbers[:, 2].all():
            return []  # rows in which something isn't a number
        found = [
            LogitsSurvey(a, b, top, 1 / probability, runner_up)
            for a, b, (top, runner_up, probability) in zip(
                first.tolist(), second.tolist(), numbers.tolist(), strict=True
            )
        ]
        if self._believed is None:
            self._believed = all(_right(found[row], self.logits(index)) for index, row in self._rows.items())
        return found if self._believed else []


def _right(found: LogitsSurvey, logits: Logits) -> bool:
    """Whether the CPU says the same of a row. Of equal logits it may name another token."""
    exact = survey(logits)
    return (
        0 <= found.first != found.second >= 0
        and logits.item(found.first) == found.top == exact.top
        and logits.item(found.second) == found.runner_up == exact.runner_up
        and abs(math.log(found.mass) - math.log(exact.mass)) <= _CLOSE
    )
