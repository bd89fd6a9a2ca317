"""The wheel of rung, in dist/: what `pip install` and `uv tool install` take on any system.

python3 scripts/build_wheel.py
"""

import sys

from environment import ROOT, check_python, main, run, say

DIST = ROOT / "dist"


def body(_arguments: list[str]) -> int:
    """Build it; the path goes to stdout."""
    check_python()
    for old in DIST.glob("rung-*.whl"):
        old.unlink()
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(DIST), str(ROOT)]
    run(command, "pip could not build the wheel")
    (wheel,) = DIST.glob("rung-*.whl")
    say("install it with `pip install`; docs/install.md says where llama-cpp-python comes from")
    print(wheel)
    return 0


if __name__ == "__main__":
    main(body)
