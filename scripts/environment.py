"""The project's own .venv, for scripts/demo.py and scripts/test.py. Standard library only."""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
LLAMA = "llama-cpp-python"
COMPILERS = ("c++", "g++", "clang++", "cl")

CPUINFO = Path("/proc/cpuinfo")
KEEPS_STORES = "-fno-dse -fno-tree-dse"
"""Leave no write out. Costs the smallest model 3% of a step, where AMX saves it 40%."""
KNOWS_TILES = 14
"""The GCC from which every release reads AMX's tile settings whole."""


class NotReady(Exception):
    """Something is missing that only the person can install. The message says what."""


def say(text: str) -> None:
    """A line for the person, beside whatever stdout carries."""
    print(text, file=sys.stderr, flush=True)


def ensure(extra: str = "", wheels: str | None = None) -> Path:
    """Make .venv hold rung and everything it needs; a second time this takes no time.

    Args:
        extra: name of an extra of the package, for example `dev`.
        wheels: folder or index that has ready-made builds of llama-cpp-python; `None` looks where pip is set to look.

    Returns:
        The interpreter in .venv.

    Raises:
        NotReady: Python, venv, a compiler or a package is missing.
    """
    check_python()
    stamp = VENV / f"ready-{extra or 'rung'}"
    wanted = fingerprint()
    if stamp.exists() and stamp.read_text() == wanted and PYTHON.exists():
        return PYTHON
    if not PYTHON.exists():
        say(f"making {VENV.name} ...")
        run([sys.executable, "-m", "venv", str(VENV)], "the virtual environment can't be made")
    options: list[str] = []
    if has("llama_cpp"):
        say("installing ...")
    elif ready_made(PYTHON, options := places(wheels)):
        options += ["--only-binary", LLAMA]
        say("installing, with a ready-made build of llama-cpp-python; this takes about a minute ...")
    else:
        if wheels:
            say(f"{wheels} has no build of llama-cpp-python for this Python and system")
        check_compiler()
        say("installing; building llama-cpp-python takes about 5 minutes the first time ...")
    target = f"{ROOT}[{extra}]" if extra else str(ROOT)
    install = [str(PYTHON), "-m", "pip", "install", "--quiet", *options, "--editable", target]
    run(install, "pip could not install rung", built())
    stamp.write_text(wanted)
    return PYTHON


def check_python() -> None:
    """Raise `NotReady` where this Python is too old or can't make virtual environments."""
    if sys.version_info < (3, 11):  # noqa: UP036  whoever starts this may have any Python
        raise NotReady(
            f"this is Python {sys.version.split()[0]}, and rung needs 3.11 or newer: start it with a newer one"
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise NotReady("this Python has no venv: install it (Debian, Ubuntu: apt install python3-venv)") from None


def check_compiler() -> None:
    """Raise `NotReady` where llama-cpp-python can't be built."""
    if any(shutil.which(name) for name in COMPILERS) or visual_studio():
        return
    raise NotReady(
        "there is no C++ compiler, and llama-cpp-python is built from source: install one\n"
        "  Debian, Ubuntu:  apt install g++\n"
        "  Fedora:          dnf install gcc-c++\n"
        "  macOS:           xcode-select --install\n"
        "  Windows:         winget install Microsoft.VisualStudio.2022.BuildTools, with the C++ workload\n"
        "or name a folder or index that has a ready-made one, with --wheels; docs/install.md says which there are"
    )


def places(wheels: str | None) -> list[str]:
    """The options of pip for a folder or an index of wheels.

    Raises:
        NotReady: it is neither.
    """
    if wheels is None:
        return []
    if wheels.startswith(("http://", "https://")):
        return ["--extra-index-url", wheels]
    if Path(wheels).is_dir():
        return ["--find-links", str(Path(wheels).resolve())]
    raise NotReady(f"--wheels: {wheels} is neither a folder nor an address that begins with https://")


def ready_made(python: Path, options: list[str]) -> bool:
    """Whether pip finds a build of llama-cpp-python for this Python and system, so that nothing need be compiled.

    Args:
        python: the interpreter that would install it.
        options: of pip, for where to look besides what it is set to.
    """
    # an older Python has no such module, and shall get as far as being told that it is too old
    import tomllib

    needs = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    (needed,) = (it for it in needs if it.startswith(LLAMA))
    look = ["install", "--dry-run", "--quiet", "--ignore-installed", "--no-deps", "--only-binary", LLAMA]
    return not subprocess.run(
        [python, "-m", "pip", *look, *options, needed], capture_output=True, check=False
    ).returncode


def visual_studio() -> bool:
    """Whether a Windows compiler is installed, which is not on the path."""
    programs = os.environ.get("PROGRAMFILES(X86)")
    return bool(programs) and (Path(programs) / "Microsoft Visual Studio" / "Installer" / "vswhere.exe").exists()


def built() -> dict[str, str]:
    """The environment in which llama-cpp-python builds faster, without the parts that rung doesn't use, and works."""
    parts = "-DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF"
    settings = {"CMAKE_ARGS": parts, **os.environ}
    if loses_tile_settings():
        settings["CXXFLAGS"] = f"{os.environ.get('CXXFLAGS', '')} {KEEPS_STORES}".strip()
    return settings


def loses_tile_settings() -> bool:
    """Whether this compiler, on this processor, makes a llama.cpp that crashes at its first token.

    Older GCCs believe that AMX's tile settings are read for eight bytes only, and leave out the writing of the rest
    (GCC's bug 114098; llama.cpp's issue 20824).
    """
    try:
        has_tiles = " amx_tile" in CPUINFO.read_text()
    except OSError:
        return False
    compiler = os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)
    if not has_tiles or compiler is None:
        return False
    # clang has no such option, and no such fault
    asked = [*shlex.split(compiler), "-dumpfullversion"]
    try:
        version = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
        return int(version.split(".")[0]) < KNOWS_TILES
    except (OSError, ValueError):
        return False


def has(module: str) -> bool:
    """Whether .venv holds a module."""
    site = Path(sysconfig.get_path("purelib", vars={"base": str(VENV), "platbase": str(VENV)}))
    return (site / module).is_dir()


def fingerprint() -> str:
    """What an installation depends on."""
    return hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + sys.version.encode()).hexdigest()


def run(command: list[str], otherwise: str, env: dict[str, str] | None = None) -> None:
    """Run a command to its end.

    Raises:
        NotReady: it failed.
    """
    if subprocess.run(command, env=env, stdout=sys.stderr, check=False).returncode:
        raise NotReady(f"{otherwise}; what it said stands above")


def main(body: object) -> None:
    """Run a script's body and end with its exit code, or with a sentence."""
    try:
        sys.exit(body(sys.argv[1:]))  # type: ignore[operator]
    except NotReady as missing:
        say(f"{Path(sys.argv[0]).name}: {missing}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
