"""How long a fresh process takes until its model is ready, and until the first answer: rung against `Llama`.

    .venv/bin/python scripts/bench_load.py --rounds 7

Whole processes, imports included, in turn within each round, all with the same file, context and number of threads.
"Ready" is where `Llama(...)` returns, and where `warm()` of our tier does. A first answer has eight tokens, and
comes from a process of its own that never called `warm()`. The files are in the system's cache, and what rung keeps on
disk was written by the round before the first.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from engine_bench.bench import ALL_LAYERS
from engine_bench.files import files_of
from engine_bench.gpu import demand_gpu

_RUNG = """
import sys, time
import rung
tier = rung.llama({path!r}, context={context}, threads={threads}, gpu_layers={gpu_layers})
def first(kind=None, schema=None):
    from rung.types import Call, Message, Shape
    shape = schema and Shape(kind, schema)
    for delta in tier.stream(Call((Message("user", "Name a colour."),), shape=shape, max_tokens=8)):
        pass
"""
_LLAMA = """
import sys, time
from llama_cpp import Llama
size = dict(n_ctx={context}, n_threads={threads}, n_threads_batch={threads}, n_gpu_layers={gpu_layers})
model = Llama({path!r}, **size, verbose=False)
"""
_SCHEMA = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
PROGRAMS = {
    "rung, ready": _RUNG + "tier.warm()\nprint(time.time(), flush=True)\ntier.close()",
    "Llama, ready": _LLAMA + "print(time.time(), flush=True)",
    "rung, first answer": _RUNG + "first()\nprint(time.time(), flush=True)\ntier.close()",
    "Llama, first answer": _LLAMA
    + 'model.create_chat_completion([{{"role": "user", "content": "Name a colour."}}], max_tokens=8, temperature=0)\n'
    + "print(time.time(), flush=True)",
    "rung, first JSON": _RUNG
    + f"first('json', {_SCHEMA!r})\n".replace("{", "{{").replace("}", "}}")
    + "print(time.time(), flush=True)\ntier.close()",
}
PAIRS = (("rung, ready", "Llama, ready"), ("rung, first answer", "Llama, first answer"))


def seconds(program: str, path: Path, context: int, threads: int, gpu_layers: int) -> float:
    """From the start of a process to where it says that it is done."""
    code = program.format(path=str(path), context=context, threads=threads, gpu_layers=gpu_layers)
    began = time.time()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return float(done.stdout.split()[-1]) - began


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="smollm2-135m,qwen2.5-coder-0.5b,qwen2.5-coder-1.5b")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if sys.platform == "linux" else 2)
    parser.add_argument("--gpu", action="store_true", help="all layers go to a GPU, ours and theirs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the seconds go, too")
    options = parser.parse_args()
    os.environ["OMP_PROC_BIND"] = "true"
    if options.gpu:
        demand_gpu()
    layers = ALL_LAYERS if options.gpu else 0
    models = files_of(options.models)
    found: dict[str, dict[str, list[float]]] = {}
    print("| model | " + " | ".join(PROGRAMS) + " | ready | first answer |\n|" + "---|" * (len(PROGRAMS) + 3))
    for model, path in models.items():
        taken = found[model] = {name: [] for name in PROGRAMS}
        for number in range(options.rounds + 1):
            for name, program in PROGRAMS.items():
                took = seconds(program, path, options.context, options.threads, layers)
                if number:
                    taken[name].append(took)
        cells = [f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})" for each in taken.values()]
        ratios = [
            statistics.median(a / b for a, b in zip(taken[ours], taken[theirs], strict=True)) for ours, theirs in PAIRS
        ]
        print(f"| {model} | {' | '.join(cells)} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |", flush=True)
        if options.json:
            options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
