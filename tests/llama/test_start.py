"""A worker starts before its host can speak to it, and imports nothing before a load that a load doesn't need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import pytest

from rung.tiers.llama import opening
from rung.tiers.llama.host.head_start import HeadStart


def said(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def those_of(names):
    return f"import sys; print(*(m for m in {names!r} if m in sys.modules))"


@pytest.mark.slow
def test_a_worker_imports_nothing_before_a_load_that_a_load_does_not_need():
    pytest.importorskip("llama_cpp")
    needless = ("numpy", "jinja2", "pydantic", "llguidance", "llama_cpp.llama", "rung.types.call")
    code = "import rung.tiers.llama.worker.start, rung.tiers.llama.worker.placing;" + those_of(needless)
    assert said(code) == []


@pytest.mark.slow
def test_the_functions_of_llama_cpp_come_without_the_rest_of_its_package_which_comes_when_asked_for():
    pytest.importorskip("llama_cpp")
    code = (
        "from rung.tiers.llama import binding; import sys; print('numpy' in sys.modules)\n"
        "from llama_cpp import Llama; import llama_cpp\n"
        "print(Llama.__name__, llama_cpp.__version__ == binding.VERSION, llama_cpp.llama_cpp is binding.llama)"
    )
    assert said(code) == ["False", "Llama", "True", "True"]


@pytest.mark.slow
def test_a_tier_is_made_without_what_only_its_calls_need():
    late = ("rung.tiers.llama.opening", "rung.tiers.llama.host.process", "rung.types", "pydantic", "psutil", "socket")
    late = (*late, "rung.hiding", "rung.types.request", "rung.types.messages")
    assert said("import rung; rung.llama('smollm2-135m', context=512, top_p=0.9);" + those_of(late)) == ["rung.types"]


def test_the_file_that_a_path_names_is_found_without_the_tables_of_catalogues(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    code = f"import rung.store; print(rung.store.resolve({str(path)!r}).size);"
    assert said(code + those_of(("pydantic", "rung.store.entries"))) == ["4"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux binds threads to cores here")
def test_a_thread_keeps_off_the_core_that_the_main_thread_is_bound_to_as_long_as_it_is_told():
    code = """
import os, threading
from rung.tiers.llama.worker.system import apart
os.sched_setaffinity(0, range(os.cpu_count()))  # of the tests' own, llama.cpp may have left one
first, *others = sorted(os.sched_getaffinity(0))
found = []
def look():
    with apart():
        found.append(os.sched_getaffinity(0))
    found.append(os.sched_getaffinity(0))
def run():
    bound.wait()
    look()
bound = threading.Event()
thread = threading.Thread(target=run)
thread.start()
os.sched_setaffinity(0, {first})
bound.set()
thread.join()
print(found == [{*others} or {first}, {first, *others}])
look()
print(found[2:] == [{first}, {first}])
"""
    assert said(code) == ["True", "True"]


@pytest.mark.slow
def test_an_interpreter_that_nobody_has_a_model_for_ends():
    begun = HeadStart("rung-test", None)
    begun.drop()
    begun.thread.join(20)
    assert not begun.thread.is_alive()
    assert not begun.claim()


@pytest.mark.slow
def test_an_interpreter_is_had_once_and_its_thread_does_the_work_of_whoever_has_it():
    begun, taken = HeadStart("rung-test", None), []
    assert begun.claim()
    assert not begun.claim()
    begun.drop()  # of a claimed one, it says nothing

    def work():
        channel = begun.take()
        taken.append(threading.current_thread())
        channel.hang_up()
        with channel.source, channel.errors:
            channel.end(20)

    begun.keep(work)
    begun.thread.join(20)
    assert taken == [begun.thread]


def test_what_can_not_be_started_is_said_to_whoever_takes_it(tmp_path):
    begun, errors = HeadStart("rung-test", str(tmp_path / "no-python")), []
    assert begun.claim()

    def work():
        try:
            begun.take()
        except OSError as error:
            errors.append(error)

    begun.keep(work)
    begun.thread.join(20)
    assert [type(error) for error in errors] == [FileNotFoundError]


WATCHED = """
import ctypes, importlib.abc, os, sys, time

