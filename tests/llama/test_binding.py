"""Where llama.cpp's libraries are: in the package, or beside it, one for each kind of processor."""

from __future__ import annotations

import ctypes
import shutil
import sys

import pytest

binding = pytest.importorskip("rung.tiers.llama.binding")


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Makes a package that was built with these libraries beside it."""

    def make(*names):
        package = tmp_path / "llama_cpp"
        (package / "lib").mkdir(parents=True)
        (tmp_path / "bin").mkdir()
        for name in names:
            (tmp_path / "bin" / name).write_bytes(b"")
        monkeypatch.setattr(binding.llama, "__file__", str(package / "llama_cpp.py"))
        return tmp_path

    return make


def test_libraries_for_each_kind_of_processor_are_found_where_the_build_puts_them(built):
    where = built("libggml-cpu-haswell.so", "libggml-cpu-x64.so")
    assert binding.folders() == [where / "llama_cpp" / "lib", where / "bin"]


def test_programs_that_other_packages_install_there_are_nothing_to_look_into(built):
    where = built("some-program", "libsomething.so")
    assert binding.folders() == [where / "llama_cpp" / "lib"]


@pytest.mark.skipif(sys.platform != "linux", reason="libraries have other names")
def test_only_the_library_that_was_chosen_is_taken_for_the_one_that_computes(built):
    """Loading another processor's library could crash, and a file that isn't one can't be loaded at all."""
    some = next(binding.folders()[0].glob("libggml-base*"))
    where = built("libggml-cpu-nonsense.so") / "bin"
    for kind in ("alderlake", "zen4"):
        shutil.copy(some, where / f"libggml-cpu-{kind}.so")
    assert binding.processor() is binding.llama._lib
    chosen = ctypes.CDLL(str(where / "libggml-cpu-zen4.so"))
    assert binding.processor()._handle == chosen._handle
