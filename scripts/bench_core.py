"""The core before and after a change: one attempt, the import, and the first token of a local model.

python3 scripts/bench_core.py --before ../old/src            the core alone
python3 scripts/bench_core.py --before ../old/src --model smollm2-135m    and the first token

Both trees are measured in turn, several rounds, each in a process of its own, and the smallest of the rounds is shown:
what disturbs a measurement only makes it longer. Run it with `OMP_PROC_BIND=true`, in the project's `.venv`.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ATTEMPT = """
import json, time
from rung import Ladder
from rung.testing import ScriptedTier

ladder = Ladder(ScriptedTier("small", *["{\\"total\\": 3}"] * 2200))
schema = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}
contract = ladder.contract(schema)
for _ in range(200):
    ladder.run("1 + 2?", contract)
began = time.perf_counter()
for _ in range(2000):
    ladder.run("1 + 2?", contract)
print(json.dumps({"an attempt, ms": (time.perf_counter() - began) / 2}))
"""
IMPORT = """
import json, time
began = time.perf_counter()
import rung
rung.Ladder, rung.Message
print(json.dumps({"import rung and its ladder, ms": (time.perf_counter() - began) * 1000}))
"""
FIRST = """
import json, os, random, time
import rung
from rung.types import Provisional

model = os.environ["BENCH_MODEL"]
words = [w.strip() for w in "time year people way day man thing woman life child world school state family".split()]
found = {}
with rung.Ladder(rung.llama(model, context=4096)) as ladder:
    ladder.warm()
    for tokens in (100, 2000):
        seen = []
        for n in range(3):
            text = " ".join(random.Random(f"{tokens}:{n}").choices(words, k=tokens - 40))
            began = time.perf_counter()
            for event in ladder.stream(f"{n} {text}\\nIs there a noun?", ["yes", "no"], provisional=True):
                if isinstance(event, Provisional):
                    seen.append(time.perf_counter() - began)
                    break
        found[f"first token, prompt of {tokens:,} tokens, ms"] = min(seen) * 1000
print(json.dumps(found))
"""


def measure(code: str, src: Path, model: str | None) -> dict[str, float]:
    """What one process of one tree prints."""
    env = {**os.environ, "PYTHONPATH": str(src), "OMP_PROC_BIND": "true", "BENCH_MODEL": model or ""}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{src}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure both trees in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="src folder of the tree to compare with")
    parser.add_argument("--model", help="a local model, for the first token")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    after = Path(__file__).resolve().parent.parent / "src"
    print("| measure | before | after | after / before |\n|---|---|---|---|")
    for code in (ATTEMPT, IMPORT, *([FIRST] if given.model else [])):
        rounds = [
            (measure(code, given.before.resolve(), given.model), measure(code, after, given.model))
            for _ in range(given.rounds)
        ]
        for name in rounds[0][0]:
            before, now = (min(pair[i][name] for pair in rounds) for i in (0, 1))
            print(f"| {name} | {before:.3g} | {now:.3g} | {now / before:.2f} |")


if __name__ == "__main__":
    main()
