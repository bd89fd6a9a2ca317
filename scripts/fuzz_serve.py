"""Schemathesis over the description that `rung serve` gives of itself, on a scripted tier.

    python scripts/fuzz_serve.py --cases 2000

It installs Schemathesis into a folder of its own, because that pins an older jsonschema-rs than rung's. It ends with 1
where an answer was a server's error, or not what the description promises.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
"""No 5xx, and every answer as the description says. That a token is needed is tested apart."""

OPERATIONS = 4
"""Endpoints that take a body. Of the others, which are asked too, there are only a few different requests."""


WITHOUT_END = ("--exclude-path", "/events", "--exclude-path", "/page/state")
"""Streams that go on as long as their client listens."""


def schemathesis(folder: Path) -> Path:
    """The program, installed into `folder` where it isn't there yet."""
    program = folder / ("Scripts" if sys.platform == "win32" else "bin") / "schemathesis"
    if not program.exists():
        venv.create(folder, with_pip=True)
        python = program.with_name("python")
        subprocess.run([python, "-m", "pip", "install", "-q", "schemathesis>=4.10"], check=True)
    return program


def fuzz(program: Path, cases: int, seed: int) -> subprocess.CompletedProcess[str]:
    """Ask a server of its own so many times, and some more."""
    command = [sys.executable, "-m", "serve.endless"]
    with subprocess.Popen(command, cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        try:
            where = json.loads(server.stdout.readline())
            return subprocess.run(
                [
                    str(program), "run", f"{where['url']}/openapi.json", "--no-color", "--seed", str(seed),
                    "-H", f"authorization: Bearer {where['token']}", *WITHOUT_END, "--checks", CHECKS,
                    "--phases", "fuzzing", "--max-examples", str(-(-cases // OPERATIONS)), "--warnings", "off",
                    "--generation-database", "none",
                ],
                cwd=program.parent, capture_output=True, text=True, encoding="utf-8",
            )  # fmt: skip
        finally:
            server.stdin.close()
            server.wait(60)


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where Schemathesis is, or is to be installed")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as fresh:
        done = fuzz(schemathesis(chosen.folder or Path(fresh)), chosen.cases, chosen.seed)
    print(done.stdout[-6000:], done.stderr[-2000:])
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
