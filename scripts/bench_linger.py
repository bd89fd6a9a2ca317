"""How long `rung ask` takes to its first token when a worker lingers: the second command against a warm process.

    .venv/bin/python scripts/bench_linger.py --rounds 5

Seconds from the call of a tier to its first token: in a process that has answered the same prompt before, in a
`rung ask` that loads the model, and in the next one, which takes over the worker that the first left behind. In
brackets the seconds from the start of the whole command, imports and configuration included. All in turn within each
round.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from engine_bench.files import files_of

PROMPT = "You are asked for one word and nothing else. No sentence, no mark. Name a colour of the rainbow. " * 2

_ASK = """
import sys, time
from rung.tiers.llama.host.tier import LlamaTier
answered, told = LlamaTier.stream, []
def stream(self, call):
    told or told.append(time.time())
    for delta in answered(self, call):
        if delta.tokens and len(told) == 1:
            told.append(time.time())
        yield delta
LlamaTier.stream = stream
from rung.cli import main
sys.argv = ["rung", "ask", "--json", "--config", {config!r}, {prompt!r}]
code = main()
print(*told, file=sys.stderr, flush=True)
sys.exit(code)
"""
_WARM = """
import sys, time
import rung
from rung.types import Call, Message
tier = rung.llama({model!r})
def first():
    began, first = time.time(), None
    for delta in tier.stream(Call((Message("user", {prompt!r}),), max_tokens=8)):
        first = first or (delta.tokens and time.time())
    return first - began
first()
print(0, first(), file=sys.stderr, flush=True)
tier.close()
"""
COLUMNS = ("a warm process", "the first `rung ask`", "the second")


def seconds(program: str) -> tuple[float, float]:
    """From the call to the first token, and from the start of the program."""
    began = time.time()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    called, first = map(float, done.stderr.split()[-2:])
    return first - called, first - began


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="smollm2-135m,qwen2.5-coder-0.5b,qwen2.5-coder-1.5b")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    models = files_of(options.models)
    # workers of whoever runs this are left alone
    folder = tempfile.mkdtemp(prefix="rung-")
    os.environ["XDG_RUNTIME_DIR"] = folder
    print(f"| model | {' | '.join(COLUMNS)} | the second, less the warm one |\n|" + "---|" * (len(COLUMNS) + 2))
    try:
        for model in models:
            config = Path(folder) / f"{model}.toml"
            config.write_text(f'linger = "1m"\n[[tier]]\nname = "only"\nkind = "llama"\nmodel = "{model}"\n', "utf-8")
            taken: list[list[tuple[float, float]]] = [[] for _ in COLUMNS]
            for _ in range(options.rounds):
                taken[0].append(seconds(_WARM.format(model=model, prompt=PROMPT)))
                for column in taken[1:]:
                    column.append(seconds(_ASK.format(config=str(config), prompt=PROMPT)))
                subprocess.run([sys.executable, "-m", "rung", "linger", "stop"], capture_output=True, check=True)
            cells = [f"{statistics.median(each for each, _ in column):.2f}" for column in taken]
            whole = [f" [{statistics.median(each for _, each in column):.2f}]" for column in taken]
            more = statistics.median(b[0] - a[0] for a, b in zip(taken[0], taken[2], strict=True))
            row = " | ".join([cells[0], cells[1] + whole[1], cells[2] + whole[2]])
            print(f"| {model} | {row} | {more:.2f} |", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
