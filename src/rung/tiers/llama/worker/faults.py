"""What goes wrong within llama.cpp."""

from __future__ import annotations


class LoadError(Exception):
    """llama.cpp would not load a file. The message says why, as far as llama.cpp did."""


class DecodeError(Exception):
    """llama.cpp failed in a way that leaves the context in an unknown state."""
