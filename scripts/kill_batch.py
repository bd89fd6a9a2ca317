"""A job of `rung batch` on real models that is killed at random moments, compared with two that are left alone.

    .venv/bin/python scripts/kill_batch.py --data /data/clinc150/clinc150_data_small.json --folder /tmp/kills

The rows are utterances of CLINC150's test split. The 135M says whether each is about money, and the 0.5B answers
where it isn't sure. The job runs twice without kills and once with them: of the model's worker, of the command
itself, and of both. Then it is checked that every row has exactly one answer, that what was finished before a kill is
the same bytes at the end, and that the other answers differ no more from those of an undisturbed run than those of two
undisturbed runs differ from each other. It exits with 1 if one of these is not so.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from rung.batch.manifest import JobManifest
from rung.errors import RungError

MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b")
CONFIG = """
[[tier]]
name = "small"
kind = "llama"
model = "{small}"
slots = {together}
context = {context}
threads = {threads}
min_confidence = {least}

[[tier]]
name = "middle"
kind = "llama"
model = "{middle}"
slots = {together}
context = {context}
threads = {threads}
min_confidence = 0.0
"""
TEMPLATE = "Is this about money or about something else? {{ text }}"
KINDS = ("worker", "host", "both")
_LOOK = 0.2
"""Seconds between two looks at the manifest: a row takes about as long."""
_WITHIN = 1.5
"""Most seconds between the drawn moment and the kill, so that it falls at any point of a row."""


@dataclass
class Killed:
    """What the kills came upon.

    Args:
        done: steps of work that were finished at each kill, with its kind.
        finished: answers that were finished before some kill, by question.
    """

    done: list[tuple[int, str]] = field(default_factory=list)
    finished: dict[int, str] = field(default_factory=dict)


def prepare(folder: Path, chosen: argparse.Namespace) -> list[str]:
    """Write the rows and the configuration. Returns the ids in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    said = json.loads(chosen.data.read_text(encoding="utf-8"))["test"]
    picked = random.Random(chosen.seed).sample(range(len(said)), chosen.rows)
    lines = [json.dumps({"id": f"test-{number}", "text": said[number][0]}) for number in picked]
    for name, part in (("first", lines), ("second", lines[: chosen.again]), ("killed", lines)):
        (folder / f"{name}.in.jsonl").write_text("\n".join(part) + "\n", encoding="utf-8")
    small, middle = chosen.models.split(",")
    (folder / "rung.toml").write_text(
        CONFIG.format(
            small=small,
            middle=middle,
            together=chosen.together,
            context=chosen.together * 256,
            threads=chosen.threads,
            least=chosen.least,
        )
    )
    return [f"test-{number}" for number in picked]


def begin(folder: Path, name: str, chosen: argparse.Namespace) -> subprocess.Popen[bytes]:
    """Start the command, or start it again."""
    words = [f"{name}.in.jsonl", "--out", f"{name}.jsonl", "--template", TEMPLATE, "--choices", "money,other"]
    words += ["--together", str(chosen.together), "--config", "rung.toml"]
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "rung", "batch", *words], cwd=folder, stderr=log, stdout=log)


def finished(folder: Path, name: str) -> dict[int, str]:
    """The answers that the manifest has, by number of the question."""
    with JobManifest(folder / f"{name}.jsonl.job") as manifest:
        found = manifest.rows("SELECT number, answer FROM questions WHERE answer IS NOT NULL")
    return {it["number"]: it["answer"] for it in found}


def steps(folder: Path, name: str) -> int:
    """Calls of tiers that are over: each row's first, and the second of those that went up."""
    try:
        with JobManifest(folder / f"{name}.jsonl.job", makes=False) as manifest:
            first = "SELECT count(*) AS n FROM questions WHERE stage != 0"
            second = 'SELECT count(*) AS n FROM questions WHERE stage < 0 AND answer LIKE \'%"tier": "middle"%\''
            return int(manifest.rows(first)[0]["n"]) + int(manifest.rows(second)[0]["n"])
    except RungError:
        return 0


def workers(host: subprocess.Popen[bytes]) -> list[psutil.Process]:
    found = psutil.Process(host.pid).children(recursive=True)
    return [it for it in found if "rung.tiers.llama.worker" in " ".join(it.cmdline())]


def undisturbed(folder: Path, name: str, chosen: argparse.Namespace) -> float:
    began = time.monotonic()
    code = begin(folder, name, chosen).wait()
    if code not in (0, 3):
        raise SystemExit(f"the job {name} ended with {code}: see {folder / name}.log")
    return time.monotonic() - began


