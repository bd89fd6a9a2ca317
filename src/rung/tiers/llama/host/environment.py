"""The environment variables of a worker: those that it needs, and nobody's keys."""

from __future__ import annotations

import os
import re
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from rung import frozen

_NEEDED = """
PATH HOME USER LOGNAME PWD TMPDIR TEMP TMP
XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR XDG_STATE_HOME
VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV NIX_LD NIX_LD_LIBRARY_PATH
LANG LANGUAGE TZ TZDIR
OPENBLAS_NUM_THREADS BLIS_NUM_THREADS VECLIB_MAXIMUM_THREADS GPU_DEVICE_ORDINAL
NVIDIA_VISIBLE_DEVICES NVIDIA_DRIVER_CAPABILITIES NVIDIA_TF32_OVERRIDE
SYSTEMROOT WINDIR SYSTEMDRIVE COMSPEC PATHEXT OS USERPROFILE HOMEDRIVE HOMEPATH APPDATA LOCALAPPDATA PROGRAMDATA
ALLUSERSPROFILE PROGRAMFILES PROGRAMFILES(X86) PROGRAMW6432 COMMONPROGRAMFILES
NUMBER_OF_PROCESSORS PROCESSOR_ARCHITECTURE PROCESSOR_IDENTIFIER
RUNG_OFFLINE HF_HUB_OFFLINE
"""
"""Folders, language and time, libraries that compute, what Windows needs to start a program, and the switches that keep
the network off."""

_NAMES = frozenset(_NEEDED.split())

_PREFIXES = (
    *("PYTHON", "LC_", "LD_", "DYLD_", "GLIBC_", "MALLOC_"),
    *("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_"),
    *("GGML_", "LLAMA_", "CUDA_", "CUBLAS_", "ROCR_", "ROCM_", "ROCBLAS_", "HIP_", "HSA_", "AMD_", "VK_", "MESA_"),
    *("ZE_", "ZES_", "UR_", "ONEAPI_", "SYCL_", "MTL_", "METAL_"),
)
"""Python and the loader, then the libraries that llama.cpp computes with."""

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH|PRIVATE|COOKIE", re.IGNORECASE)
"""Names of variables that hold a secret, whatever they begin with. No name in the lists contains `KEY`."""


def environment() -> dict[str, str]:
    """The environment variables of a worker."""
    variables = {
        # Unbound OpenMP threads can end up spinning on one core, 25 times slower.
        "OMP_PROC_BIND": "true",
        # Where a core has two hardware threads, two of ours would otherwise share one.
        "OMP_PLACES": "cores",
        # A crash must not start a debugger.
        "GGML_NO_BACKTRACE": "1",
        **allowed(os.environ),
        **frozen.shared(),
    }
    root = str(Path(__file__).parents[4])
    if not frozen.is_frozen() and root not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, (variables.get("PYTHONPATH"), root)))
    return variables


def allowed(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that a worker may have.

    Args:
        variables: the host's variables.
    """
    return {name: value for name, value in variables.items() if _allowed(name.upper())}


def _allowed(name: str) -> bool:
    return name in _NAMES or (name.startswith(_PREFIXES) and not _SECRET.search(name))