def say(what):
    os.write(2, f"{what}\\n".encode())

class Slow(ctypes.CDLL):
    def __init__(self, name, *more, **options):
        if "ggml" in str(name):
            time.sleep(1)  # as libraries for a GPU take, from a disk
            say("llama.cpp")
        super().__init__(name, *more, **options)

class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            say(name)

ctypes.CDLL = Slow
sys.meta_path.insert(0, Watch())
from rung.tiers.llama.flag import FLAG
sys.argv = ["worker", FLAG, str(os.getppid())]
from rung.tiers.llama.worker.start import main
main()
"""


@pytest.mark.slow
def test_a_worker_loads_llama_cpp_before_numpy_however_long_it_takes():
    """The other way round, a llama.cpp with CUDA crashed at its first model."""
    pytest.importorskip("llama_cpp")
    load = opening.packed(opening.as_json(opening.LoadModel("/nowhere/model.gguf")))
    done = subprocess.run([sys.executable, "-c", WATCHED], input=load, capture_output=True, timeout=60, check=False)
    assert done.stderr.split()[0] == b"llama.cpp"


BEFORE = """
import os, sys, time
from rung.tiers.llama.flag import FLAG
sys.argv = ["worker", FLAG, str(os.getppid())]
from rung.tiers.llama.worker import placing, start
"""
BESIDE = (
    BEFORE
    + """
if sys.platform == "linux":
    os.sched_setaffinity(0, range(os.cpu_count()))  # of the tests' own, llama.cpp may have left one
    first, *others = sorted(os.sched_getaffinity(0))

def place(load, threads, meanwhile):
    time.sleep(1.5)  # in which every import would get its turn
    there = "looks" in sys.modules
    if sys.platform == "linux":
        os.sched_setaffinity(0, {first})
    meanwhile()
    while "looks" not in sys.modules:
        time.sleep(0.01)
    apart = sys.platform != "linux" or sys.modules["looks"].cores == ({*others} or {first})
    os.write(2, f"{there} {apart}\\n".encode())
    os._exit(0)

# an import may get its turn between what says that the model is named and the reading of its name
start._BESIDE = ("dawdles", "rung.tiers.llama.worker.program", "looks")
start._ALONE = 30
placing.place = place
start.main()
"""
)
LONG = (
    BEFORE
    + """
placing.place = lambda *_: time.sleep(60)
start.main()
"""
)


@pytest.fixture
def told():
    """The read end of a pipe in which a worker finds the model to load."""
    source, sink = os.pipe()
    os.write(sink, opening.packed(opening.as_json(opening.LoadModel("model.gguf"))))
    yield source
    os.close(source)
    os.close(sink)


@pytest.mark.slow
def test_what_is_imported_beside_a_load_waits_for_it_and_keeps_off_its_core(told, tmp_path):
    pytest.importorskip("llama_cpp")
    (tmp_path / "dawdles.py").write_text("import time; time.sleep(0.5)")
    (tmp_path / "looks.py").write_text("import os; cores = getattr(os, 'sched_getaffinity', id)(0)")
    variables = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", BESIDE], stdin=told, capture_output=True, env=variables, timeout=60, check=False
    )
    assert done.stderr.split() == [b"False", b"True"]


@pytest.mark.slow
def test_a_worker_that_waits_long_before_it_reads_the_file_is_heard(told):
    pytest.importorskip("llama_cpp")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", LONG], stdin=told, **pipes) as worker:
        frames = [json.loads(opening.receive(worker.stdout))["kind"] for _ in range(3)]
        worker.kill()
    assert frames == ["hello", "beat", "beat"]
