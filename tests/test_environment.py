"""How the scripts build llama.cpp."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a compiler that is a shell script")


@pytest.fixture
def environment(tmp_path):
    path = Path(__file__).parents[1] / "scripts" / "environment.py"
    spec = importlib.util.spec_from_file_location("environment_of_scripts", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.CPUINFO = tmp_path / "cpuinfo"
    return module


@pytest.mark.parametrize(
    ("flags", "version", "options"),
    [
        ("avx2 amx_tile amx_int8", "12.2.0", True),
        ("avx2 amx_tile amx_int8", "14.1.0", False),
        ("avx2 amx_tile amx_int8", "", False),
        ("avx2", "12.2.0", False),
    ],
)
def test_only_an_older_gcc_on_a_processor_with_tiles_is_given_options_that_keep_its_stores(
    environment, tmp_path, monkeypatch, flags, version, options
):
    environment.CPUINFO.write_text(f"flags\t\t: fpu {flags}\n")
    compiler = tmp_path / "c++"
    compiler.write_text(f"#!/bin/sh\necho {version}\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", f"{compiler} -pipe")
    monkeypatch.setenv("CXXFLAGS", "-g")
    wanted = f"-g {environment.KEEPS_STORES}" if options else "-g"
    assert environment.built()["CXXFLAGS"] == wanted


def test_a_system_that_does_not_tell_its_flags_is_given_none(environment, monkeypatch):
    monkeypatch.delenv("CXXFLAGS", raising=False)
    assert "CXXFLAGS" not in environment.built()
