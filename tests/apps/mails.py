"""Says what the mail in each line is about, with a model of this machine."""

import sys

import rung

if "forgetful" not in sys.argv:
    rung.freeze_support(end_with_launcher=True)
rung.home(sys.argv[1])

with rung.Ladder(rung.llama("smollm2-135m", context=1024)) as ladder:
    try:
        ladder.prepare()
    except rung.RungError as problem:
        sys.exit(f"There is no model yet: {problem}")
    print("ready", ladder.rungs[0].tier.worker_pid, flush=True)
    for mail in sys.stdin:
        outcome = ladder.run(f"What is this mail about?\n\n{mail}", ["food", "travel", "work"])
        print(outcome.value or outcome.reason, flush=True)
