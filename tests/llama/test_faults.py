"""What can be wrong with a file, a setting or a worker's interpreter is told in words, and harms nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.each import each
from helpers.ids import shown
from llama.conftest import call, text
from rung.errors import ConfigError, TierCrashed, TierUnavailable
from rung.limits import Cancel
from rung.machine.trial import tried
from rung.tiers.llama import LlamaTier, frames, from_config
from rung.tiers.llama.host import process
from rung.tiers.llama.threads import free_cores


@pytest.fixture
def broken(tmp_path):
    """Makes a tier of a file with these bytes."""
    tiers = []

    def new(data: bytes, **settings) -> LlamaTier:
        path = tmp_path / "broken.gguf"
        path.write_bytes(data)
        tiers.append(LlamaTier(path, **settings))
        return tiers[-1]

    yield new
    for tier in tiers:
        tier.close()


def refusal(tier: LlamaTier) -> TierUnavailable:
    with pytest.raises(TierUnavailable) as caught:
        list(tier.stream(call()))
    return caught.value


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GGUF",
        b"not a model at all" * 100,
        b"GGUF\3\0\0\0" + b"\xff" * 64,
    ],
    ids=shown,
)
def test_a_file_that_is_no_model_is_named_with_the_cause(broken, data):
    error = refusal(broken(data))
    assert "broken.gguf" in error.message
    assert "can't be loaded: " in error.message
    assert "get the file again" in error.hint


@pytest.mark.weights
@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_truncated_model_is_refused_before_it_is_used(broken, weights, share):
    data = weights("smollm2-135m").read_bytes()
    error = refusal(broken(data[: int(len(data) * share)]))
    assert "broken.gguf" in error.message


@pytest.mark.weights
@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a mapped file from being cut")
def test_a_model_that_is_truncated_while_it_is_used_crashes_only_the_worker(tmp_path, weights):
    path = tmp_path / "cut.gguf"
    path.write_bytes(weights("smollm2-135m").read_bytes())
    tier = LlamaTier(path)
    try:
        tier.warm()
        os.truncate(path, 1_000_000)
        with pytest.raises(TierCrashed, match=r"SIGBUS|SIGSEGV"):
            list(tier.stream(call()))
        assert "cut.gguf" in refusal(tier).message
    finally:
        tier.close()


@pytest.fixture
def breaking(tmp_path, weights):
    """Makes tiers on a llama.cpp that dies of `signal` at its first step: where weights are laid out anew, or always.

    It stands for builds whose kernels for one kind of processor crash. Nobody can have that processor everywhere.
    """
    tiers = []

    def new(signal: str, when: str) -> LlamaTier:
        worker = tmp_path / "python"
        worker.write_text(
            f"#!{sys.executable}\n"
            "import os, signal, sys\n"
            "sys.argv = [sys.argv[0], *sys.argv[4:]]\n"
            "from rung.tiers.llama.worker import native\n"
            "from rung.tiers.llama import worker\n"
            "class Model(native.Model):\n"
            "    def __init__(self, *args, repack, **settings):\n"
            f"        if {when}:\n"
            "            with open(os.path.join(os.path.dirname(__file__), 'crashes'), 'a') as crashes:\n"
            "                crashes.write('x')\n"
            f"            os.kill(os.getpid(), signal.{signal})\n"
            "        super().__init__(*args, repack=repack, **settings)\n"
            "native.Model = Model\n"
            "worker.main()\n"
        )
        worker.chmod(0o755)
        tiers.append(LlamaTier(weights("smollm2-135m"), name="small", python=str(worker)))
        return tiers[-1]

    yield new
    for tier in tiers:
        tier.close()


@pytest.mark.weights
@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("signal", ["SIGSEGV", "SIGILL", "SIGABRT"])
def test_a_build_that_crashes_on_this_processor_answers_without_what_crashes_and_says_so(breaking, small, signal):
    tier = breaking(signal, "repack")
    deltas = list(tier.stream(call()))
    assert text(deltas)
    assert any("llama.cpp crashed" in note and "install.md" in note for note in deltas[-1].notes)
    assert not any("llama.cpp crashed" in note for note in list(small.stream(call()))[-1].notes)
    trial = tried(tier, "smollm2-135m", loads=True, report=lambda text: None, cancel=Cancel())
    assert trial.answered
    assert any("llama.cpp crashed" in note for note in trial.notes), "what `rung doctor` tells"


@pytest.mark.weights
@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(("signal", "starts"), [("SIGSEGV", 2), ("SIGABRT", 2), ("SIGKILL", 1)])
def test_a_worker_that_crashes_all_the_same_is_started_no_third_time(breaking, tmp_path, signal, starts):
    tier = breaking(signal, "True")
    with pytest.raises(TierCrashed, match=f"{signal} while it loaded"):
        list(tier.stream(call()))
    assert (tmp_path / "crashes").read_text() == "x" * starts


def test_a_missing_file_is_unavailable_and_costs_nothing_before_the_first_call():
    tier = LlamaTier(Path("/nowhere/model.gguf"))
    error = refusal(tier)
    assert "/nowhere/model.gguf" in error.message
    tier.close()


@pytest.mark.weights
def test_a_mended_file_works_at_the_next_call(tmp_path, weights):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    tier = LlamaTier(path)
    try:
        refusal(tier)
        path.unlink()
        path.symlink_to(weights("smollm2-135m"))
        assert text(tier.stream(call()))
    finally:
        tier.close()


@pytest.mark.weights
def test_a_chat_template_that_can_not_be_used_is_told(make, tmp_path):
    assert "not valid Jinja" in refusal(make(chat_template="{% for %}")).message
    assert "can't be read" in refusal(make(chat_template=str(tmp_path / "none.jinja"))).message


@pytest.mark.weights
def test_memory_that_is_not_there_is_told(make):
    tier = make(context=2**24, slots=64)
    with pytest.raises((TierUnavailable, TierCrashed)):
        list(tier.stream(call(max_tokens=1)))


@pytest.mark.parametrize("python", ["/nowhere/python", "/bin/false"])
@pytest.mark.skipif(os.name == "nt", reason="/bin/false")
def test_a_worker_that_can_not_be_started_is_told_with_the_setting(tmp_path, python):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF")
    tier = LlamaTier(path, python=python)
    assert process.PYTHON in refusal(tier).hint
    tier.close()


def test_a_worker_of_another_version_is_told(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    hello = frames.encode(frames.Hello(frames.PROTOCOL + 1, 1))
    other = tmp_path / "python"
    other.write_text(
        f"#!{sys.executable}\nimport sys\nsys.stdout.buffer.write({hello!r})\nsys.stdout.flush()\nsys.stdin.read()\n"
    )
    other.chmod(0o755)
    tier = LlamaTier(tmp_path / "m.gguf", python=str(other))
    assert f"protocol {frames.PROTOCOL + 1}" in refusal(tier).message
    tier.close()


@pytest.mark.slow
def test_a_worker_that_talks_nonsense_is_cut_off(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho this is no frame, and rather long\nsleep 60\n")
    other.chmod(0o755)
    tier = LlamaTier(tmp_path / "m.gguf", python=str(other))
    with pytest.raises(TierCrashed, match="a frame of"):
        list(tier.stream(call()))
    tier.close()


@pytest.mark.weights
def test_a_module_in_the_working_directory_is_not_taken_for_the_real_one(script, tmp_path, monkeypatch, weights):
    (tmp_path / "json.py").write_text("raise SystemExit('wrong json')")
    (tmp_path / "jinja2.py").write_text("raise SystemExit('wrong jinja2')")
    monkeypatch.chdir(tmp_path)
    tier = LlamaTier(weights("smollm2-135m"))
    try:
        assert text(tier.stream(call()))
    finally:
        tier.close()


@pytest.mark.weights
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_leaves_no_core_dump(small):
    import resource

    small.warm()
    assert resource.prlimit(small.worker_pid, resource.RLIMIT_CORE) == (0, 0)


@pytest.mark.weights
def test_what_native_code_prints_does_not_reach_the_frames(small):
    """Standard output of the worker is its standard error; the frames have a pipe that no library knows of."""
    small.warm()
    fds = Path(f"/proc/{small.worker_pid}/fd")
    if not fds.exists():
        pytest.skip("reads /proc")
    assert (fds / "1").readlink() == (fds / "2").readlink()
    assert (fds / "0").readlink() == Path(os.devnull)


def test_a_name_for_a_tier_is_that_of_its_model():
    names = {LlamaTier(m).name for m in ("a/b/small.gguf", "C:\\m\\small.gguf", "hf:o/r/small.gguf@main", "small")}
    assert names == {"small"}


@each("setting", [{"context": 0}, {"threads": 0}, {"slots": 0}, {"slots": 1000}, {"top_p": 2.0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ConfigError):
        LlamaTier("x", **setting)


def test_a_table_of_settings_makes_a_tier_and_a_misspelt_key_names_the_right_one():
    tier = from_config("small", {"model": "smollm2-135m", "context": 2048, "min_p": 0.1})
    assert tier.name == "small"
    with pytest.raises(ConfigError, match="did you mean 'context'"):
        from_config("small", {"model": "x", "contxt": 1})
    with pytest.raises(ConfigError, match="model"):
        from_config("small", {})
    with pytest.raises(ConfigError, match="python"):
        from_config("small", {"model": "x", "python": "/tmp/evil"})


def test_the_local_tier_is_importable_without_its_native_libraries():
    code = (
        "import sys; import rung.tiers.llama; "
        "print([m for m in ('llama_cpp', 'numpy', 'llguidance', 'jinja2', 'psutil') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.weights
@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.skipif(free_cores() < 2, reason="needs two cores")
def test_by_default_every_free_core_decodes(make, monkeypatch):
    """Loading llama.cpp ties the loading thread to one core: counted after that there is always just one."""
    monkeypatch.setenv("OMP_PROC_BIND", "true")
    tier = make(gpu_layers=0)
    assert text(tier.stream(call()))
    tasks = Path(f"/proc/{tier.worker_pid}/task").iterdir()
    homes = [os.sched_getaffinity(int(task.name)) for task in tasks]
    assert len(set().union(*(home for home in homes if len(home) == 1))) >= free_cores()
