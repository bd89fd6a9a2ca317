"""The shadow of a one-shot `rung ask`: asked by a separate process, after the answer is on stdout.

Whoever waits for the command waits for its process. So the command ends, and another process asks the question. That
process has no terminal, no stdout and a lower priority. It waits until the machine is idle, and writes only to the
ledger. It gets the prompt through a pipe, so the prompt is on no disk. If it is killed, its shadow has no result, which
counts as a dropped shadow.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rung.engine import Plan
    from rung.types import Finished

_WINDOWS = 0x00000008 | 0x00000200 | 0x00004000
"""Creation flags: detached, in its own process group, below normal priority."""
_NICENESS = 10


def hand_over(plan: Plan, finished: Finished, words: dict[str, Any]) -> None:
    """Leave the shadow of a request to a separate process, if there is one to ask.

    Args:
        plan: of the request.
        finished: its end.
        words: what the user gave to `rung ask`, with its prompt read.
    """
    from dataclasses import asdict

    from rung.engine import shadowing

    toss = finished.toss
    if toss is None or not toss.fell:
        return
    try:
        asked = shadowing.question(plan, finished.outcome)
        if asked is None or not asked.asks:
            return  # the engine has already reported that
        content = json.dumps({"words": words, "toss": asdict(toss), "asked": asdict(asked)}, default=str)
        process = subprocess.Popen(
            [sys.executable, "-m", "rung.cli.shadowing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            creationflags=_WINDOWS if sys.platform == "win32" else 0,
        )
        assert process.stdin is not None, "it was asked for"
        with process.stdin as pipe:
            pipe.write(content.encode("utf-8", "surrogatepass"))
        process.returncode = 0  # nobody waits for it; this keeps Python from warning about that
    except Exception:  # noqa: BLE001  whatever is wrong with the shadow, the answer is none the worse for it
        return


def main() -> None:
    """Ask the question that comes on stdin."""
    given = json.loads(sys.stdin.buffer.read().decode("utf-8", "surrogatepass"))
    _yield_to_others()
    words = given["words"]
    from decimal import Decimal
    from pathlib import Path

    from rung import guard
    from rung.cli import inputs
    from rung.cli.output import Output
    from rung.cli.reading import Patience
    from rung.config import load
    from rung.engine.shadowing import ShadowQuestion
    from rung.limits import Cancel
    from rung.types import Toss, Zone

    reach = None if words["reach"] is None else Zone.parse(words["reach"])
    config = None if words["config"] is None else Path(words["config"])
    found = load(config, reach=reach, money=words["max_cost"])
    guard.install(found.reach.value)
    schema = None if words["schema"] is None else Path(words["schema"])
    patience = Patience(None, Output(json=False), Cancel())
    shape = inputs.output(schema, words["type"], words["choices"], words["regex"], patience)
    ledger = found.ledger.ledger()
    ladder = found.ladder(only=words["tier"], ledger=ledger)
    if found.reach.value > Zone.HOST:
        guard.install(found.reach.value, hosts=found.hosts(ladder))
    with ladder:
        plan = ladder.plan(
            words["prompt"],
            shape,
            {
                "validators": inputs.validators(words["check"], words["quoted"]),
                "system": words["system"],
                "task": words["task"],
                "max_tokens": words["max_tokens"],
                "text_checks": words["text_checks"],
            },
        )
        asked = given["asked"]
        money = None if asked["money"] is None else Decimal(asked["money"])
        _ask(plan, ShadowQuestion(**{**asked, "money": money}), Toss(**given["toss"]), found.ledger.path.value)
    if ledger is not None:
        ledger.flush()


def _ask(plan: Plan, asked: Any, toss: Any, ledger: Any) -> None:
    """Ask when nobody else does and the machine is idle. If that never happens, report that the shadow was dropped."""
    import time

    from rung.engine import run, shadowing
    from rung.limits import Cancel
    from rung.locking import locked
    from rung.types import Shadowed

    assert plan.shadows is not None, "a draw was made with this configuration"
    settings = plan.shadows.settings
    until = time.monotonic() + settings.patience
    try:
        with locked(ledger.with_name(f"{ledger.name}.shadow.lock"), patience=settings.patience):
            while not settings.idle():
                if time.monotonic() > until:
                    raise TimeoutError
                time.sleep(_LOOK)
            found = shadowing.ask(plan, asked, toss, Cancel(), run)
    except TimeoutError:
        found = Shadowed(toss, asked.against, None, "the machine was never idle")
    except Exception as error:  # noqa: BLE001  a check's own bug: nobody is there to be told
        found = Shadowed(toss, asked.against, None, type(error).__name__)
    shadowing.tell(plan, found)


_LOOK = 1.0
"""Seconds between two checks of a busy machine."""


def _yield_to_others() -> None:
    """Use the processors only when nobody else wants them. The workers that are started inherit this."""
    import os

    if hasattr(os, "nice"):
        os.nice(_NICENESS)


if __name__ == "__main__":
    main()
