"""`rung doctor`: says what a machine can run, what is in the way, and what mends it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rung.cli.checkup import graphics, openmp, processor
from rung.tiers.llama.build import Build
from rung.tiers.llama.devices import Device, present

CPU = Device("CPU", "AMD EPYC", "cpu", 1, 1)
CUDA = Device("CUDA0", "NVIDIA GeForce RTX 3060", "gpu", 11 << 30, 12 << 30)


def built(*devices: Device, features=("AVX2", "FMA", "F16C")) -> Build:
    return Build("0.3.36", None, tuple(features), devices)


@pytest.fixture
def models(weights):
    """The folder of models of whoever runs the tests."""
    weights("smollm2-135m")
    return os.environ.get("RUNG_MODELS_DIR") or pytest.skip("needs RUNG_MODELS_DIR")


def found(done) -> dict:
    return json.loads(done.stdout)


def test_without_a_model_no_local_tier_can_run_and_the_command_that_helps_is_named(program):
    done = program("doctor", "--json")
    assert done.returncode == 4
    problem = next(f for f in found(done)["findings"] if f["topic"] == "models")
    assert problem["level"] == "problem"
    assert "rung models" in problem["mend"]


@pytest.mark.weights
def test_a_machine_with_models_is_well_and_says_what_fits(program, models):
    done = program("doctor", "--json", RUNG_MODELS_DIR=models)
    assert done.returncode == 0, done.stdout
    assert found(done)["status"] == "ok"
    small = next(m for m in found(done)["models"] if m["name"] == "smollm2-135m")
    assert small["tier"]
    assert 512 <= small["context"] <= 8192
    assert small["slots"] >= 1
    shown = program("doctor", RUNG_MODELS_DIR=models).stdout.decode()
    assert "tier smollm2-135m" in shown
    assert "llama-cpp-python" in shown


@pytest.mark.weights
def test_a_context_that_does_not_fit_is_told_with_the_one_that_would(program, models):
    config = program.config('[[tier]]\nname = "a"\nkind = "llama"\nmodel = "smollm2-135m"\ncontext = 16777216\n')
    done = program("doctor", "--json", "--config", config, RUNG_MODELS_DIR=models)
    assert done.returncode == 4
    tier = next(m for m in found(done)["models"] if m["name"] == "a")
    assert "16,777,216" in tier["reason"]
    assert "set the tier's context to" in tier["mend"]


@pytest.mark.weights
def test_a_configuration_that_is_wrong_is_a_problem_though_a_model_is_there(program, models):
    config = program.config('[[tier]]\nname = "a"\nkind = "llama"\nmodel = "smollm2-135m"\ncontxt = 1\n')
    done = program("doctor", "--json", "--config", config, RUNG_MODELS_DIR=models)
    assert done.returncode == 1
    problem = next(f for f in found(done)["findings"] if f["level"] == "problem")
    assert problem["topic"] == "config"
    assert "did you mean 'context'" in problem["mend"]


def test_a_project_file_that_is_not_trusted_is_told(program):
    (program.work / "rung.toml").write_text('reach = "internet"\n')
    findings = found(program("doctor", "--json"))["findings"]
    assert any("rung config trust" in f["mend"] for f in findings)


@pytest.mark.skipif(os.name == "nt", reason="/bin/false")
def test_a_library_that_can_not_be_loaded_is_told_and_the_doctor_lives(program):
    done = program("doctor", "--json", RUNG_WORKER_PYTHON="/bin/false")
    assert done.returncode == 4
    problem = next(f for f in found(done)["findings"] if f["topic"] == "llama.cpp")
    assert "can't be used" in problem["text"]
    assert problem["mend"]


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_a_gpu_that_the_build_can_not_use_is_named_with_the_remedy(program, tmp_path):
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    path = f"{tool.parent}{os.pathsep}{program.env['PATH']}"
    note = next(f for f in found(program("doctor", "--json", PATH=path))["findings"] if f["topic"] == "GPU")
    assert "NVIDIA" in note["text"]
    assert "GGML_CUDA=on" in note["mend"]


def test_a_gpu_that_the_build_uses_is_shown_and_needs_no_remedy():
    makers = present(root=Path("/nowhere"), system="darwin", machine="arm64", path="")
    metal = Device("MTL0", "Apple M2", "igpu", 10 << 30, 11 << 30)
    assert [(f.level, f.mend) for f in graphics(built(metal, CPU), makers)] == [("ok", "")]
    (note,) = graphics(built(CPU), makers)
    assert (note.level, "GGML_METAL" in note.mend) == ("note", True)


@pytest.mark.parametrize(("file", "build"), [("nvidia0", "CUDA"), ("kfd", "HIP"), ("dri/renderD128", "VULKAN")])
def test_gpus_are_known_by_their_device_files(tmp_path, file, build):
    path = tmp_path / "dev" / file
    path.parent.mkdir(parents=True)
    path.touch()
    (maker,) = present(root=tmp_path, system="linux", path="")
    assert build in maker.build


def test_a_machine_without_a_gpu_has_none(tmp_path):
    assert present(root=tmp_path, system="linux", path="") == ()
    assert list(graphics(built(CPU), ())) == []


def test_vector_units_that_lie_idle_are_told():
    (note,) = processor(built(CPU, features=("SSE3",)), frozenset({"avx2", "fma"}))
    assert "AVX2, FMA" in note.text
    assert list(processor(built(CPU), frozenset({"avx2", "fma", "f16c"}))) == []


def test_settings_of_openmp_that_cost_speed_are_told():
    assert [f.level for f in openmp({"OMP_PROC_BIND": "false", "HOME": "/"})] == ["ok", "note"]
    assert [f.level for f in openmp({"OMP_WAIT_POLICY": "PASSIVE"})] == ["ok", "note"]
    assert list(openmp({"HOME": "/"})) == []
