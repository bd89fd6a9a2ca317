"""Names of a test's cases."""

from __future__ import annotations

import re


def shown(value: object) -> str:
    """The `repr` of a value, the same in each of the processes that the tests are shared out to.

    Addresses are left out, and the members of a set are in order.
    """
    if isinstance(value, set):
        return f"{{{', '.join(sorted(map(repr, value)))}}}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
