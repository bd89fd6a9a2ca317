"""The host's side of the local tier: what runs in the asking process, and looks after the worker.

llama.cpp is never loaded here. `build` runs itself in a separate process for that.
"""
