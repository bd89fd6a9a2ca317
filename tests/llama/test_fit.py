"""What fits into memory is known before anything is loaded, and what doesn't is refused with numbers."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from helpers.each import each
from llama.conftest import call, text
from llama.models import BIG, GIB, MIB
from rung.errors import PromptTooLong, TierUnavailable
from rung.store.gguf import read_header
from rung.tiers.llama.fit import BATCH, CONTEXT, GPU_BATCH, GRAIN, MOST_SLOTS, Fit, outputs, plan
from rung.tiers.llama.headroom import FreeMemory
from rung.tiers.llama.worker.memory import sequences
from rung.tiers.llama.worker.profile import CPU, GPU
from rung.types import Shape

pytestmark = pytest.mark.alone  # memory that another model takes meanwhile would count


def planned(available: float, *, context=None, slots=None, header=BIG, **limits):
    return plan(header, context=context, slots=slots, memory=FreeMemory(int(available), **limits))


def test_keys_and_values_take_what_the_formula_says():
    """Of this shape (that of an 8B Llama) everybody knows the 128 KiB a token."""
    need = Fit(BIG, slots=1).need(8192)
    assert need.kv == 8192 * 128 * 1024
    assert need.weights == 4 * GIB
    assert need.copies == 3 * GIB
    assert need.resident - need.total == need.copies


@each("gigabytes", [5.5, 6, 7, 8, 12, 24, 64])
def test_whatever_is_planned_fits_at_first_and_when_it_has_grown(gigabytes):
    found = planned(gigabytes * GIB)
    assert GRAIN <= found.cells <= min(CONTEXT, found.most)
    assert found.most <= BIG.context_length
    assert found.most % GRAIN == found.cells % GRAIN == 0
    assert found.fit.need(found.most).total <= gigabytes * GIB
    assert 1 <= found.slots <= MOST_SLOTS


def test_more_memory_is_never_less_context_or_fewer_slots():
    plans = [planned(eighths / 8 * GIB) for eighths in range(42, 240)]
    assert [p.most for p in plans] == sorted(p.most for p in plans)
    assert [p.slots for p in plans] == sorted(p.slots for p in plans)
    assert (plans[0].slots, plans[-1].slots) == (1, MOST_SLOTS)


def test_the_context_that_a_refusal_names_fits_and_the_next_one_does_not():
    for gigabytes in (6, 7.3, 9, 20):
        with pytest.raises(TierUnavailable) as caught:
            planned(gigabytes * GIB, context=2**20, slots=4)
        nearest = int(re.search(r"context to ([\d,]+)", caught.value.hint)[1].replace(",", ""))
        assert planned(gigabytes * GIB, context=nearest, slots=4).cells == nearest
        with pytest.raises(TierUnavailable):
            planned(gigabytes * GIB, context=nearest + 1, slots=4)


def test_a_refusal_says_what_is_needed_and_what_is_free():
    with pytest.raises(TierUnavailable) as caught:
        planned(2 * GIB, limited_by="the control group's limit")
    assert re.search(r"takes \d\.\d GB", caught.value.message)
    assert "weights 4.3 GB" in caught.value.message
    assert "2.1 GB that the control group's limit leaves free" in caught.value.message
    assert "smaller model" in caught.value.hint


def test_a_limit_on_address_space_counts_every_mapped_page():
    assert planned(64 * GIB, address_space=9 * GIB).most < planned(64 * GIB).most
    with pytest.raises(TierUnavailable, match="address space"):
        planned(64 * GIB, address_space=5 * GIB)


def test_a_context_that_somebody_asked_for_is_neither_passed_nor_lowered():
    found = planned(64 * GIB, context=6000)
    assert found.cells == found.most == 6144
    room = found.room(100, 50_000, held=found.cells, free=lambda: FreeMemory(64 * GIB))
    assert (room.cells, room.limit) == (6144, 6144 - 100)


def test_a_call_gets_the_smallest_step_that_holds_it_and_no_more_than_was_trained():
    found = planned(64 * GIB)

    def cells(prompt, max_tokens):
        return found.room(prompt, max_tokens, held=CONTEXT, free=lambda: FreeMemory(64 * GIB)).cells

    assert cells(100, 50) == 4096
    assert cells(4000, 96) == 4096
    assert cells(4000, 97) == 8192
    assert cells(3500, None) == 8192
    assert cells(20_000, 20_000) == 65_536
    assert cells(131_000, 5000) == 131_072
    assert found.room(131_072, 1, held=CONTEXT, free=lambda: FreeMemory(64 * GIB)) is None


def test_a_context_does_not_grow_into_memory_that_has_gone_meanwhile():
    found = planned(64 * GIB)
    room = found.room(3000, 6000, held=CONTEXT, free=lambda: FreeMemory(100 * MIB))
    assert (room.cells, room.limit) == (CONTEXT, CONTEXT - 3000)
    assert found.room(5000, 100, held=CONTEXT, free=lambda: FreeMemory(100 * MIB)) is None


def test_memory_is_not_asked_for_where_nothing_has_to_grow():
    assert planned(64 * GIB).room(10, 10, held=CONTEXT, free=lambda: pytest.fail("asked")).limit == 10


def test_a_model_trained_for_little_is_given_no_more():
    short = replace(BIG, context_length=512)
    found = planned(64 * GIB, header=short)
    assert (found.cells, found.most, found.context) == (512, 512, 512)


REPORT = """
import ctypes, re, sys
from rung.tiers.llama.binding import llama
from rung.tiers.llama.worker.device_survey import DeviceSurvey
lines = []
hear = llama.llama_log_callback(lambda level, text, _: lines.append(text.decode("utf-8", "replace")))
llama.llama_log_set(hear, ctypes.c_void_p(0))
llama.llama_backend_init()
params = llama.llama_model_default_params()
params.no_alloc, params.load_mode = True, 0  # llama.cpp adds up and takes nothing
model = llama.llama_model_load_from_file(sys.argv[1].encode(), params)
words = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
for cells, slots, outputs, batch, surveyed in eval(sys.argv[2]):
    lines.clear()
    params = llama.llama_context_default_params()
    params.n_ctx, params.n_seq_max, params.n_batch, params.n_ubatch = cells, slots, batch, batch
    params.kv_unified, params.n_outputs_max = True, max(outputs, slots)
    survey = DeviceSurvey(words, view=None)
    if surveyed:
        survey.attach(params, slots)
    context = llama.llama_init_from_model(model, params)
    said = "".join(lines)
    kv = re.search(r"llama_kv_cache: size = +([\\d.]+) MiB", said)[1]
    print(int(survey.attached), kv, *re.findall(r"(?:output|compute) buffer size = +([\\d.]+) MiB", said))
    llama.llama_free(context)
    survey.release(params)
