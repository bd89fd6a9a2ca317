"""The few functions of llama.cpp that the loop needs, made safe to call.

Everything here belongs to the loop's thread, except `Context.abort`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rung.tiers.llama.binding import llama
from rung.tiers.llama.threads import Fixed
from rung.tiers.llama.worker import system
from rung.tiers.llama.worker.batch import Batch, Run
from rung.tiers.llama.worker.faults import DecodeError, LoadError
from rung.tiers.llama.worker.profile import CPU, ComputeProfile
from rung.tiers.llama.worker.vocabulary import Vocabulary

if TYPE_CHECKING:
    from rung.tiers.llama.threads import Threads
    from rung.tiers.llama.worker.device_survey import DeviceSurvey
    from rung.tiers.llama.worker.log import Log
    from rung.tiers.llama.worker.sampling import Logits, LogitsRow
    from rung.tiers.llama.worker.words import WordsFile


class Model:
    """A loaded file.

    Args:
        path: path of the GGUF file.
        log: receives llama.cpp's reasons for refusing.
        gpu_layers: how many of its layers go to a GPU, if the build has one.
        gpu_shares: share of those layers that each GPU takes, in llama.cpp's order; left out it goes by what is free.
        repack: whether weights may be laid out anew for the processor.
        words: where the words of its vocabulary are kept; `None` keeps none.

    Raises:
        LoadError: it is not a GGUF file, is corrupt, or of an architecture that this build doesn't know.
    """

    def __init__(
        self,
        path: str,
        log: Log,
        *,
        gpu_layers: int = 0,
        gpu_shares: Sequence[float] = (),
        repack: bool = True,
        words: WordsFile | None = None,
    ) -> None:
        llama.llama_backend_init()
        params = llama.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        if gpu_shares:
            # llama.cpp reads as many as it knows devices; what isn't given is 0
            shares = (ctypes.c_float * llama.llama_max_devices())(*gpu_shares)
            params.tensor_split = shares
        params.use_extra_bufts = repack
        self.pointer = log.made(lambda: llama.llama_model_load_from_file(path.encode(), params))
        if not self.pointer:
            raise LoadError(log.cause() or "llama.cpp gave no reason")
        self.vocabulary = Vocabulary(llama.llama_model_get_vocab(self.pointer), words)
        self.trained_context: int = llama.llama_model_n_ctx_train(self.pointer)
        # A recurrent state can't be rewound to an earlier token.
        self.cuttable = not (llama.llama_model_is_recurrent(self.pointer) or llama.llama_model_is_hybrid(self.pointer))

    def close(self) -> None:
        """Give its memory back, that of a GPU included. No context may be using it, and nothing may be called after."""
        llama.llama_model_free(self.pointer)

    def metadata(self, key: str) -> str | None:
        """A value from the file's own table; `None` if it has none."""
        room = 256
        while True:
            buffer = ctypes.create_string_buffer(room)
            length = llama.llama_model_meta_val_str(self.pointer, key.encode(), buffer, room)
            if length < 0:
                return None
            if length < room:
                return buffer.raw[:length].decode("utf-8", "replace")
            room = length + 1


