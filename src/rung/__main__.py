"""`python -m rung` is the `rung` command."""

import sys

from rung.cli import main

if __name__ == "__main__":
    sys.exit(main())
