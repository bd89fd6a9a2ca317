"""PyInstaller: a window that tqdm can draw and rung never asks for."""

excludedimports = ["matplotlib"]