def disturbed(folder: Path, name: str, chosen: argparse.Namespace, whole: int) -> Killed:
    """Run the job, kill it at drawn moments, start it again, and let it end."""
    chance, told = random.Random(chosen.seed), Killed()
    marks = sorted(chance.sample(range(whole // 50, whole - whole // 50), chosen.kills))
    kinds = [KINDS[number % len(KINDS)] for number in range(chosen.kills)]
    chance.shuffle(kinds)
    host = begin(folder, name, chosen)
    for mark, kind in zip(marks, kinds, strict=True):
        while steps(folder, name) < mark and host.poll() is None:
            time.sleep(_LOOK)
        time.sleep(chance.uniform(0, _WITHIN))
        if host.poll() is not None:
            raise SystemExit(f"the job ended with {host.returncode} before kill {len(told.done) + 1}")
        if kind == "both":
            host.send_signal(signal.SIGSTOP)  # so that it doesn't see its worker die before it dies itself
        for worker in workers(host) if kind != "host" else []:
            worker.kill()
        if kind != "worker":
            host.kill()
            host.wait()
        told.done.append((steps(folder, name), kind))
        told.finished.update(finished(folder, name))
        print(f"  {kind} killed after {told.done[-1][0]:,} of about {whole:,} answers", flush=True)
        if kind != "worker":
            host = begin(folder, name, chosen)
    if host.wait() not in (0, 3):
        raise SystemExit(f"the job {name} ended with {host.returncode}: see {folder / name}.log")
    return told


def answers(folder: Path, name: str) -> dict[str, tuple[str, str]]:
    """Value and tier of every row of the output and of its rejects."""
    found = {}
    for file in (folder / f"{name}.jsonl", folder / f"{name}.rejects.jsonl"):
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
            row = json.loads(line)
            if row["id"] in found:
                raise SystemExit(f"{row['id']} stands twice in the output of {name}")
            found[row["id"]] = (str(row.get("value", row.get("best"))), str(row["tier"]))
    return found


def apart(one: dict[str, tuple[str, str]], other: dict[str, tuple[str, str]], among: set[str]) -> int:
    return sum(one[name] != other[name] for name in among)


def demand(true: bool, said: str) -> bool:
    print(f"{'yes' if true else 'NO'}: {said}", flush=True)
    return true


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="CLINC150's JSON")
    parser.add_argument("--folder", type=Path, required=True, help="a new folder for the jobs")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--again", type=int, default=2000, help="rows of the second run without kills")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--models", default=",".join(MODELS), help="two names, split at a comma")
    parser.add_argument("--together", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--least", type=float, default=6e-4, help="confidence below which the second model is asked")
    parser.add_argument("--up", type=float, default=0.24, help="share of rows that go up; only moments depend on it")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    folder: Path = chosen.folder.absolute()
    ids = prepare(folder, chosen)
    with ThreadPoolExecutor() as pool:
        # beside each other, because most of the time goes into the models and not into what is shown
        alone = pool.submit(lambda: [undisturbed(folder, name, chosen) for name in ("first", "second")])
        told = disturbed(folder, "killed", chosen, round(chosen.rows * (1 + chosen.up)))
        final = finished(folder, "killed")
        same = sum(final.get(number) == text for number, text in told.finished.items())
        # said now, because the runs without kills may take another hour
        kept_bytes = demand(
            same == len(told.finished), f"{same:,} of {len(told.finished):,} finished answers are the same bytes"
        )
        for name, seconds in zip(("first", "second"), alone.result(), strict=True):
            tiers = dict(Counter(tier for _, tier in answers(folder, name).values()))
            print(f"{name}, without a kill: {seconds:,.0f} s, answered by {tiers}", flush=True)
    first, second, killed = (answers(folder, name) for name in ("first", "second", "killed"))
    with JobManifest(folder / "killed.jsonl.job") as manifest:
        kept = {it["id"] for it in manifest.rows("SELECT id, question FROM rows") if it["question"] in told.finished}
    fresh = set(ids) - kept
    order = [json.loads(line)["id"] for line in (folder / "killed.jsonl").read_text(encoding="utf-8").splitlines()]
    print(f"of {len(ids):,} rows, {len(kept):,} were finished before a kill, and {len(fresh):,} after the last")
    every, twice = set(ids), set(second)
    between = apart(first, second, twice)
    print(f"rows that differ between the two runs without kills: {between} of {len(twice):,}")
    one, two = apart(killed, first, every), apart(killed, second, twice)
    print(f"rows that differ between the killed run and these two: {one} of {len(every):,}, {two} of {len(twice):,}")
    late = apart(killed, first, fresh)
    print(f"of the {len(fresh):,} rows that were finished after the last kill, {late} differ from the first run")
    # two counts of rare events: three standard deviations of their difference are allowed for chance
    compared = apart(killed, first, twice)
    most = between + 3 * (2 * max(between, 1)) ** 0.5
    held = [
        demand(set(killed) == every, f"all {len(ids):,} rows have an answer, none is there twice, none is foreign"),
        demand(order == [name for name in ids if name in set(order)], "the output has the order of the input"),
        kept_bytes,
        demand(len(told.done) == chosen.kills, f"{len(told.done)} kills: {dict(Counter(k for _, k in told.done))}"),
        demand(max(compared, two) <= most, f"kills change no more than chance does (at most {most:.0f} rows)"),
    ]
    raise SystemExit(0 if all(held) else 1)


if __name__ == "__main__":
    main()
