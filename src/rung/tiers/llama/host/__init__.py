"""The host's side of the local tier: what runs in the process of whoever asks, and looks after the worker.

llama.cpp is never loaded here: `build` runs itself in a process of its own for that.
"""
