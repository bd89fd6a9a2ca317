"""Throughput of `rung batch`: rows one by one, as many at once as the engine takes, and what others make of the rows.

    .venv/bin/python scripts/bench_batch.py --data /data/clinc150/clinc150_data_small.json --results found.json
    .venv/bin/python scripts/bench_batch.py --data DATA --models qwen2.5-coder-0.5b --parties many,xllamacpp
    .venv/bin/python scripts/bench_batch.py --data DATA --quick

The same rows go to `rung batch` with one row at a time and with 16, and to llama.cpp's server with 16 clients
(xllamacpp, in an environment of its own, as scripts/bench_engine.py wants it). The answers are short, so that hardly
any is cut off: that would be asked again here, and not there. `llama_decode` alone says how much more 16 at once can
give without prompts, grammar and sampler. Each works alone, in turn; a figure is the median of the rounds, with its
range. All of it takes an hour on two cores: --parties, --models, --rows and --from take a part of it, --results keeps
what each part measured, and the table is made of all that the file has.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_engine import cores, interpreter
from engine_bench.bench import LARGE, MIDDLE, Bench, Skipped
from engine_bench.files import files_of
from engine_bench.processes import PartyFailed

TOGETHER = 16
CAP = 64
"""Tokens of an answer at most. Hardly any needs half of it: one that is cut off is asked again here, and not there."""
DEPTH = 64
"""Tokens before those of a bare step: about a short prompt and half of its answer."""
PROMPT = "In at most eight words: what does this customer want? {text}"
PARTIES = {
    "one": "rung batch, one by one",
    "many": f"rung batch, {TOGETHER} at once",
    "xllamacpp": f"xllamacpp, {TOGETHER} clients",
    "steps": "llama_decode alone",
}
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


def ours(prompts: list[str], cap: int, model: str, together: int, bench: Bench) -> dict[str, float]:
    """Rows and characters of answers a second of the command, its start and the load of the model left out."""
    folder = Path(tempfile.mkdtemp())
    try:
        slots, context = max(together, 1), bench.context * max(together, 1)
        config = CONFIG.format(model=model, slots=slots, context=context, threads=bench.threads)
        (folder / "rung.toml").write_text(config)
        for name, part in (("warm", prompts[:1]), ("in", prompts)):
            rows = (json.dumps({"prompt": prompt}) + "\n" for prompt in part)
            (folder / f"{name}.jsonl").write_text("".join(rows))
        took = {}
        for name in ("warm", "in"):
            words = [f"{name}.jsonl", "--out", f"{name}.out.jsonl", "--together", str(together)]
            words += ["--max-tokens", str(cap), "--config", "rung.toml"]
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "rung", "batch", *words], cwd=folder, capture_output=True, check=False
            )
            took[name] = time.perf_counter() - began
            if done.returncode not in (0, 3):
                raise Skipped(done.stderr.decode()[-300:])
        seconds = took["in"] - took["warm"]
        characters = 0
        for file, field in ((folder / "in.out.jsonl", "text"), (folder / "in.out.rejects.jsonl", "best")):
            lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
            characters += sum(len(json.loads(line)[field]) for line in lines)
        return {"rows": len(prompts) / seconds, "characters": characters / seconds}
    finally:
        shutil.rmtree(folder)


def theirs(prompts: list[str], cap: int, model: str, bench: Bench) -> dict[str, float]:
    """The same of llama.cpp's server with as many clients."""
    messages = [[{"role": "user", "content": prompt}] for prompt in prompts]
    party = bench.start("xllamacpp", model, slots=TOGETHER)
    try:
        party.ask("rows", conversations=messages[:1], max_tokens=cap, clients=1)
        found = party.ask("rows", conversations=messages, max_tokens=cap, clients=TOGETHER)
    finally:
        party.close()
    return {"rows": len(prompts) / found["seconds"], "characters": found["characters"] / found["seconds"]}


