"""PyInstaller: anyio's plugin for pytest, which a frozen app doesn't run."""

excludedimports = ["pytest", "_pytest"]