class Context:
    """Memory for sequences over a model. All of them share its cells.

    `cells`, `batch` and `profile` say what it was made with; `cuttable`, whether a sequence can be cut at any position;
    `doubted`, whether the device's survey of the logits was given up because it didn't agree with the CPU.

    Args:
        model: the model to decode with.
        cells: room for tokens of all sequences together; a multiple of `fit.GRAIN`.
        sequences: most sequences.
        outputs: most tokens in one step whose logits are wanted.
        threads: says before each step how many threads decode.
        batch: most tokens in one step.
        log: receives llama.cpp's reasons for refusing.
        profile: how what computes the model is best used.
        surveyed: whether the device surveys the rows of logits, if this build can do that.

    Raises:
        LoadError: memory is short.
    """

    def __init__(
        self,
        model: Model,
        *,
        cells: int,
        sequences: int,
        outputs: int,
        threads: Threads,
        batch: int,
        log: Log,
        profile: ComputeProfile = CPU,
        surveyed: bool = False,
    ) -> None:
        self.cuttable = model.cuttable
        self.profile = profile
        self.batch = batch
        self._vocabulary_size = model.vocabulary.size
        self._model = model
        self._log = log
        self._threads = Fixed(1) if profile.lone_thread else threads
        self._params = params = llama.llama_context_default_params()
        params.n_batch = params.n_ubatch = batch
        params.n_seq_max = sequences
        params.kv_unified = True
        # Without this, the buffer for logits has a row for every token of a step, which is hundreds of MiB.
        # llama.cpp ends the process if there are fewer rows than sequences.
        params.n_outputs_max = max(outputs, sequences)
        self._flag = ctypes.create_string_buffer(2)
        self._callback = system.abort_callback(llama.ggml_abort_callback)
        self.doubted = False
        self._survey = self._new_survey() if surveyed else None
        self._make(cells)

    def _new_survey(self) -> DeviceSurvey | None:
        from rung.tiers.llama.worker.device_survey import DeviceSurvey  # which a worker without a GPU never needs

        return DeviceSurvey(self._vocabulary_size, self._view) if DeviceSurvey.possible() else None

    @cached_property
    def _batch(self) -> Batch:
        """The arrays of a step. Only the first step waits for numpy, with which they are made."""
        return Batch(self.batch)

    def resize(self, cells: int) -> bool:
        """Make room for more tokens. Afterwards `cells` says for how many, which are as before if memory is short.

        All sequences are copied at once and put back, so that cells which they share are shared again.

        Args:
            cells: a multiple of `fit.GRAIN`, more than now.

        Returns:
            whether every sequence holds what it held. If not, all are empty.

        Raises:
            LoadError: there is no memory even for the old size. The context can't be used any more.
        """
        before, state = self.cells, self._state()
        self.close()
        try:
            self._make(cells)
        except LoadError:
            self._make(before)
        if state is not None and llama.llama_state_set_data(self.pointer, state, len(state)) == len(state):
            return True
        llama.llama_memory_clear(self._memory, True)
        return False

    def _state(self) -> ctypes.Array[ctypes.c_uint8] | None:
        """All that the context holds; `None` if there is no memory for a copy."""
        size = llama.llama_state_get_size(self.pointer)
        try:
            buffer = (ctypes.c_uint8 * size)()
        except MemoryError:
            return None
        return buffer if llama.llama_state_get_data(self.pointer, buffer, size) == size else None

    def _make(self, cells: int) -> None:
        self.cells = cells
        self._thread_count = self._threads.now()
        self._params.n_ctx = cells
        self._params.n_threads = self._params.n_threads_batch = self._thread_count
        self._init()
        if self._survey is not None and not self._survey.attached:
            self._drop_survey()

    def _init(self) -> None:
        def make() -> Any:
            # each try needs samplers of its own: llama.cpp ends the process if it meets one twice
            if self._survey is not None:
                self._survey.attach(self._params, self._params.n_seq_max)
            return llama.llama_init_from_model(self._model.pointer, self._params)

        self.pointer = self._log.made(make)
        if not self.pointer:
            self.close()
            raise LoadError(self._log.cause() or "no memory for its context")
        self._memory = llama.llama_get_memory(self.pointer)
        self._views: dict[int, Logits] = {}
        llama.llama_set_abort_callback(self.pointer, self._callback, ctypes.cast(self._flag, ctypes.c_void_p))

    def _drop_survey(self) -> None:
        """Go on without a survey, in a new context that holds nothing."""
        self.close()
        self._survey = None
        self._make(self.cells)

    def close(self) -> None:
        """Give its memory back. Nothing may be called after."""
        if self.pointer:
            llama.llama_free(self.pointer)
            self.pointer = None
        if self._survey is not None:
            self._survey.release(self._params)

    @property
    def surveyed(self) -> bool:
        """Whether the device surveys the rows of logits."""
        return self._survey is not None

    def decode(self, runs: Sequence[Run]) -> bool:
        """Evaluate the runs in one step. Returns whether it was done. After an abort, any part may have been.

        Raises:
            DecodeError: something other than an abort went wrong.
        """
        count = self._threads.now()
        if count != self._thread_count:
            self._thread_count = count
            llama.llama_set_n_threads(self.pointer, count, count)
        code = llama.llama_decode(self.pointer, self._batch.fill(runs))
        # A GPU goes on when `llama_decode` has returned, and how long a step takes is learnt here.
        llama.llama_synchronize(self.pointer)
        if code == 0 and self._survey is not None:
            at = llama.llama_get_logits(self.pointer)
            self._survey.after_step(ctypes.addressof(at.contents) if at else 0, self._batch.outputs())
        if code in (0, 2):
            return bool(code == 0)
        raise DecodeError(f"llama_decode returned {code}")

    def rehearse(self) -> None:
        """Take one step of a few tokens, which reads all the weights. If a build crashes here, it should do so at once.

        A single token uses other kernels than several do, and in broken builds it is those for several that crash. If
        a device surveys the rows, it has some to survey, and if the CPU doesn't agree, it surveys no more.

        Raises:
            DecodeError: the step failed.
            LoadError: there is no memory for a context without a survey.
        """
        if self._survey is None:
            self.decode([Run(0, 0, (0, 0), 1)])
        else:
            from rung.tiers.llama.worker.device_survey import FEWEST

            self.decode([Run(0, 0, (0,) * FEWEST, FEWEST)])
            self._survey.row(0)
            self.doubted = not self._survey.believed
        if self.doubted:
            self._drop_survey()
        else:
            self.forget(0)

    def abort(self) -> None:
        """Stop the step that is running, or the next one. Callable from any thread."""
        self._flag[0] = b"\1"

    def resume(self) -> None:
        """Take `abort` back."""
        self._flag[0] = b"\0"

    def row(self, index: int) -> LogitsRow:
        """The logits after a token of the last step, with a survey if the device has made one.

        Args:
            index: index of the token in the step.

        Raises:
            DecodeError: the token has no logits.
        """
        if self._survey is not None:
            return self._survey.row(index)
        from rung.tiers.llama.worker.sampling import LogitsRow  # which is imported beside the load

        return LogitsRow(self.logits(index))

    def logits(self, index: int) -> Logits:
        """A view of the logits after a token of the last step. It is valid until the next step.

        Args:
            index: index of the token in the step.

        Raises:
            DecodeError: the token has no logits.
        """
        if self._survey is not None:
            return self._survey.logits(index)
        pointer = llama.llama_get_logits_ith(self.pointer, index)
        if not pointer:
            raise DecodeError(f"no logits at {index}")
        return self._view(ctypes.addressof(pointer.contents))

    def _view(self, address: int) -> Logits:
        """A view of the floats of a row."""
        # llama.cpp uses a few addresses again and again, and making a view of one takes longer than finding it.
        view = self._views.get(address)
        if view is None:
            import numpy as np

            floats = (ctypes.c_float * self._vocabulary_size).from_address(address)
            view = self._views[address] = np.ctypeslib.as_array(floats)
        return view

    def forget(self, sequence: int, start: int = 0) -> bool:
        """Free the cells of a sequence from position `start` on; `False` if its memory can't be cut there."""
        return bool(llama.llama_memory_seq_rm(self._memory, sequence, start, -1))

    def share(self, source: int, target: int, end: int) -> None:
        """Let an empty sequence also hold the first `end` cells of another one. This takes no room."""
        llama.llama_memory_seq_cp(self._memory, source, target, 0, end)

    def save(self, sequence: int) -> bytes:
        """The cells of a sequence, as bytes that only this build of llama.cpp can read."""
        size = llama.llama_state_seq_get_size(self.pointer, sequence)
        buffer = (ctypes.c_uint8 * size)()
        written = llama.llama_state_seq_get_data(self.pointer, buffer, size, sequence)
        return bytes(memoryview(buffer)[:written])

    def restore(self, sequence: int, data: bytes) -> bool:
        """Fill an empty sequence from what `save` returned; `False` if it doesn't fit."""
        buffer = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
        return bool(llama.llama_state_seq_set_data(self.pointer, buffer, len(data), sequence))
