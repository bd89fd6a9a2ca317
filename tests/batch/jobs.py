"""Jobs on scripted tiers, in this process and in processes that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import rung
from rung.batch import outputs
from rung.batch.intake import Intake, Shard
from rung.batch.manifest import Manifest
from rung.batch.purse import JobPurse
from rung.batch.questions import Questions, Usual
from rung.batch.sources import source_of
from rung.batch.working import Job, work
from rung.limits import Cancel
from rung.testing import QuotingTier, Reply, ScriptedTier

HERE = Path(__file__).parent


class Answering(ScriptedTier):
    """Answers every call by a function of the prompt. Each call is a line of a file, so that kills can't hide one."""

    def __init__(self, name: str, says: Any, log: Path | None = None, seconds: float = 0.0) -> None:
        super().__init__(name)
        self._says, self._log, self._seconds = says, log, seconds

    def stream(self, call: Any) -> Any:
        prompt = call.messages[-1].text
        if self._log is not None:
            with self._log.open("a") as out:
                out.write(f"{self.name} {prompt}\n")
        said = self._says(prompt)
        if isinstance(said, BaseException):
            raise said
        one = ScriptedTier(self.name, Reply(said, seconds=self._seconds))
        yield from one.stream(call)
        if self._log is not None:
            with self._log.open("a") as out:
                out.write(f"{self.name} {prompt} done\n")


class PaidAnswering(QuotingTier):
    """The same for money: a call costs what its tokens cost."""

    def __init__(self, name: str, says: Any, log: Path | None = None, seconds: float = 0.0) -> None:
        # 100 tokens in, 10 out at most: a bound of $0.02
        price = rung.Price(100.0, 1000.0)
        super().__init__(name, zone=rung.Zone.INTERNET, price=price, input_tokens=100, max_tokens=10)
        self._says, self._log, self._seconds = says, log, seconds

    priced = True

    def stream(self, call: Any) -> Any:
        prompt = call.messages[-1].text
        if self._log is not None:
            with self._log.open("a") as out:
                out.write(f"{self.name} {prompt}\n")
        usage = rung.Usage(100, 5)  # $0.015
        one = ScriptedTier(self.name, Reply(self._says(prompt), usage=usage, seconds=self._seconds))
        yield from one.stream(call)


def rows(path: Path, prompts: Sequence[str], **more: Any) -> Path:
    path.write_text("".join(json.dumps({"prompt": prompt, **more}) + "\n" for prompt in prompts))
    return path


def run(
    data: Path,
    out: Path,
    *tiers: Any,
    output: Any = None,
    among: int | None = None,
    limit: str | None = None,
    shard: str | None = None,
    **settings: Any,
) -> list[dict[str, Any]]:
    """A job from the beginning to the end, as the command does it; the rows of its output."""
    ladder = rung.Ladder(*tiers, reach=rung.Zone.INTERNET)
    asks = Questions(settings.pop("asks", Usual()), settings.pop("id", None))
    with Manifest(Path(f"{out}.job")) as manifest, source_of(data, asks.sees) as source:
        Intake(manifest, source, asks, None if shard is None else Shard.parse(shard), Cancel()).run()
        purse = None if limit is None else JobPurse(manifest, Decimal(limit))
        names = {r.tier.name: r.tier.name for r in ladder.rungs}
        manifest.join()
        job = Job(manifest, source, asks, ladder, names, output, purse=purse, **settings)
        try:
            for _ in work(job):
                pass
        finally:
            outputs.write(manifest, out, out.with_suffix(".rejects.jsonl"))
    return read(out)


def read(path: Path) -> list[dict[str, Any]]:
    content = path.read_text() if path.exists() else ""
    assert content == "" or content.endswith("\n")
    return [json.loads(line) for line in content.splitlines()]


def killed(script: str, *arguments: str, after: float) -> bool:
    """Run a script of this folder and kill it after a while; whether it had ended by itself."""
    process = start(script, *arguments)
    try:
        assert process.wait(after) == 0
        return True
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        return False


def start(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join([str(Path(rung.__file__).parents[1]), str(HERE.parent)])
    return subprocess.Popen([sys.executable, str(HERE / script), *arguments], env={**os.environ, "PYTHONPATH": paths})


def until(true: Any, seconds: float = 20.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it never came true"
        time.sleep(0.01)
