"""A separate program that prints how the llama.cpp libraries in a folder were built. Standard library only."""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Load the libraries of the folder that is named, and print JSON."""
    folder = Path(sys.argv[1])
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    base = ctypes.CDLL(str(folder / f"libggml-base{suffix}"))
    llama = ctypes.CDLL(str(folder / f"libllama{suffix}"))
    llama.llama_print_system_info.restype = ctypes.c_char_p
    words = (part.rpartition(":")[2].partition(" = ") for part in llama.llama_print_system_info().decode().split("|"))
    commit = None
    if hasattr(base, "ggml_commit"):
        base.ggml_commit.restype = ctypes.c_char_p
        commit = base.ggml_commit().decode("utf-8", "replace")
    answer = {"features": [name.strip() for name, _, value in words if value.strip() == "1"], "commit": commit}
    os.write(1, json.dumps(answer).encode())
    # the exit code doesn't depend on the library's own clean-up
    os._exit(0)


if __name__ == "__main__":
    main()
