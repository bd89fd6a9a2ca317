"""A party's own process: `python -m engine_bench.runner PARTY SETTINGS`. JSON lines in, JSON lines out.

Each line of standard input names a method of the party and its arguments; one line answers it. What a native library
prints goes to standard error.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import sys
from typing import Any

PARTIES = {
    "ours": "ours:Ours",
    "loop": "in_process:InProcess",
    "bare": "bare:Bare",
    "llama": "high_level:HighLevel",
    "xllamacpp": "xllama:XLlama",
    "ladder": "scripted:Scripted",
}


def main() -> None:
    """Serve one party until standard input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def reply(value: Any) -> None:
        replies.write(json.dumps(value, default=dataclasses.asdict) + "\n")
        replies.flush()

    module, _, name = PARTIES[sys.argv[1]].partition(":")
    try:
        party = getattr(importlib.import_module(f"engine_bench.parties.{module}"), name)(**json.loads(sys.argv[2]))
    except Exception as error:  # noqa: BLE001  told to the one who started it
        reply({"error": f"{type(error).__name__}: {error}"})
        return
    reply({"value": None})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply({"value": getattr(party, request["do"])(**request["with"])})
        except Exception as error:  # noqa: BLE001  told to the one who asked
            reply({"error": f"{type(error).__name__}: {error}"})
    party.close()


if __name__ == "__main__":
    main()
