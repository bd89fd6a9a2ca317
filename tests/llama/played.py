"""Parts of a worker that is a few lines of Python: how it greets, loads, answers, and stands still."""

from __future__ import annotations

import sys

GREETING = (
    f"#!{sys.executable}\n"
    "import sys, time\n"
    "sys.argv = [sys.argv[0], *sys.argv[4:]]\n"
    "from rung.tiers.llama import frames\n"
    "from rung.types import Delta, Usage\n"
    "out = sys.stdout.buffer\n"
    "def say(frame): frames.write(out, frame)\n"
    "say(frames.Hello(frames.PROTOCOL, 1))\n"
    "frames.read(sys.stdin.buffer)\n"
)
ANSWER = (
    "say(frames.Loaded('m', 100))\n"
    "asked = frames.read(sys.stdin.buffer)\n"
    "for n in range(9): say(frames.AnswerDelta(asked.id, Delta(progress=n / 9))); time.sleep(0.1)\n"
    "say(frames.AnswerDelta(asked.id, Delta('late', finish='stop', usage=Usage(1, 1))))\n"
    "while True: say(frames.Beat()); time.sleep(0.5)\n"
)
LOADS = "held = []\nfor n in range(12): say(frames.Beat()); time.sleep(0.35); held.append(bytes(n + 1) * 4_000_000)\n"
STANDS_STILL = "while True: say(frames.Beat()); time.sleep(1)\n"
