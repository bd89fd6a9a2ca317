"""PyInstaller: pydantic's plugin for mypy, which a frozen app doesn't run."""

excludedimports = ["mypy"]
