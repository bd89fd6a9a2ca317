"""Throughput of `rung batch`: rows one by one, as many at once as the engine takes, and what others make of the rows.

    .venv/bin/python scripts/bench_batch.py --data /data/clinc150/clinc150_data_small.json
    .venv/bin/python scripts/bench_batch.py --data DATA --quick

The same rows go to `rung batch` with one row at a time and with 16, and to llama.cpp's server with 16 clients
(xllamacpp, in an environment of its own, as scripts/bench_engine.py wants it). `llama_decode` alone says how much
more 16 at once can give without prompts, grammar and sampler. Each works alone, in turn; a figure is the median of
the rounds, with its range.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_engine import cores, interpreter
from engine_bench.bench import LARGE, MIDDLE, Bench, Skipped
from engine_bench.processes import PartyFailed
from rung.store import resolve

TOGETHER = 16
CAP = 48
PROMPT = "A customer says: {text}\n\nSay in one sentence what the customer wants."
CONFIG = """
[[tier]]
name = "model"
kind = "llama"
model = "{model}"
slots = {slots}
context = {context}
threads = {threads}
"""


def utterances(path: Path, count: int, seed: int) -> list[str]:
    """Texts of CLINC150's test split, of any JSON Lines with `text`, in an order that the seed makes."""
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        texts = [text for text, _ in json.loads(content)["test"]]
    else:
        texts = [json.loads(line)["text"] for line in content.splitlines()]
    return random.Random(seed).sample(texts, count)


def ours(texts: list[str], model: str, together: int, bench: Bench) -> dict[str, float]:
    """Rows and characters of answers a second of the command, its start and the load of the model left out."""
    folder = Path(tempfile.mkdtemp())
    try:
        slots, context = max(together, 1), bench.context * max(together, 1)
        config = CONFIG.format(model=model, slots=slots, context=context, threads=bench.threads)
        (folder / "rung.toml").write_text(config)
        for name, part in (("warm", texts[:1]), ("in", texts)):
            rows = (json.dumps({"prompt": PROMPT.format(text=text)}) + "\n" for text in part)
            (folder / f"{name}.jsonl").write_text("".join(rows))
        took = {}
        for name in ("warm", "in"):
            words = [f"{name}.jsonl", "--out", f"{name}.out.jsonl", "--together", str(together)]
            words += ["--max-tokens", str(CAP), "--config", "rung.toml"]
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "rung", "batch", *words], cwd=folder, capture_output=True, check=False
            )
            took[name] = time.perf_counter() - began
            if done.returncode not in (0, 3):
                raise Skipped(done.stderr.decode()[-300:])
        answers = [json.loads(line) for line in (folder / "in.out.jsonl").read_text().splitlines()]
        seconds = took["in"] - took["warm"]
        characters = sum(len(row["text"]) for row in answers)
        return {"rows": len(texts) / seconds, "characters": characters / seconds}
    finally:
        shutil.rmtree(folder)


def theirs(texts: list[str], model: str, bench: Bench) -> dict[str, float]:
    """The same of llama.cpp's server with as many clients."""
    messages = [[{"role": "user", "content": PROMPT.format(text=text)}] for text in texts]
    party = bench.start("xllamacpp", model, slots=TOGETHER)
    try:
        party.ask("rows", conversations=messages[:1], max_tokens=CAP, clients=1)
        found = party.ask("rows", conversations=messages, max_tokens=CAP, clients=TOGETHER)
    finally:
        party.close()
    return {"rows": len(texts) / found["seconds"], "characters": found["characters"] / found["seconds"]}


def bare(model: str, bench: Bench) -> dict[str, float]:
    """Tokens a second of steps of 16, and of one."""
    with bench.parties(model, "loop", slots=TOGETHER) as parties:
        one, many = parties["loop"].ask("steps", counts=[1, TOGETHER])
    return {"one": 1 / one, "many": TOGETHER / many}


def told(found: list[float]) -> str:
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="CLINC150's JSON, or JSON Lines with text")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", default=f"{MIDDLE},{LARGE}", help="names, split at commas")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--context", type=int, default=512, help="of one row, in tokens")
    parser.add_argument("--xllamacpp-python", type=interpreter, metavar="PYTHON", help="an interpreter that has it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="8 rows, once: see that it works")
    chosen = parser.parse_args()
    os.environ["OMP_PROC_BIND"] = "true"
    models = {name: resolve(name).path for name in chosen.models.split(",")}
    texts = utterances(chosen.data, 8 if chosen.quick else chosen.rows, chosen.seed)
    rounds = 1 if chosen.quick else chosen.rounds
    for model in models:
        alone = Bench(models, chosen.threads, chosen.context, chosen.quick, chosen.xllamacpp_python, chosen.seed)
        shared = Bench(
            models, chosen.threads, chosen.context * TOGETHER, chosen.quick, chosen.xllamacpp_python, chosen.seed
        )
        measures = {
            "rung batch, one by one": lambda model=model, bench=alone: ours(texts, model, 1, bench),
            f"rung batch, {TOGETHER} at once": lambda model=model, bench=alone: ours(texts, model, TOGETHER, bench),
            f"xllamacpp, {TOGETHER} clients": lambda model=model, bench=shared: theirs(texts, model, bench),
        }
        found: dict[str, list[dict[str, float]]] = {}
        for _ in range(rounds):
            for what, measure in measures.items():
                try:
                    found.setdefault(what, []).append(measure())
                except (Skipped, PartyFailed) as error:
                    print(f"{what} on {model} is missing: {error}", file=sys.stderr)
        for what, each in found.items():
            if each:
                rate, written = ([one[kind] for one in each] for kind in ("rows", "characters"))
                print(f"{model} | {what} | {told(rate)} rows/s | {told(written)} characters/s", flush=True)
        try:
            steps = bare(model, shared)
            print(f"{model} | llama_decode alone | one {steps['one']:.1f} tokens/s | 16 {steps['many']:.1f} tokens/s")
        except (Skipped, PartyFailed) as error:
            print(f"llama_decode alone on {model} is missing: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
