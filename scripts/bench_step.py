"""What a step costs beside `llama_decode`: choosing, scoring and checking the tokens of 1, 4, 16 and 64 answers.

    .venv/bin/python scripts/bench_step.py record logits.npz
    .venv/bin/python scripts/bench_step.py measure logits.npz
    .venv/bin/python scripts/bench_step.py profile

`record` keeps the logits of real answers, half of them free texts and half function calls. `measure` gives them to the
worker's own code again and again, as `llama_decode` leaves them: written a moment ago, after all the weights went
through the caches. `profile` decodes, and says where the time of a step goes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine_bench.bench import ALL_LAYERS
from engine_bench.files import file_of, files_of
from engine_bench.gpu import demand_gpu
from rung.tiers.llama.worker.crew import Crew

COUNTS = (1, 4, 16, 64)
KINDS = ("plain", "sampled", "constrained")
_ROWS = 64
_EVERY = 3
"""One token in so many is kept, so that the rows come from many places of many answers."""
_EVICT = 48 << 20
"""Bytes that are read between two steps. A step reads all the weights, so nothing else is in the caches."""


@dataclass(frozen=True)
class Recorded:
    """Logits of real answers.

    Args:
        logits: one row each.
        schemas: of the answers; `None` for a free text.
        tokens: of each answer before its row.
        model: name of the model.
    """

    logits: Any
    schemas: list[dict[str, Any] | None]
    tokens: list[list[int]]
    model: str


def record(path: Path, model: str, threads: int) -> None:
    """Decode free texts and function calls, and keep some of their logits."""
    from engine_bench.parties.in_process import InProcess  # which loads llama.cpp before numpy
    from engine_bench.prompts import free_texts, function_calls
    import numpy as np  # isort: skip
    from rung.tiers.llama.worker.answer import Answer

    party = InProcess(str(file_of(model)), 2048, threads)
    rows: list[Any] = []
    facts: list[dict[str, Any]] = []
    schema: dict[str, Any] | None = None
    real, seen = Answer.advance, [0]

    def advance(self: Any, row: Any) -> Any:
        seen[0] += 1
        if seen[0] % _EVERY == 0:
            rows.append(np.array(row.logits))
            facts.append({"schema": schema, "tokens": self.tokens[len(self._order.prompt) :]})
        return real(self, row)

    Answer.advance = advance  # type: ignore[method-assign]
    for wanted, prompts in ((_ROWS, free_texts()), (2 * _ROWS, function_calls(80))):
        for prompt in prompts:
            schema = prompt.schema
            party.answer(prompt.messages, _EVERY * 7, schema=schema)
            if len(rows) >= wanted:
                break
        del rows[wanted:], facts[wanted:]
    np.savez(path, logits=np.stack(rows), facts=json.dumps({"model": model, "rows": facts}))


def read(path: Path) -> Recorded:
    """What `record` kept."""
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        facts = json.loads(str(file["facts"]))
        rows = facts["rows"]
        return Recorded(file["logits"], [r["schema"] for r in rows], [r["tokens"] for r in rows], facts["model"])


def measure(recorded: Recorded, helpers: int, times: int) -> Iterator[tuple[str, int, float, float]]:
    """Kind, number of answers, microseconds by the clock, and microseconds of processor time, of a step."""
    # Threads that are started once llama.cpp is loaded share one core, so a worker starts its crew before, too.
    crew = Crew(helpers, lambda work, name: threading.Thread(target=work, name=name, daemon=True).start())
    from engine_bench.stepping import Places
    import numpy as np  # isort: skip

    places = Places(str(file_of(recorded.model)))
    cold = np.ones(_EVICT // 4, np.float32)
    for kind in KINDS:
        which = [i for i, schema in enumerate(recorded.schemas) if (schema is not None) == (kind == "constrained")]
        stored = recorded.logits[which]
        facts = [(recorded.schemas[i], recorded.tokens[i]) for i in which]
        buffer = np.empty_like(stored)
        make = places.answers(facts, temperature=0.7 if kind == "sampled" else 0.0)
        for count in COUNTS:
            clock, processor = [], []
            for _ in range(times):
                answers = make(count)
                cold.sum()
                buffer[:count] = stored[:count]
                began, worked = time.perf_counter(), time.process_time()
                step(crew, answers, buffer)
                clock.append(time.perf_counter() - began)
                processor.append(time.process_time() - worked)
            yield kind, count, 1e6 * statistics.median(clock), 1e6 * statistics.median(processor)


def step(crew: Any, answers: list[Any], buffer: Any) -> None:
    """What the loop does with the logits of a step."""
    from rung.tiers.llama.worker.sampling import LogitsRow
    from rung.tiers.llama.worker.turn import AnswerTurn

    turns = [AnswerTurn(answer, LogitsRow(buffer[i])) for i, answer in enumerate(answers)]
    crew.each(AnswerTurn.take, turns)
    for turn in turns:
        turn.result()


def show_measure(options: argparse.Namespace) -> None:
    """A table."""
    print("| | answers | by the clock, us | processor time, us | times one |\n|---|---|---|---|---|")
    one = 0.0
    for kind, count, clock, processor in measure(read(options.file), options.helpers, options.times):
        one = clock if count == 1 else one
        print(f"| {kind} | {count} | {clock:,.0f} | {processor:,.0f} | {clock / one:.1f} |", flush=True)


def show_profile(options: argparse.Namespace) -> None:
    """A table."""
    from engine_bench.parties.in_process import TooShort
    from engine_bench.stepping import profiled

    if options.gpu:
        demand_gpu()
    models = files_of(options.models)
    print(f"| model | answers | {' | '.join(STAGES)} |\n|{'---|' * (len(STAGES) + 2)}")
    for model, path in models.items():
        for count in options.counts:
            for kind in ("plain", "constrained"):
                try:
                    found = profiled(
                        str(path),
                        options.threads,
                        count,
                        options.tokens,
                        constrained=kind == "constrained",
                        gpu_layers=ALL_LAYERS if options.gpu else 0,
                        surveyed=options.surveyed,
                    )
                except TooShort as error:
                    print(f"{model}, {count} {kind}: {error}; try more --tokens", file=sys.stderr)
                    continue
                cells = " | ".join(f"{found.get(stage, 0.0):,.0f}" for stage in STAGES)
                print(f"| {model} | {count} {kind} | {cells} |", flush=True)


STAGES = ("decode", "logits", "choice", "constraint", "confidence", "text", "pipe", "rest")


def main() -> None:
    """Do what the command line says."""
    os.environ.setdefault("OMP_PROC_BIND", "true")
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    keep = commands.add_parser("record")
    keep.add_argument("file", type=Path)
    keep.add_argument("--model", default="qwen2.5-coder-0.5b")
    keep.add_argument("--threads", type=int, default=cores)
    keep.set_defaults(run=lambda o: record(o.file, o.model, o.threads))
    time_it = commands.add_parser("measure")
    time_it.add_argument("file", type=Path)
    time_it.add_argument("--helpers", type=int, default=cores - 1, help="threads beside the loop's own")
    time_it.add_argument("--times", type=int, default=40)
    time_it.set_defaults(run=show_measure)
    look_in = commands.add_parser("profile")
    look_in.add_argument("--models", default="smollm2-135m,qwen2.5-coder-0.5b,qwen2.5-coder-1.5b")
    look_in.add_argument("--threads", type=int, default=cores)
    look_in.add_argument("--tokens", type=int, default=48)
    look_in.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="answers at once")
    look_in.add_argument("--gpu", action="store_true", help="all layers go to a GPU")
    look_in.add_argument(
        "--surveyed",
        action=argparse.BooleanOptionalAction,
        help="survey the rows of logits as a part of each step, or not; by default only a GPU does",
    )
    look_in.set_defaults(run=show_profile)
    options = parser.parse_args()
    if options.run is show_measure and not options.file.is_file():
        parser.error(f"{options.file} is not a file: `record {options.file}` makes it")
    run: Callable[[argparse.Namespace], None] = options.run
    run(options)


if __name__ == "__main__":
    main()
