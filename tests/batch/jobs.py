"""Jobs on scripted tiers, in this process and in processes that can be killed."""

from __future__ import annotations

import json
import os
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import rung
from rung.batch import outputs
from rung.batch.intake import RowIntake, Shard
from rung.batch.manifest import JobManifest
from rung.batch.purse import JobPurse
from rung.batch.questions import Questions, Usual
from rung.batch.sources import source_of
from rung.batch.working import Job, work
from rung.limits import Cancel
from rung.testing import QuotingTier, Reply, ScriptedTier


def asked(call: Any) -> str:
    """The prompt of a call. A repair's begins with it."""
    return str(call.messages[-1].text).split("\n")[0]


class Answering(ScriptedTier):
    """Answers every call by a function of the prompt. Each call is a line of a file, so that kills can't hide one."""

    def __init__(self, name: str, says: Any, log: Path | None = None, seconds: float = 0.0) -> None:
        super().__init__(name)
        self._says, self._log, self._seconds = says, log, seconds
        self.asked: list[str] = []

    def stream(self, call: Any) -> Any:
        prompt = asked(call)
        self.asked.append(prompt)
        note(self._log, f"{self.name} {prompt}")
        said = self._says(prompt)
        if isinstance(said, BaseException):
            raise said
        yield from ScriptedTier(self.name, Reply(said, seconds=self._seconds)).stream(call)


class PaidAnswering(QuotingTier):
    """The same for money. A call costs $0.015 and may cost $0.02."""

    priced = True

    def __init__(self, name: str, says: Any, log: Path | None = None, seconds: float = 0.0) -> None:
        price = rung.Price(100.0, 1000.0)
        super().__init__(name, zone=rung.Zone.INTERNET, price=price, input_tokens=100, max_tokens=10)
        self._says, self._log, self._seconds = says, log, seconds
        self.asked: list[str] = []

    def stream(self, call: Any) -> Any:
        prompt = asked(call)
        self.asked.append(prompt)
        note(self._log, f"{self.name} {prompt}")
        reply = Reply(self._says(prompt), usage=rung.Usage(100, 5), seconds=self._seconds)
        yield from ScriptedTier(self.name, reply).stream(call)


def note(log: Path | None, line: str) -> None:
    if log is not None:
        with log.open("a") as out:
            out.write(f"{line}\n")


def rows(path: Path, prompts: Sequence[str], **more: Any) -> Path:
    path.write_text("".join(json.dumps({"prompt": prompt, **more}) + "\n" for prompt in prompts))
    return path


def run(
    data: Path,
    out: Path,
    *tiers: Any,
    output: Any = None,
    limit: str | None = None,
    shard: str | None = None,
    ladder: rung.Ladder | None = None,
    **settings: Any,
) -> list[dict[str, Any]]:
    """A job from the beginning to the end, as the command does it; the rows of its output."""
    ladder = ladder or rung.Ladder(*tiers, reach=rung.Zone.INTERNET)
    asks = Questions(settings.pop("asks", Usual()), settings.pop("id", None))
    with JobManifest(Path(f"{out}.job")) as manifest, source_of(data, asks.sees) as source:
        RowIntake(manifest, source, asks, None if shard is None else Shard.parse(shard), Cancel()).run()
        purse = None if limit is None else JobPurse(manifest, Decimal(limit))
        names = {r.tier.name: r.tier.name for r in ladder.rungs}
        manifest.join()
        settings.setdefault("observers", ladder._observers)
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


class Forked:
    """A job in a process of its own, forked from this one, which has imported all that it needs."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.pid = os.fork()
        self.code: int | None = None
        if not self.pid:
            code = 1
            try:
                work()
                code = 0
            except BaseException:  # noqa: BLE001  a failed assertion, too, is to be seen
                traceback.print_exc()
            finally:
                os._exit(code)

    def poll(self) -> int | None:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def wait(self, seconds: float = 60.0) -> int:
        until(lambda: self.poll() is not None, seconds)
        assert self.code is not None
        return self.code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


def until(true: Any, seconds: float = 20.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it never came true"
        time.sleep(0.01)