"""
SHAPES = [(256, 1), (4096, 4), (4096, 8), (8192, 16), (32768, 8), (131072, 8)]


@pytest.mark.cpu
@pytest.mark.weights
@pytest.mark.parametrize(("batch", "profile"), [(BATCH, CPU), (BATCH, GPU), (GPU_BATCH, GPU)])
@pytest.mark.parametrize("name", ["smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"])
def test_the_sums_are_those_of_llama_cpp(weights, name, batch, profile):
    """Keys and values exactly. Buffers as they can become: llama.cpp makes room for as many logits as there are
    sequences, and for drafted tokens when they come. As on a GPU, rows are surveyed, and more earlier answers stay."""
    path = weights(name)
    surveyed = profile == GPU
    shapes = [(cells, slots) for cells, slots in SHAPES if cells >= batch]
    command = [
        sys.executable,
        "-c",
        REPORT,
        str(path),
        repr([(cells, sequences(slots, profile.spare), outputs(slots), batch, surveyed) for cells, slots in shapes]),
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    header = read_header(path)
    for (cells, slots), line in zip(shapes, said.splitlines(), strict=True):
        attached, kv, *buffers = map(float, line.split())
        assert attached == surveyed
        need = Fit(header, slots, batch, surveyed).need(cells)
        assert need.kv / MIB == pytest.approx(kv, rel=0.001)
        assert 0.95 * sum(buffers) <= need.buffers / MIB <= 1.5 * sum(buffers) + 4


@pytest.mark.cpu
@pytest.mark.weights
def test_an_absurd_context_is_refused_with_numbers_and_a_context_that_works(make):
    """16 million tokens would take 368 GiB: no crash, no swapping, and the next call with less is served."""
    with pytest.raises(TierUnavailable) as caught:
        list(make(context=2**24).stream(call()))
    assert "16,777,216 tokens" in caught.value.message
    assert " GB of memory" in caught.value.message
    assert re.search(r"set the tier's context to [\d,]+ or less", caught.value.hint)
    assert text(make(context=1024).stream(call()))


@pytest.mark.cpu
@pytest.mark.weights
@pytest.mark.skipif(sys.platform != "linux", reason="a limit on address space holds on Linux")
def test_a_real_limit_on_a_real_process_is_seen(script):
    """The host, and with it the worker, may map 700 MiB: too little for any context of 8,192, enough for 1,024."""
    host = script(
        """
import resource
resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))
from rung.errors import TierUnavailable
from rung.tiers.llama import LlamaTier
from rung.types import Call, Message
for context in (65536, 512):
    tier = LlamaTier(MODEL, context=context, slots=1, threads=1)
    try:
        list(tier.stream(Call((Message("user", "Hi"),), max_tokens=2)))
        print("served")
    except TierUnavailable as error:
        print(error.message)
    tier.close()
""".replace("SPACE", str(1200 * MIB))
    )
    refused, served = host.communicate(timeout=60)[0].splitlines()
    assert "the limit on address space leaves free" in refused
    assert served == "served"


@pytest.mark.cpu
@pytest.mark.weights
def test_a_call_that_needs_more_context_gets_it_and_the_next_ones_go_on(make, weights):
    import psutil

    tier = make()
    before = text(tier.stream(call()))
    taken = psutil.Process(tier.worker_pid).memory_info().rss
    shape = Shape("choice", {"type": "object"}, choices=("yes", "no"))
    assert text(tier.stream(call(max_tokens=6000, shape=shape))) in ("yes", "no")
    grown = psutil.Process(tier.worker_pid).memory_info().rss - taken
    fit = Fit(read_header(weights("smollm2-135m")), MOST_SLOTS)
    assert grown > 0.8 * (8192 - CONTEXT) * fit.cell
    assert text(tier.stream(call())) == before


@pytest.mark.weights
def test_a_prompt_beyond_what_the_model_was_trained_for_is_too_long(make):
    with pytest.raises(PromptTooLong) as caught:
        list(make().stream(call("the cat sat on the mat. " * 2000)))
    assert caught.value.context == 8192


@pytest.mark.cpu
@pytest.mark.weights
def test_the_worker_takes_no_more_than_was_reckoned(make, weights):
    """At the full context, with a constraint's tables built."""
    import psutil

    tier = make(context=4096)
    tier.warm()
    assert list(tier.stream(call("word " * 300, max_tokens=4)))[-1].usage.input_tokens > 300
    need = Fit(read_header(weights("smollm2-135m")), MOST_SLOTS).need(4096)
    taken = psutil.Process(tier.worker_pid).memory_info().rss
    assert 0.6 * need.resident < taken < need.resident
