"""How many layers go to a GPU, over lists of devices as other machines have them. None of this ran on a GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llama.models import BIG, GIB
from rung.tiers.llama.devices import Device, Offload, devices, gpus, offload, placements, together
from rung.tiers.llama.fit import BATCH, GPU_BATCH, Fit, plan
from rung.tiers.llama.headroom import FreeMemory

CPU = Device("CPU", "AMD EPYC", "cpu", 0, 0)
BLAS = Device("BLAS", "OpenBLAS", "accelerator", 0, 0)
RTX_3060 = Device("CUDA0", "NVIDIA GeForce RTX 3060", "gpu", int(11.5 * GIB), 12 * GIB)
GTX_1650 = Device("CUDA0", "NVIDIA GeForce GTX 1650", "gpu", int(3.6 * GIB), 4 * GIB)
FULL = Device("CUDA0", "NVIDIA GeForce GTX 1650", "gpu", GIB // 8, 4 * GIB)
M2 = Device("MTL0", "Apple M2", "igpu", 10 * GIB, 11 * GIB)
RADEON = Device("Vulkan0", "AMD Radeon 780M Graphics (RADV PHOENIX)", "igpu", 14 * GIB, 16 * GIB)
ARC = Device("Vulkan1", "Intel(R) Arc(tm) A770", "gpu", 15 * GIB, 16 * GIB)

FIT = Fit(BIG, slots=4)
ALL = BIG.layers + 1


@pytest.mark.parametrize("found", [[RTX_3060, CPU], [M2, BLAS, CPU], [RADEON, CPU], [ARC, RADEON, CPU]])
def test_a_model_that_fits_goes_to_the_gpu_whole_and_without_a_word(found):
    placed = offload(FIT, 4096, found, None)
    assert (placed.layers, placed.note) == (ALL, "")
    assert placed.cells >= 4096


def test_a_model_that_fits_in_part_goes_there_in_part_and_that_is_said():
    placed = offload(FIT, 4096, [GTX_1650, CPU], None)
    assert 0 < placed.layers < ALL
    taken = placed.layers * (FIT.need(4096).weights + FIT.need(4096).kv) // ALL + FIT.need(4096).buffers
    assert taken <= GTX_1650.free
    assert "GTX 1650" in placed.note


def test_a_gpu_without_room_for_a_layer_leaves_all_to_the_cpu_and_that_is_said():
    placed = offload(FIT, 4096, [FULL, CPU], None)
    assert placed.layers == 0
    assert "the CPU computes" in placed.note
    assert "134 MB free" in placed.note


def test_several_gpus_share_a_model():
    one = offload(FIT, 4096, [GTX_1650, CPU], None).layers
    assert one < offload(FIT, 4096, [GTX_1650, GTX_1650, CPU], None).layers


def test_only_what_goes_to_memory_of_a_gpus_own_is_claimed_there():
    whole = FIT.need(4096)
    on_the_card = offload(FIT, 4096, [RTX_3060, CPU], None).takes["CUDA0"]
    assert whole.weights + whole.kv <= on_the_card <= whole.weights + whole.kv + whole.buffers
    assert offload(FIT, 4096, [M2, CPU], None).takes == {}
    assert offload(FIT, 4096, [FULL, CPU], None).takes == {}


def test_a_gpu_that_shares_the_machines_memory_is_used_only_where_there_is_no_other():
    assert gpus([CPU, RADEON, ARC]) == (ARC,)
    assert gpus([CPU, RADEON, M2]) == (RADEON,)


def test_steps_are_larger_where_a_gpu_of_its_own_has_all_of_a_model_and_no_context_is_lost():
    chosen = plan(BIG, context=4096, slots=4, memory=FreeMemory(64 * GIB))
    (larger, there), (plain, here) = placements(chosen, [RTX_3060, CPU], None)
    assert (larger.fit.batch, plain.fit.batch) == (GPU_BATCH, BATCH)
    assert (larger.fit.surveyed, plain.fit.surveyed) == (True, False)
    assert there.whole
    assert there.takes["CUDA0"] > here.takes["CUDA0"]
    assert replace(larger, fit=plain.fit) == plain


@pytest.mark.parametrize("found", [[M2, CPU], [RADEON, CPU], [GTX_1650, CPU], [CPU]])
def test_elsewhere_steps_stay_as_they_are(found):
    chosen = plan(BIG, context=4096, slots=4, memory=FreeMemory(64 * GIB))
    ((plain, where),) = placements(chosen, found, None)
    assert plain.fit.batch == BATCH
    assert where == offload(chosen.fit, chosen.cells, found, None)


@pytest.mark.parametrize("context", ["as large as it gets", "all that there is room for"])
def test_a_card_that_the_context_fills_keeps_small_steps(context):
    """With larger steps 51,000 tokens of context would be 48,900."""
    room = offload(FIT, 4096, [RTX_3060], None).cells
    wanted = None if context == "as large as it gets" else room
    chosen = plan(BIG, context=wanted, slots=4, memory=together(FreeMemory(64 * GIB), [RTX_3060]))
    ((plain, where),) = placements(chosen, [RTX_3060], None)
    assert where.whole
    assert plain.fit.batch == BATCH
    assert plain.most == room


def test_a_context_grows_no_further_than_there_is_room_where_the_layers_are():
    chosen = plan(BIG, context=None, slots=4, memory=together(FreeMemory(64 * GIB), [RTX_3060]))
    assert placements(chosen, [RTX_3060, CPU], None)[-1][0].together == offload(FIT, 4096, [RTX_3060], None).cells
    assert placements(chosen, [CPU], None)[-1][0] == chosen


def test_without_a_gpu_the_cpu_computes_and_nothing_is_said():
    assert offload(FIT, 4096, [CPU, BLAS], None) == Offload()
    assert offload(FIT, 4096, [], 0) == Offload()


def test_layers_that_somebody_asked_for_are_given_or_their_absence_is_said():
    assert offload(FIT, 4096, [RTX_3060, CPU], 0) == Offload()
    assert offload(FIT, 4096, [RTX_3060, CPU], 5).layers == 5
    assert "no GPU" in offload(FIT, 4096, [CPU], 5).note


def test_only_a_gpu_with_memory_of_its_own_adds_to_the_machines():
    here = FreeMemory(8 * GIB)
    assert together(here, [CPU, RADEON]) == together(here, [CPU, M2]) == here
    assert together(here, [CPU, RTX_3060]).available == 8 * GIB + RTX_3060.free


@pytest.mark.weights
def test_the_library_of_this_machine_can_be_asked():
    found = devices()
    assert any(d.kind == "cpu" and d.description for d in found)
