"""The model that the store's tests fetch: its names, and the settings under which the site's own index is asked."""

from __future__ import annotations

import os

REPO = "owner/Some-GGUF"
FILE = "some.gguf"
COMMIT = "0123456789" * 4
SPEC = f"hf:{REPO}/{FILE}@{COMMIT}"
PARTS = 3
SITE = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
