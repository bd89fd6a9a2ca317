"""`rung doctor`: says what a machine can run, what is in the way, and what mends it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

import rung
from rung.config import Places, farthest, load
from rung.machine.hardware import graphics, openmp, processor
from rung.machine.leaving import guarded, leaving, limits
from rung.tiers.llama.devices import Device, present
from rung.tiers.llama.host.build import Build

SMALL = '[[tier]]\nname = "a"\nkind = "llama"\nmodel = "smollm2-135m"\n'
CLOUD = '[[tier]]\nname = "c"\nkind = "openai"\nmodel = "m"\napi_key = { env = "SOME_KEY" }\n'
ENDPOINT = '[[tier]]\nname = "c"\nkind = "openai"\nmodel = "m"\nbase_url = "http://127.0.0.1:4000/v1"\n'
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


@pytest.mark.slow
def test_without_a_model_no_local_tier_can_run_and_the_command_that_helps_is_named(program):
    done = program("doctor", "--json")
    assert done.returncode == 4
    problem = next(f for f in found(done)["findings"] if f["topic"] == "models")
    assert problem["level"] == "problem"
    assert "rung models" in problem["hint"]


@pytest.mark.weights
def test_a_machine_with_models_is_well_and_says_what_fits(program, models):
    done = program("doctor", "--json", "--quick", RUNG_MODELS_DIR=models)
    assert done.returncode == 0, done.stdout
    assert (found(done)["status"], found(done)["tiers"]) == ("ok", [])
    small = next(m for m in found(done)["models"] if m["name"] == "smollm2-135m")
    assert small["tier"]
    assert 512 <= small["context"] <= 8192
    assert small["slots"] >= 1
    shown = program("doctor", "--quick", RUNG_MODELS_DIR=models).stdout.decode()
    assert "tier smollm2-135m" in shown
    assert "llama-cpp-python" in shown


@pytest.mark.weights
def test_a_context_that_does_not_fit_is_told_with_the_one_that_would(program, models):
    config = program.config('[[tier]]\nname = "a"\nkind = "llama"\nmodel = "smollm2-135m"\ncontext = 16777216\n')
    done = program("doctor", "--json", "--config", config, RUNG_MODELS_DIR=models)
    assert done.returncode == 4
    tier = next(m for m in found(done)["models"] if m["name"] == "a")
    assert "16,777,216" in tier["reason"]
    assert "set the tier's context to" in tier["hint"]
    (trial,) = found(done)["tiers"]
    assert (trial["pinned"], trial["load_seconds"], trial["problem"]) == (True, None, tier["reason"])


@pytest.mark.weights
def test_a_configuration_that_is_wrong_is_a_problem_though_a_model_is_there(program, models):
    config = program.config('[[tier]]\nname = "a"\nkind = "llama"\nmodel = "smollm2-135m"\ncontxt = 1\n')
    done = program("doctor", "--json", "--config", config, RUNG_MODELS_DIR=models)
    assert done.returncode == 1
    problem = next(f for f in found(done)["findings"] if f["level"] == "problem")
    assert problem["topic"] == "config"
    assert "did you mean 'context'" in problem["hint"]


@pytest.mark.slow
def test_a_project_file_that_is_not_trusted_is_told(program):
    (program.work / "rung.toml").write_text('reach = "internet"\n')
    for arguments, code in ((["--json"], 4), (["--offline", "--json"], 1)):
        done = program("doctor", *arguments)
        assert done.returncode == code
        assert any("rung config trust" in f["hint"] for f in found(done)["findings"])


@pytest.mark.weights
def test_each_local_tier_is_hashed_loaded_and_asked_for_a_token(program, models):
    done = program("doctor", "--json", "--config", program.config(SMALL), RUNG_MODELS_DIR=models)
    assert done.returncode == 0, done.stdout
    record = found(done)
    (trial,) = record["tiers"]
    path = Path(trial["path"])
    assert trial["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (trial["status"], trial["tier"], trial["pinned"], trial["bytes"]) == ("ok", "a", True, path.stat().st_size)
    assert all(trial[step] > 0 for step in ("hash_seconds", "load_seconds", "token_seconds"))
    assert record["versions"]["llama-cpp-python"]
    assert record["versions"]["rung"] == rung.__version__
    assert "llama.cpp" in record["versions"]


@pytest.mark.weights
def test_a_damaged_file_is_told_and_not_loaded(program, weights):
    whole = weights("smollm2-135m")
    damaged = Path(program.env["RUNG_MODELS_DIR"]) / "blobs" / whole.name
    damaged.parent.mkdir(parents=True)
    shutil.copyfile(whole, damaged)
    with damaged.open("r+b") as file:
        file.seek(50_000_000)
        byte = file.read(1)
        file.seek(50_000_000)
        file.write(bytes([byte[0] ^ 1]))
    done = program("doctor", "--json", "--config", program.config(SMALL))
    (trial,) = found(done)["tiers"]
    assert (done.returncode, trial["status"], trial["load_seconds"]) == (4, "problem", None)
    assert "is damaged" in trial["problem"]
    assert "rung models pull smollm2-135m" in trial["hint"]


@pytest.mark.weights
def test_a_file_of_ones_own_is_hashed_and_said_to_be_pinned_by_nobody(program, weights, tmp_path):
    own = tmp_path / "own.gguf"
    own.hardlink_to(weights("smollm2-135m"))
    config = program.config(SMALL.replace("smollm2-135m", str(own)))
    shown = program("doctor", "--config", config)
    assert shown.returncode == 0, shown.stdout
    assert "which nobody pinned" in shown.stdout.decode()
    assert "answered (" in shown.stdout.decode()


# --- what could leave ------------------------------------------------------------------------------------------------


ALWAYS, NEVER = (CLOUD + f'consent = "{word}"\n' for word in ("always", "never"))


@pytest.mark.parametrize(
    ("top", "table", "env", "open_", "why"),
    [
        pytest.param("", "", {}, False, None, id="no tier"),
        pytest.param("", CLOUD, {}, False, "the reach is host", id="default reach"),
        pytest.param('reach = "lan"', CLOUD, {}, False, "the reach is lan", id="nearer reach"),
        pytest.param('reach = "internet"', CLOUD, {}, True, "a person at the terminal is asked", id="asked"),
        pytest.param('reach = "internet"', ALWAYS, {}, True, 'its consent is "always"', id="always"),
        pytest.param('reach = "internet"', NEVER, {}, False, 'its consent is "never"', id="never"),
        pytest.param('reach = "internet"', ALWAYS, {"RUNG_OFFLINE": "1"}, False, "the reach is host", id="offline"),
        pytest.param("", ENDPOINT, {}, True, "nobody here can know", id="loopback"),
        pytest.param("", ENDPOINT + "stays_here = true\n", {}, False, None, id="vouched loopback"),
        pytest.param("", ENDPOINT.replace('"m"', '"m:cloud"'), {}, False, "the reach is host", id="loopback to cloud"),
    ],
)
def test_it_is_told_whether_a_prompt_could_leave_and_by_which_tier(monkeypatch, tmp_path, top, table, env, open_, why):
    for name in ("RUNG_REACH", "RUNG_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "named.toml"
    path.write_text(f"{top}\n{table}")
    left = leaving(path)
    assert left.sealed == (not open_)
    assert [way.tier for way in left.ways] == ([] if why is None else ["c"])
    assert all(why in way.why and way.open == open_ == bool(way.hint) for way in left.ways)


@pytest.mark.parametrize(
    ("text", "code", "verdict"),
    [
        (CLOUD, 0, "nothing could leave this machine"),
        (f'reach = "internet"\n{CLOUD}', 1, "a prompt could leave this machine"),
        (f"{CLOUD}modell = 1\n", 1, "it can't be ruled out that something could leave this machine"),
    ],
    ids=["shut", "open", "a configuration that can't be judged"],
)
def test_the_gate_fails_unless_nothing_could_leave(program, text, code, verdict):
    done = program("doctor", "--offline", "--config", program.config(text))
    assert (done.returncode, done.stdout.decode().splitlines()[-1].strip(" x")) == (code, verdict)


def test_what_would_be_sent_is_told_and_the_key_only_by_its_name(program):
    config = program.config(CLOUD + 'redact = true\nfeedback = "issues+answer"\n')
    record = found(program("doctor", "--offline", "--json", "--config", config, SOME_KEY="sk-CANARY"))
    (way,) = record["outside"]
    assert (way["destination"], way["zone"], way["consent"]) == ("api.openai.com:443", "internet", "ask")
    assert (way["redacted"], way["store"], way["feedback"]) == (True, False, "issues+answer")
    assert (way["key"], way["key_set"]) == ("SOME_KEY", True)
    assert not found(program("doctor", "--offline", "--json", "--config", config))["outside"][0]["key_set"]
    shown = program("doctor", "--offline", "--config", config, SOME_KEY="sk-CANARY")
    assert b"SOME_KEY is set" in shown.stdout
    assert b"CANARY" not in json.dumps(record).encode() + shown.stdout + shown.stderr


@pytest.mark.parametrize(
    ("env", "offline", "reach"),
    [
        ({"RUNG_OFFLINE": "1"}, "RUNG_OFFLINE forbids all network", "no option and no file can widen it"),
        ({}, "RUNG_OFFLINE is not set; `rung models pull` may fetch", "--reach can widen it to internet"),
    ],
)
def test_the_switch_of_the_environment_is_shown_with_what_it_holds(program, env, offline, reach):
    shown = program("doctor", "--offline", **env).stdout.decode()
    assert offline in shown
    assert reach in shown


def test_the_policy_of_the_system_is_shown_and_that_nothing_widens_it(tmp_path):
    policy = tmp_path / "policy.toml"
    policy.write_text('reach = "host"\nhosts = ["b.example", "a.example"]\nkinds = ["llama"]\n')
    places = Places(tmp_path, tmp_path, tmp_path / "user.toml", tmp_path / "trusted.json", policy)
    shown = {f.topic: f.text for f in limits(load(places=places), farthest(places))}
    assert shown["policy"] == f"{policy}: reach host; hosts a.example, b.example; kinds llama"
    assert "no option and no file can widen it" in shown["reach"]
    assert f"may fetch none (policy {policy})" in shown["offline"]


def test_a_guard_that_lets_something_through_is_a_problem(monkeypatch):
    def times_out(*_args):
        raise TimeoutError

    assert guarded().level == "ok"  # the suite's own guard stands
    monkeypatch.setattr("socket.socket.connect", times_out)
    assert (guarded().level, "a connection to 192.0.2.1" in guarded().text) == ("problem", True)
    assert "guard.invalid" not in guarded().text


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="/bin/false")
def test_a_library_that_can_not_be_loaded_is_told_and_the_doctor_lives(program):
    done = program("doctor", "--json", RUNG_WORKER_PYTHON="/bin/false")
    assert done.returncode == 4
    problem = next(f for f in found(done)["findings"] if f["topic"] == "llama.cpp")
    assert "can't be used" in problem["text"]
    assert problem["hint"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_a_gpu_that_the_build_can_not_use_is_named_with_the_remedy(program, tmp_path):
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    path = f"{tool.parent}{os.pathsep}{program.env['PATH']}"
    note = next(f for f in found(program("doctor", "--json", PATH=path))["findings"] if f["topic"] == "GPU")
    assert "NVIDIA" in note["text"]
    assert "GGML_CUDA=on" in note["hint"]


def test_a_gpu_that_the_build_uses_is_shown_and_needs_no_remedy():
    makers = present(root=Path("/nowhere"), system="darwin", machine="arm64", path="")
    metal = Device("MTL0", "Apple M2", "igpu", 10 << 30, 11 << 30)
    assert [(f.level, f.hint) for f in graphics(built(metal, CPU), makers)] == [("ok", "")]
    (note,) = graphics(built(CPU), makers)
    assert (note.level, "GGML_METAL" in note.hint) == ("note", True)


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
