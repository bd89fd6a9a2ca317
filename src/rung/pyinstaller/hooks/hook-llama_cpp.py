"""PyInstaller: llama.cpp's own libraries, which llama-cpp-python opens by their path beside its code."""

import re
from importlib.util import find_spec
from pathlib import Path

_package = Path(find_spec("llama_cpp").origin).parent
_library = re.compile(r".*\.(dll|dylib|so(\.\d+)?)")

# `libllama.so.0` is what the loader looks for. `libllama.so.0.5.0` is the same once more, and nobody does.
binaries = [
    (str(file), f"llama_cpp/{folder}")
    for folder in ("lib", "bin")
    for file in sorted((_package / folder).glob("*"))
    if _library.fullmatch(file.name)
]

# The bundled server and the parts that only the high-level interface loads.
excludedimports = ["fastapi", "starlette", "uvicorn", "sse_starlette", "huggingface_hub", "transformers", "PIL"]
