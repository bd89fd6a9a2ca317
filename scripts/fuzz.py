"""Gives rung what the world may send, right and wrong: nothing may come of it but a value or a refusal in words.

    .venv/bin/python scripts/fuzz.py --minutes 30 --seed 7
    .venv/bin/python scripts/fuzz.py --targets answers,gguf --inputs 2000 --out findings
    .venv/bin/python scripts/fuzz.py --replay findings/answers-1.case

The targets: `answers` of models for several contracts, JSON `schemas` (compiled, judged by, and enforced in decoding),
the `streams` of an endpoint, `toml` files (configuration, policy, lock, catalogue), the `manifests` of kits and records
of the store, headers of `gguf` files.

A good input, or one made by a small grammar, is harmed and given to the product in a child process. A finding is an
exception that isn't ours, more than 2 s of processor time, memory that grows by more than 200 MiB, the end of the
process, a connection or a program that nobody asked for, or a broken promise about the value. Its smallest form is kept
as a file. The same seed makes the same inputs, whatever the machine; how many of them fit into the time depends on it.

Exit code 0 where nothing was found, 1 otherwise. On stdout the table, on stderr the rest.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from fuzzing.cases import Case, Target
from fuzzing.child import Child, Limits
from fuzzing.driver import Finding, Report, fuzz, keep, table

TARGETS = {
    "answers": "fuzzing.answers:Answers",
    "schemas": "fuzzing.schemas:Schemas",
    "streams": "fuzzing.streams:Streams",
    "toml": "fuzzing.toml:Toml",
    "manifests": "fuzzing.manifests:Manifests",
    "gguf": "fuzzing.gguf:Gguf",
}


def target_of(place: str) -> Target:
    """The target at `MODULE:CLASS`."""
    module, _, kind = place.partition(":")
    target: Target = getattr(import_module(module), kind)()
    return target


def run(place: str, arguments: argparse.Namespace, minutes: float, out: Path) -> Report:
    """Fuzz one target."""
    target = target_of(place)
    child = Child(place, arguments.path, _limits(arguments), arguments.warm_up)
    numbers = iter(range(1, sys.maxsize))

    def found(finding: Finding) -> None:
        print(f"{finding.line}; {keep(finding, out, next(numbers))}", file=sys.stderr, flush=True)

    try:
        return fuzz(
            target,
            child,
            seed=arguments.seed,
            goes_on=_until(arguments.inputs, minutes),
            found=found,
            reduces=arguments.reduce_seconds,
        )
    finally:
        child.end()


def _limits(arguments: argparse.Namespace) -> Limits:
    return Limits(arguments.cpu_seconds, arguments.wall_seconds, arguments.mib << 20)


def _until(inputs: int | None, minutes: float) -> Callable[[int], bool]:
    if inputs is not None:
        return lambda number: number < inputs
    end = time.monotonic() + 60 * minutes
    return lambda number: time.monotonic() < end


def replay(path: Path, arguments: argparse.Namespace) -> int:
    """Run one input again; 0 where nothing is wrong with it any more."""
    case = Case.load(path.read_bytes())
    child = Child(_chosen(arguments)[case.target], arguments.path, _limits(arguments))
    try:
        came = child.ask(case)
    finally:
        child.end()
    print(
        f"{case.target}: {came['kind']}", came.get("what", ""), came.get("where", ""), came.get("trace", ""), sep="\n"
    )
    return 0 if came["kind"] in ("value", "refused") else 1


def _chosen(arguments: argparse.Namespace) -> dict[str, str]:
    """The wanted targets: those of ours by name, others as `NAME=MODULE:CLASS`."""
    if not arguments.targets:
        return TARGETS
    wanted = [word.partition("=") for word in arguments.targets.split(",")]
    unknown = [name for name, _, place in wanted if not place and name not in TARGETS]
    if unknown:
        raise SystemExit(f"there is no target {unknown[0]!r}; known: {', '.join(TARGETS)}")
    return {name: place or TARGETS[name] for name, _, place in wanted}


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0, help="for all targets together (%(default)s)")
    parser.add_argument("--inputs", type=int, help="of each target, instead of a time")
    parser.add_argument("--seed", type=int, default=0, help="of all inputs (%(default)s)")
    parser.add_argument("--targets", default="", help=f"some of {','.join(TARGETS)}")
    parser.add_argument("--out", type=Path, help="folder for findings; by default a new one")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input again")
    parser.add_argument("--jobs", type=int, default=1, help="targets at the same time (%(default)s)")
    parser.add_argument("--cpu-seconds", type=float, default=2.0, help="that one input may take (%(default)s)")
    parser.add_argument("--wall-seconds", type=float, default=20.0, help="likewise, in all (%(default)s)")
    parser.add_argument("--reduce-seconds", type=float, default=20, help="spent on one finding's size (%(default)s)")
    parser.add_argument("--mib", type=int, default=200, help="by which memory may grow (%(default)s)")
    parser.add_argument("--warm-up", type=int, default=30, help="inputs that may take memory for good (%(default)s)")
    parser.add_argument("--path", type=Path, default=Path(__file__).parent, help="folder of further targets")
    arguments = parser.parse_args()
    arguments.path = arguments.path.resolve()
    sys.path.append(str(arguments.path))
    if arguments.replay:
        return replay(arguments.replay, arguments)
    chosen = _chosen(arguments)
    out = arguments.out or Path(tempfile.mkdtemp(prefix="rung-fuzz-"))
    minutes = arguments.minutes * arguments.jobs / len(chosen)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        reports = list(pool.map(lambda place: run(place, arguments, minutes, out), chosen.values()))
    print(table(reports))
    findings = sum(len(report.findings) for report in reports)
    print(f"{findings} findings in {out}" if findings else "no findings", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