def measure(party: str, prompts: list[str], cap: int, model: str, bench: Bench) -> dict[str, float]:
    """One round of one party.

    Raises:
        Skipped: it can't be had here.
        PartyFailed: it died.
    """
    if party == "steps":
        return bare(model, bench)
    if party == "xllamacpp":
        return theirs(prompts, cap, model, bench)
    return ours(prompts, cap, model, TOGETHER if party == "many" else 1, bench)


def bare(model: str, bench: Bench) -> dict[str, float]:
    """Tokens a second of steps of one, and of 16."""
    with bench.parties(model, "loop", slots=TOGETHER) as parties:
        one, many = (parties["loop"].ask("steps", count=count, depth=DEPTH) for count in (1, TOGETHER))
    return {"rows": 1 / one, "characters": TOGETHER / many}


def told(found: list[float]) -> str:
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def table(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What was measured, a line for each model and party, and the ratios."""
    for model in dict.fromkeys(one["model"] for one in found):
        rates: dict[str, float] = {}
        for party, name in PARTIES.items():
            each = [one for one in found if (one["model"], one["party"]) == (model, party)]
            if not each:
                continue
            rate, written = ([one[kind] for one in each] for kind in ("rows", "characters"))
            if party == "steps":
                yield f"{model} | {name} | one {told(rate)} tokens/s | {TOGETHER} {told(written)} tokens/s"
                continue
            # rows a second of all rounds together, because a round may have had a part of the rows
            rates[party] = sum(one["count"] for one in each) / sum(one["count"] / one["rows"] for one in each)
            count = sum(one["count"] for one in each)
            yield f"{model} | {name} | {told(rate)} rows/s | {told(written)} characters/s | {count} rows"
        for other in ("one", "xllamacpp"):
            if "many" in rates and other in rates:
                yield f"{model} | {PARTIES['many']} / {PARTIES[other]} | {rates['many'] / rates[other]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="CLINC150's JSON, or JSON Lines with text")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="ROW", help="leave out the rows before it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", default=f"{MIDDLE},{LARGE}", help="names, split at commas")
    parser.add_argument("--parties", default=",".join(PARTIES), help=f"of {', '.join(PARTIES)}, split at commas")
    parser.add_argument("--prompt", default=PROMPT, help="with {text} for the utterance")
    parser.add_argument("--tokens", type=int, default=CAP, help="first cap on an answer")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--context", type=int, default=512, help="of one row, in tokens")
    parser.add_argument("--xllamacpp-python", type=interpreter, metavar="PYTHON", help="an interpreter that has it")
    parser.add_argument("--results", type=Path, help="keep what is measured in this file, beside what it has")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="8 rows, once: see that it works")
    chosen = parser.parse_args()
    if not chosen.data.is_file():
        parser.error(f"{chosen.data} is not a file: --data names CLINC150's JSON, or JSON Lines with text")
    os.environ["OMP_PROC_BIND"] = "true"
    models = files_of(chosen.models)
    last = chosen.first + (8 if chosen.quick else chosen.rows)
    texts = utterances(chosen.data, last, chosen.seed)[chosen.first :]
    prompts = [chosen.prompt.format(text=text) for text in texts]
    known = chosen.results is not None and chosen.results.exists()
    found: list[dict[str, Any]] = json.loads(chosen.results.read_text()) if known else []
    for _ in range(1 if chosen.quick else chosen.rounds):
        for model, party in itertools.product(models, chosen.parties.split(",")):
            shared = chosen.context * (TOGETHER if party in ("xllamacpp", "steps") else 1)
            bench = Bench(models, chosen.threads, shared, chosen.quick, chosen.xllamacpp_python, chosen.seed)
            try:
                rates = measure(party, prompts, chosen.tokens, model, bench)
            except (Skipped, PartyFailed) as error:
                print(f"{PARTIES[party]} on {model} is missing: {error}", file=sys.stderr)
                continue
            found.append({"model": model, "party": party, "first": chosen.first, "count": len(prompts), **rates})
            if chosen.results is not None:
                chosen.results.write_text(json.dumps(found, indent=1))
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
