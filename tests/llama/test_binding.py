"""Where llama.cpp's libraries are: in the package, or beside it, one for each kind of processor."""

from __future__ import annotations

import shutil

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


def test_a_library_that_is_not_the_chosen_one_is_not_taken_for_it(built):
    """Loading another processor's library could crash, and a file that isn't one can't be loaded at all."""
    where = built("libggml-cpu-nonsense.so")
    assert binding.processor() is binding.llama._lib
    shutil.copy(shutil.which("true") or __file__, where / "bin" / "libggml-cpu-alderlake.so")
    assert binding.processor() is binding.llama._lib
