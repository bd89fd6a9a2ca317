"""The local engine against what people would use instead: one table, ours and theirs in the same run, in turn.

    .venv/bin/python scripts/bench_engine.py --json results.json
    .venv/bin/python scripts/bench_engine.py --quick --rows cancel,pipe
    .venv/bin/python scripts/bench_engine.py --gpu --rows free-text,together

Every party runs in a process of its own, with the same file, context and number of threads, and rests while another one
works. A figure is the median over pairs that were measured one right after the other, with its range. Trust the ratios,
not the seconds. All of it takes about half an hour on two cores; a row of one model takes a minute or two.

xllamacpp is wanted in an environment of its own: python3 -m venv DIR, DIR/bin/pip install xllamacpp, then
--xllamacpp-python DIR/bin/python. A row that can't be measured is left out, and standard error says why.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import psutil

from engine_bench import decode, drafts, host, overhead, serving
from engine_bench.bench import LARGE, MIDDLE, SMALL, Bench, Skipped
from engine_bench.figures import Row
from engine_bench.files import files_of
from engine_bench.gpu import demand_gpu, gpu
from engine_bench.processes import PartyFailed

EACH: dict[str, Callable[[Bench, str], Iterator[Row]]] = {
    "together": serving.together,
    "confidence": overhead.confidence,
}
ONCE: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "ttft": serving.shared_prefix,
    "ttft-restart": serving.restarted,
    "cancel": serving.cancel,
    "pipe": overhead.worker_and_pipe,
    "draft-calls": drafts.function_calls,
    "draft-text": drafts.free_text,
    "memory": serving.memory,
    "imports": host.imports,
    "ladder": host.ladder,
}
NAMES = (*decode.ROWS, *EACH, *ONCE)


def rows(bench: Bench, wanted: set[str]) -> Iterator[Row]:
    """Every row that is wanted and can be measured."""
    for model in bench.models:
        if wanted & set(decode.ROWS):
            yield from guarded(bench, f"decode on {model}", lambda m=model: decode.measure(bench, m, wanted))
        for name in [n for n in EACH if n in wanted]:
            yield from guarded(bench, f"{name} on {model}", lambda m=model, n=name: EACH[n](bench, m))
    for name in [n for n in ONCE if n in wanted]:
        yield from guarded(bench, name, lambda n=name: ONCE[n](bench))


def guarded(bench: Bench, what: str, measure: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    """The rows of a measure; one that fails costs only its own."""
    bench.say(f"... {what}")
    try:
        yield from measure()
    except (Skipped, PartyFailed) as error:
        bench.say(f"{what} is missing: {error}")


def cores() -> int:
    """Physical cores that this process may use."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(psutil.cpu_count(logical=False) or allowed, allowed)


def machine(bench: Bench) -> dict[str, object]:
    """What the figures hang on."""
    libraries = {name: version(name) for name in ("llama-cpp-python", "llguidance", "numpy", "pydantic", "typer")}
    about = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "threads": bench.threads,
        "load": psutil.getloadavg(),
        "libraries": libraries,
        "models": sorted(bench.models),
        "quick": bench.quick,
        "gpu": gpu() if bench.gpu else None,
    }
    if bench.xllamacpp is not None:
        code = (
            "import importlib.metadata as m, xllamacpp as x; print(m.version('xllamacpp'), x.get_system_info().strip())"
        )
        said = subprocess.run([bench.xllamacpp, "-c", code], capture_output=True, text=True, check=False)
        about["xllamacpp"] = said.stdout.strip()
    return about


def names(text: str) -> set[str]:
    """Rows, as the command line names them."""
    found = set(text.split(","))
    if unknown := found - set(NAMES):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: no such row; there are {', '.join(NAMES)}")
    return found


def interpreter(text: str) -> Path:
    """A Python that has xllamacpp."""
    try:
        done = subprocess.run([text, "-c", "import xllamacpp"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text} can't be run: {error.strerror}") from None
    if done.returncode:
        raise argparse.ArgumentTypeError(f"{text} can't import xllamacpp; install it there with pip")
    return Path(text)


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=names, default=set(NAMES), help=f"split at commas; {', '.join(NAMES)}")
    parser.add_argument("--models", default=",".join((SMALL, MIDDLE, LARGE)), help="names, split at commas")
    parser.add_argument("--quick", action="store_true", help="few repetitions: see that it works")
    parser.add_argument("--threads", type=int, default=cores(), help="for decoding; one per physical core by default")
    parser.add_argument("--gpu", action="store_true", help="all layers of every party go to a GPU")
    parser.add_argument("--context", type=int, default=4096, help="of every party, in tokens")
    parser.add_argument("--xllamacpp-python", type=interpreter, metavar="PYTHON", help="an interpreter that has it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the rows go, too")
    return parser.parse_args()


def main() -> None:
    """Measure, print each row as it is there, write the JSON."""
    # For every party, all of them children: unbound OpenMP threads can spin on one core for minutes.
    os.environ["OMP_PROC_BIND"] = "true"
    chosen = options()
    if chosen.gpu:
        demand_gpu()
    models = files_of(chosen.models)
    bench = Bench(
        models, chosen.threads, chosen.context, chosen.quick, chosen.xllamacpp_python, chosen.seed, chosen.gpu
    )
    about = machine(bench)
    print(Row.HEAD, flush=True)
    done = []
    for row in rows(bench, chosen.rows):
        done.append({**asdict(row), "reached": row.reached})
        print(row, flush=True)
        if chosen.json:
            chosen.json.write_text(json.dumps({"machine": about, "rows": done}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
