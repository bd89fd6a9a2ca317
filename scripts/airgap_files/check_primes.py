"""Runs the function that a model wrote: exit 0 where it is right, otherwise stderr says what is wrong."""

import re
import sys

text = sys.stdin.read()
fenced = re.search(r"```(?:python)?\n(.*?)```", text, re.DOTALL)
space = {}
try:
    exec(fenced[1] if fenced else text, space)
    found = space["primes"](30)
except Exception as error:  # noqa: BLE001  whatever the model wrote
    sys.exit(f"running the code raised {type(error).__name__}")
sys.exit(0 if found == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29] else "primes(30) is not the list of the primes up to 30")
